"""The safe executor: what runs, what asks, what is refused, and what is recorded of it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


async def test_the_example_of_the_requirements_runs_verbatim(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute(
        "execute_sql",
        {"sql": "SELECT * FROM campaigns LIMIT 10"},
        require_approval=True,
    )
    assert result["success"], result
    assert result["row_count"] == len(result["rows"]) == 10
    assert result["sql"] == "SELECT * FROM campaigns LIMIT 10"
    assert not result["truncated"]


async def test_a_write_waits_for_a_human_and_happens_once_approved(demo_runtime: Runtime) -> None:
    sql = "UPDATE clients SET status = 'paused' WHERE id = 3"
    waiting = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert waiting["status"] == "waiting", waiting
    approval = await human_approval_queue.get(waiting["approval_id"])
    assert approval.risk_level == "MEDIUM"
    assert approval.preview["row_count"] == 1
    assert approval.preview["rows"][0]["changed"][:1] == ["status"]
    with admin(demo_runtime) as conn:
        assert conn.execute("select status::text from clients where id = 3").fetchone() != ("paused",)
    await human_approval_queue.decide(approval.id, "approve")
    done = await safe_executor.run_approved(approval.id)
    assert done["success"], done
    assert done["row_count"] == 1
    assert await safe_executor.run_approved(approval.id) == done
    with admin(demo_runtime) as conn:
        assert conn.execute("select status::text from clients where id = 3").fetchone() == ("paused",)
    assert (await executions.get(done["execution_id"])).status == "succeeded"


async def test_execute_waits_for_the_decision_of_another_task(demo_runtime: Runtime) -> None:
    async def approve() -> None:
        while not (pending := await human_approval_queue.get_pending_approvals()):
            await asyncio.sleep(0.01)
        await human_approval_queue.decide(pending[0]["id"], "approve", decided_by="ann")

    task = asyncio.create_task(approve())
    result = await safe_executor.execute("execute_sql", {"sql": "DELETE FROM tickets WHERE id = 1"})
    await task
    assert result["success"], result


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE campaigns",
        "TRUNCATE campaigns",
        "DELETE FROM payments",
        "UPDATE clients SET status = 'paused' WHERE true",
    ],
)
async def test_what_cannot_be_undone_asks_at_high_risk(demo_runtime: Runtime, sql: str) -> None:
    assessment = await safe_executor.assess("execute_sql", {"sql": sql})
    assert (assessment.verdict, assessment.risk in {"HIGH", "CRITICAL"}) == ("ask", True)
    refused = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
    assert not refused["success"]
    assert refused["status"] == "refused"
