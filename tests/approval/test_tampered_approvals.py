"""Rows of the queue that somebody changed by hand: nothing but what was shown is executed, whatever is decided, the
changed request says that it was changed, and the others are not hidden by it.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import NotFound
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cases import each

APPLICATION = """
create table public.accounts (id int primary key, balance int not null default 100);
insert into public.accounts select g from generate_series(1, 5) g;
grant select, update, delete on public.accounts to agent_actor, agent_reader;
"""
CHANGED = "changed after it was asked"


def query(runtime: Runtime, statement: str) -> list[Any]:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def accounts(runtime: Runtime) -> Runtime:
    query(runtime, APPLICATION)
    return runtime


async def asked(number: int) -> int:
    sql = f"update accounts set balance = 1 where id = {number}"
    return (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))["approval_id"]


def touched(runtime: Runtime) -> list[int]:
    return [row[0] for row in query(runtime, "select id from accounts where balance <> 100 order by id")]


TAMPERED = [
    """arguments = '{"sql": "delete from public.accounts"}'""",
    "arguments = '[1]'", "arguments = '\"x\"'", "arguments = 'null'", "arguments = '{}'",
    "preview = '[1]'", "preview = '\"x\"'", "preview = '5'", "preview = 'null'", "preview = null", "preview = '{}'",
    "preview = preview - 'sql'", "preview = preview - 'fingerprint'",
    """preview = jsonb_set(preview, '{sql}', '"delete from public.accounts"')""",
    "preview = jsonb_set(preview, '{rows}', '5')", "preview = jsonb_set(preview, '{rows}', '[5]')",
    """preview = jsonb_set(preview, '{rows}', '[{"before": 1, "after": [], "changed": 7}]')""",
    "preview = jsonb_set(preview, '{tables}', '[5]')", "preview = jsonb_set(preview, '{effect}', '5')",
    "preview = jsonb_set(preview, '{row_count}', '0')", "preview = jsonb_set(preview, '{fingerprint}', '5')",
    "binding = 'x'", "action = 'query_data'", "action = 'send_email'", "policy_version = '0'",
]  # fmt: skip


@pytest.mark.parametrize("change", TAMPERED)
async def test_a_request_that_was_changed_is_never_executed_and_says_so(accounts: Runtime, change: str) -> None:
    before, after, other = await asked(1), await asked(2), await asked(3)
    await human_approval_queue.decide(before, "approve")
    query(accounts, f"update agents.human_approval_queue set {change} where id <> {other}")
    listed = {one["id"]: one for one in await human_approval_queue.get_pending_approvals()}
    assert set(listed) == {after, other}
    assert CHANGED in str(listed[after]["preview"])
    await human_approval_queue.decide(after, "approve")
    for number in (before, after):
        result = await safe_executor.run_approved(number)
        assert (result["status"], CHANGED in result["error"]) == ("refused", True), result
    assert [row.status for row in await executions.recent()] == ["refused", "refused"]
    await human_approval_queue.decide(other, "approve")
    assert [one["approval_id"] for one in await safe_executor.execute_left_over()] == [other]
    assert touched(accounts) == [3]


@each(
    "change",
    [
        "expires_at = 'infinity'", "expires_at = '-infinity'", "expires_at = '20000-01-01'", "expires_at = now() + interval '10 years'",
        "created_at = 'infinity', expires_at = 'infinity'", "created_at = '4000-01-01 BC'", "decided_at = 'infinity'",
        "claimed_until = 'infinity'", "reminded_at = '20000-01-01'",
    ],
)  # fmt: skip
async def test_no_time_is_put_in_that_would_never_come_or_that_nobody_can_read(accounts: Runtime, change: str) -> None:
    number = await asked(1)
    with pytest.raises(psycopg.errors.CheckViolation, match="human_approval_queue_times"):
        query(accounts, f"update agents.human_approval_queue set {change}")
    assert (await human_approval_queue.get(number)).status == "pending"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("status = 'rejected', decided_by = 'x'", "rejected"),
        ("status = 'expired'", "expired"),
        ("executable = false", "succeeded"),  # "the caller acts by itself": nothing is done here
        ("database_id = 'another'", "refused"),
        ("expires_at = now() - interval '1 s', status = 'pending'", "expired"),
    ],
)
async def test_an_approval_that_is_taken_back_by_hand_is_none(accounts: Runtime, change: str, status: str) -> None:
    number = await asked(1)
    await human_approval_queue.decide(number, "approve")
    query(accounts, f"update agents.human_approval_queue set {change}")
    assert (await safe_executor.run_approved(number))["status"] == status
    assert await safe_executor.execute_left_over() == []
    assert touched(accounts) == []


async def test_a_request_of_another_tenant_is_none_of_this_one(accounts: Runtime) -> None:
    number = await asked(1)
    query(accounts, "update agents.human_approval_queue set tenant_id = 'another'")
    for door in (
        human_approval_queue.get(number),
        human_approval_queue.decide(number, "approve"),
        safe_executor.run_approved(number),
    ):
        with pytest.raises(NotFound):
            await door
    assert await human_approval_queue.get_pending_approvals() == []
    assert await human_approval_queue.history() == []
