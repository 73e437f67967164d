"""The stop switch and the read-only mode."""

from __future__ import annotations

import asyncio

from agent.approval.human_approval import human_approval_queue
from agent.execution.controls import controls
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime

READ = {"sql": "SELECT count(*) FROM clients"}
WRITE = {"sql": "UPDATE clients SET notes = 'x' WHERE id = 1"}


async def test_stopped_means_that_nothing_runs_in_any_process_until_resumed(demo_runtime: Runtime) -> None:
    other = await open_runtime(demo_runtime.settings)
    await controls.stop("looks odd", runtime=other)
    refused = await safe_executor.execute("execute_sql", READ)
    assert not refused["success"]
    assert "looks odd" in refused["error"]
    assert "agent resume" in refused["error"]
    assert (await controls.state()).changed_by == "tester"
    await controls.resume()
    assert (await safe_executor.execute("execute_sql", READ, runtime=other))["success"]
    assert [row.status for row in await executions.recent()] == ["succeeded", "refused"]
    await other.close()


async def test_a_reason_stays_while_a_switch_is_on_and_no_new_one_is_given(demo_runtime: Runtime) -> None:
    await controls.stop("migration tonight")
    assert (await controls.set_read_only(True)).reason == "migration tonight"
    assert (await controls.set_read_only(True, "audit")).reason == "audit"
    await controls.set_read_only(False)
    assert (await controls.resume()).reason == ""


async def test_read_only_lets_reads_run_and_refuses_to_ask(demo_runtime: Runtime) -> None:
    await controls.set_read_only(True)
    assert (await safe_executor.execute("execute_sql", READ))["success"]
    assert (await safe_executor.execute("execute_sql", WRITE))["status"] == "refused"
    assert await human_approval_queue.get_pending_approvals() == []
    state = await controls.resume()
    assert state.read_only
    assert not (await controls.set_read_only(False)).read_only


async def test_what_is_approved_after_the_stop_is_not_executed_until_resumed(demo_runtime: Runtime) -> None:
    task = asyncio.create_task(safe_executor.execute("execute_sql", WRITE))
    while not (pending := await human_approval_queue.get_pending_approvals()):
        await asyncio.sleep(0.01)
    await controls.stop()
    await human_approval_queue.decide(pending[0]["id"], "approve")
    assert (await task)["status"] == "refused"
    await controls.resume()
    assert (await safe_executor.run_approved(pending[0]["id"]))["success"]


async def test_one_tenants_switches_are_not_anothers(demo_runtime: Runtime) -> None:
    await controls.stop()
    assert not (await controls.state(runtime=demo_runtime.for_tenant("other"))).stopped
