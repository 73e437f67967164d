"""Statements that refuse a transaction: asked about, done once, and looked for after a crash."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.types import ToolResult

WORKER = Path(__file__).parents[1] / "cases" / "effects_worker.py"


def fill(conn: psycopg.Connection) -> None:
    conn.execute(
        """
        create table public.goods (id int primary key, name text, price int);
        insert into public.goods select g, 'good ' || g, g % 7 from generate_series(1, 500) g;
        create index goods_name on public.goods (name);
        """
    )


@pytest.fixture(params=["shared", "apart"])
async def shop(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("untransacted", fill)
    settings = cluster.database(template, apart=request.param == "apart", statement_timeout=6.0)
    runtime = await open_runtime(settings)
    with application(runtime) as conn:
        conn.execute("alter table public.goods owner to agent_actor; grant create on schema public to agent_actor")
    with use_runtime(runtime):
        yield runtime
    await runtime.close()


def application(runtime: Runtime) -> psycopg.Connection:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    return psycopg.connect(url.get_secret_value(), autocommit=True)


def claims_run_out(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
        )


def indexes(runtime: Runtime) -> dict[str, bool]:
    with application(runtime) as conn:
        rows = conn.execute(
            "select indexrelid::regclass::text, indisvalid from pg_index where indrelid = 'public.goods'::regclass"
        )
        return dict(rows.fetchall())


async def approved(sql: str) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    approval = await human_approval_queue.get(result["approval_id"])
    assert approval.risk_level in {"HIGH", "CRITICAL"}
    assert "not tried" in approval.preview_json["not_previewed"][0]
    await human_approval_queue.decide(approval.id, "approve")
    return approval.id


async def done(sql: str) -> ToolResult:
    return await safe_executor.run_approved(await approved(sql))


async def test_they_are_asked_about_and_done_once(shop: Runtime) -> None:
    for sql in (
        "CREATE INDEX CONCURRENTLY goods_price ON goods (price)",
        "REINDEX TABLE CONCURRENTLY public.goods",
        "VACUUM (ANALYZE) goods",
        "DROP INDEX CONCURRENTLY goods_price",
    ):
        number = await approved(sql)
        result = await safe_executor.run_approved(number)
        assert result["success"], result
        assert await safe_executor.run_approved(number) == result
    assert indexes(shop) == {"goods_pkey": True, "goods_name": True}
    with application(shop) as conn:
        assert conn.execute("select vacuum_count from pg_stat_all_tables where relname = 'goods'").fetchone() == (1,)
    for sql in ("CREATE TABLE x AS SELECT 1; VACUUM", "ALTER SYSTEM SET work_mem = '1GB'"):
        assert (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))["status"] == "refused"


async def test_an_invalid_index_that_is_left_behind_is_told_with_what_removes_it(shop: Runtime) -> None:
    result = await done("CREATE UNIQUE INDEX CONCURRENTLY twice ON goods (price)")
    assert result["status"] == "failed"
    assert "Its columns are (price)" in result["error"]
    assert "DROP INDEX CONCURRENTLY twice" in result["error"]
    assert (await done("DROP INDEX CONCURRENTLY twice"))["success"]


async def begun(
    shop: Runtime, sql: str, *, while_blocked_by: psycopg.Connection
) -> tuple[int, asyncio.subprocess.Process]:
    """A statement that a process of its own has begun, and that waits for another session's transaction."""
    while_blocked_by.execute("begin; update public.goods set price = 1 where id = 1")
    number = await approved(sql)
    values = {"home": str(shop.settings.home), "statement_timeout": 6.0, "user": "tester"}
    for name in ("database_url", "app_database_url", "secret"):
        if (value := getattr(shop.settings, name)) is not None:
            values[name] = value.get_secret_value()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), json.dumps(values), str(number), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.write(b"\n")
    with application(shop) as conn:
        while not conn.execute(
            "select 1 from pg_stat_activity where usename = 'agent_actor' and query = %s and state = 'active'", [sql]
        ).fetchone():
            await asyncio.sleep(0.02)
    return number, process


@pytest.mark.parametrize("fate", ["finishes", "is ended"])
async def test_after_a_kill_the_session_is_waited_for_and_its_work_looked_at(shop: Runtime, fate: str) -> None:
    sql = "CREATE INDEX CONCURRENTLY goods_price ON goods (price)"
    with application(shop) as blocking, application(shop) as conn:
        number, process = await begun(shop, sql, while_blocked_by=blocking)
        process.kill()
        await process.wait()
        if fate == "is ended":
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where query = %s", [sql])
        claims_run_out(shop)
        looking = asyncio.create_task(safe_executor.run_approved(number))
        await asyncio.sleep(0.3)
        blocking.execute("commit")
        result = await looking
    if fate == "finishes":
        assert (result["success"], indexes(shop).get("goods_price")) == (True, True)
    else:
        assert result["status"] == "failed"
        assert "DROP INDEX CONCURRENTLY goods_price" in result["error"]
        assert (await safe_executor.run_approved(number)) == result


async def test_what_was_not_begun_is_done_and_what_nobody_can_tell_is_asked(shop: Runtime) -> None:
    vacuum, full = await approved("VACUUM goods"), await approved("VACUUM (FULL) goods")
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        for number in (
            vacuum,
            full,
        ):  # a process that is gone noted how things stood, and whether it did more is not known
            note = {"before": {"pid": 1, "started": "", "indexes": {}, "vacuums": {"goods": 0}}}
            conn.execute(
                "insert into agents.agent_execution_log (tenant_id, database_id, action, verdict, risk_level, status, approval_id, result)"
                " values ('default', %s, 'execute_sql', 'ask', 'HIGH', 'running', %s, %s)",
                [shop.database_id, number, json.dumps(note)],
            )
    assert (await safe_executor.run_approved(vacuum))["success"]
    assert (await safe_executor.run_approved(full))["status"] == "unknown"
