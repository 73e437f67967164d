"""Lists come page by page to their end, however long they are, and no entry is missing or twice while new ones come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.testing.served import served

COPIES = 1_050
PATHS = (
    "threads",
    "memories",
    "approvals",
    "approvals?everything=true",
    "executions",
    "executions?status=succeeded",
    "permissions",
    "audit",
)
# What must differ in each copy of a row.
DIFFERENT = {
    "threads": "thread_id = thread_id || n", "agent_memory": "content = content || n, content_hash = int4send(n)",
    "human_approval_queue": "thread_id = null, turn = null, round = null, ordinal = null", "agent_execution_log": "approval_id = null",
    "permissions": "most_rows = most_rows",
}  # fmt: skip


@pytest.fixture
async def long(demo_runtime: Runtime) -> Runtime:
    """An agent whose lists are longer than any page."""
    sql = "UPDATE clients SET name = 'Acme' WHERE id = 1"
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=demo_runtime)
    await safe_executor.decide(asked["approval_id"], "approve", always=Always(seconds=3600), runtime=demo_runtime)
    await safe_executor.run_approved(asked["approval_id"], runtime=demo_runtime)
    await human_approval_queue.request("call_api", {"n": 1}, runtime=demo_runtime)
    await agent_memory.save("Acme ships on Fridays", trust="human", runtime=demo_runtime)
    await demo_runtime.execute(
        "insert into agents.threads (tenant_id, thread_id, database_id, created_by) values (%(tenant_id)s, 't', %(id)s, 'x')",
        id=demo_runtime.database_id,
    )
    assert demo_runtime.settings.database_url
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        for table, changes in DIFFERENT.items():
            copy(conn, table, changes)
    return demo_runtime


def copy(conn: psycopg.Connection[Any], table: str, changes: str) -> None:
    """Copy the newest row of a table many times, each copy with other values where it must differ."""
    changed: Mapping[str, str] = dict(part.strip().split(" = ") for part in changes.split(","))
    columns = [
        row[0]
        for row in conn.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and attidentity = '' "
            "and attgenerated = '' and not attisdropped",
            [f"agents.{table}"],
        ).fetchall()
    ]
    values = ", ".join(changed.get(name, name) for name in columns)
    conn.execute(
        f"insert into agents.{table} ({', '.join(columns)}) select {values} from "
        f"(select * from agents.{table} order by created_at desc limit 1) newest, generate_series(1, {COPIES}) n"
    )


async def entries_of(client: httpx.AsyncClient, path: str, runtime: Runtime) -> list[str]:
    """Return the keys of all entries, page by page, while new ones come and the log is sealed."""
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 200}
    while True:
        answer = await client.get(
            f"/api/{path}", params={**dict(httpx.QueryParams(path.partition("?")[2])), **parameters}
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [str(entry.get("id", entry.get("thread_id"))) for entry in page["items"]]
        assert len(page["items"]) <= 200
        if page["next"] is None:
            return seen
        parameters["cursor"] = page["next"]
        if len(seen) == 400:  # entries that come in the middle move nothing
            await agent_memory.save(f"new {path}", trust="human", runtime=runtime)
            await human_approval_queue.request("call_api", {"new": path}, runtime=runtime)
            await audit_log.seal(runtime=runtime)


async def test_every_entry_of_a_list_of_any_length_comes_once(long: Runtime) -> None:
    async with served(long) as client:
        for path in PATHS:
            seen = await entries_of(client, path, long)
            assert len(seen) > COPIES, path
            assert len(set(seen)) == len(seen), path
            if path.startswith(("memories", "executions", "permissions", "approvals?")):
                assert seen == sorted(seen, key=int, reverse=True), path
        gone = (await client.get("/api/memories?limit=2")).json()
        await agent_memory.forget(int(gone["next"]), runtime=long)  # the entry of the cursor goes
        assert (await client.get("/api/memories", params={"limit": 2, "cursor": gone["next"]})).json()["items"]


async def test_a_cursor_that_no_page_gave_is_refused(runtime: Runtime) -> None:
    wrong = ("x", "-1", "1.5.2.3", "9" * 20, "\u0661", "", "2026-01-01 t", "0001-13-01T00:00 t", "a" * 250)
    async with served(runtime) as client:
        for cursor in wrong:
            for path in ("threads", "memories", "approvals", "executions", "permissions", "audit"):
                answer = await client.get(f"/api/{path}", params={"cursor": cursor})
                assert answer.status_code == 422, (path, cursor, answer.text)
                assert "`next` of the page before" in answer.json()["detail"]
