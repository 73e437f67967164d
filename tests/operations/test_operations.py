"""What every surface calls: each operation applies its rules by itself and returns values as who looks may see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.people import people as directory
from agent.chat import chat
from agent.errors import AlreadyDecided, DecisionRefused, NotFound
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals, audit, controls, executions, people, permissions
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client

ADDRESS = "anna.smith@firm.example"
CHANGE = f"UPDATE contacts SET email = '{ADDRESS}' WHERE id = 1"
YES = HumanDecision(decision="approve")


@pytest.fixture
async def team(demo_runtime: Runtime) -> AsyncIterator[Runtime]:
    """Ann names people and sees everything, Bo and Cy decide, the tester asks; it is Bo who looks."""
    ann = demo_runtime.for_tenant(demo_runtime.tenant_id, user="ann")
    await directory.add("ann", ["admin", "personal"], runtime=ann)
    for name in ("bo", "cy", "tester"):
        await directory.add(name, ["approver"], runtime=ann)
    bo = demo_runtime.for_tenant(demo_runtime.tenant_id, user="bo")
    with use_runtime(bo):
        yield bo


async def asked(sql: str = CHANGE) -> Approval:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, actor="tester")
    return await human_approval_queue.get(result["approval_id"])


def rows(runtime: Runtime, query: str) -> list[tuple]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return conn.execute(query).fetchall()


async def test_a_request_is_shown_masked_with_who_may_decide_it(team: Runtime) -> None:
    first, second = await asked(), await asked(CHANGE.replace("= 1", "= 2"))
    found = await approvals.list_requests()
    assert [one.approval.id for one in found.approvals] == [first.id, second.id]
    assert [one.approval.id for one in (await approvals.list_requests(1)).approvals] == [first.id]
    assert ADDRESS not in str(found)
    assert (found.approvals[0].why_not, found.approvals[0].deciders) == ("", ("ann", "bo", "cy"))
    await approvals.decide(first.id, HumanDecision(decision="delegate", delegate_to="cy"), via="test")
    shown = await approvals.view(first.id)
    assert "delegated to 'cy'" in shown.why_not
    assert shown.deciders == ("ann", "cy")
    assert [(one.decision, one.decided_by, one.detail) for one in shown.decisions] == [("delegate", "bo", "cy")]
    assert "asked for this" in (await approvals.view(second.id, viewer="tester")).why_not
    assert ADDRESS in str(await approvals.view(first.id, viewer="ann"))
    await approvals.decide(second.id, HumanDecision(decision="reject"), via="test")
    assert [one.approval.id for one in (await approvals.list_requests()).approvals] == [first.id]
    everything = await approvals.list_requests(everything=True)
    assert [one.approval.status for one in everything.approvals] == ["rejected", "pending"]


async def test_the_last_yes_carries_the_action_out_and_the_others_do_not(team: Runtime) -> None:
    settings = team.settings.model_copy(update={"quorum": "LOW=2, MEDIUM=2, HIGH=2, CRITICAL=2"})
    with use_runtime(replace(team, settings=settings, made={})):
        request = await asked("UPDATE clients SET notes = 'x'")
    first = await approvals.decide_and_run(request.id, YES, via="test")
    assert (first.approval.status, first.result) == ("pending", None)
    with pytest.raises(AlreadyDecided):
        await approvals.decide_and_run(request.id, YES, via="test")
    with pytest.raises(DecisionRefused):
        await approvals.decide_and_run(request.id, YES, via="test", decided_by="tester")
    assert rows(team, "select count(*) from clients where notes = 'x'") == [(0,)]
    last = await approvals.decide_and_run(request.id, YES, via="test", decided_by="cy")
    assert (last.approval.decided_by, last.approval.decided_via, last.waits_for_resume) == ("bo, cy", "test", False)
    assert last.result is not None
    assert last.result["success"]
    assert rows(team, "select bool_and(notes = 'x') from clients") == [(True,)]


async def test_what_is_approved_runs_after_what_was_asked_before_it_in_its_round(team: Runtime) -> None:
    changes = [call("execute_sql", sql=f"UPDATE clients SET notes = 'x' WHERE id IN ({n}, 9)") for n in (1, 2)]
    asker = replace(team.for_tenant(team.tenant_id, user="tester"), model=scripted_client([changes, "Done."]), made={})
    first, second = (await chat.answer("Note both", thread_id="t", runtime=asker)).approvals
    decided = await approvals.decide(first.id, YES, via="test")
    assert (decided.approval.status, decided.result) == ("approved", None)
    assert [one.id for one in await approvals.approved_waiting()] == [first.id]
    await approvals.decide_and_run(second.id, YES, via="test")
    done = rows(team, "select approval_id from agents.agent_execution_log where approval_id is not null order by id")
    assert done == [(first.id,), (second.id,)]
    assert (await approvals.run(first.id))["success"]  # its recorded outcome: it is not done again
    assert await approvals.approved_waiting() == ()


async def test_what_is_approved_while_all_is_stopped_waits_for_the_resumption(team: Runtime) -> None:
    request = await asked()
    stopped = await controls.stop("migration")
    assert (stopped.state.stopped, stopped.state.changed_by, stopped.state.reason) == (True, "bo", "migration")
    decided = await approvals.decide_and_run(request.id, YES, via="test")
    assert decided.waits_for_resume
    assert not (decided.result or {}).get("success")
    assert (await approvals.view(request.id)).waits_for_resume
    stranger = team.for_tenant(team.tenant_id, user="nobody")
    with pytest.raises(DecisionRefused):
        await controls.resume(runtime=stranger)
    resumed = await controls.resume()
    assert (resumed.state.stopped, resumed.state.read_only) == (False, False)
    assert [one.id for one in resumed.approved_waiting] == [request.id]
    assert ADDRESS not in str(resumed)
    assert not (await approvals.view(request.id)).waits_for_resume
    assert (await approvals.run(request.id))["success"]
    assert (await controls.current()).approved_waiting == ()


async def test_read_only_stops_changes_alone(team: Runtime) -> None:
    switches = await controls.stop("audit", read_only=True)
    assert (switches.state.stopped, switches.state.read_only, switches.ask_from) == (False, True, "LOW")
    assert (await safe_executor.execute("execute_sql", {"sql": "SELECT 1"}))["success"]
    assert not (await controls.resume()).state.read_only


async def test_a_permission_is_found_by_its_approval_and_revoked_once(team: Runtime) -> None:
    first, second = await asked(), await asked("UPDATE contacts SET email = 'b@firm.example' WHERE id = 2")
    always = HumanDecision(decision="approve", always=Always(seconds=600))
    given = (await approvals.decide_and_run(first.id, always, via="test")).permission
    assert given is not None
    assert (given.approval_id, given.granted_by, given.granted_to, given.state) == (first.id, "bo", "tester", "open")
    assert (await approvals.decide_and_run(second.id, YES, via="test")).permission is None
    found = [await permissions.of_approval(first.id), *await permissions.list_permissions()]
    assert [replace(one, read_at=given.read_at) for one in found if one] == [given, given]
    assert await permissions.of_approval(second.id) is None
    assert (ADDRESS in str(given), ADDRESS in str(await permissions.of_approval(first.id, viewer="ann"))) == (
        False,
        True,
    )
    await permissions.revoke(given.id)
    with pytest.raises(AlreadyDecided, match="revoked already, by 'bo'"):
        await permissions.revoke(given.id)
    with pytest.raises(NotFound):
        await permissions.revoke(given.id + 1)


async def test_a_change_is_undone_once_and_the_reason_is_given_when_it_cannot_be(team: Runtime) -> None:
    before = rows(team, "select email from contacts where id = 1")
    number = (await approvals.decide_and_run((await asked()).id, YES, via="test")).result["execution_id"]
    read = await safe_executor.execute("execute_sql", {"sql": "SELECT 1"}, actor="tester")
    assert "it changed nothing" in await executions.why_not_undo(read["execution_id"])
    assert await executions.why_not_undo(number) == ""
    tester = team.for_tenant(team.tenant_id, user="tester")
    proposed = await executions.undo(number, runtime=tester)
    assert (proposed.result["status"], proposed.why_not) == ("waiting", "")
    assert proposed.approval is not None
    assert (await approvals.decide_and_run(proposed.approval.id, YES, via="test")).result["success"]
    assert rows(team, "select email from contacts where id = 1") == before
    again = await executions.undo(number)
    assert (again.approval, "was undone already" in again.why_not) == (None, True)
    with pytest.raises(NotFound):
        await executions.undo(10**6)


async def test_an_action_that_a_switch_refuses_can_still_be_undone(team: Runtime) -> None:
    number = (await approvals.decide_and_run((await asked()).id, YES, via="test")).result["execution_id"]
    await controls.stop(read_only=True)
    refused = await executions.undo(number)
    assert (refused.result["status"], refused.why_not) == ("refused", "")
    assert await executions.forget(number) == 1
    assert "not kept" in await executions.why_not_undo(number)
    with pytest.raises(NotFound):
        await executions.forget(10**6)


async def test_executions_are_listed_by_number_and_shown_masked(team: Runtime) -> None:
    number = (await approvals.decide_and_run((await asked()).id, YES, via="test")).result["execution_id"]
    shown = await executions.show(number)
    assert (shown.execution.approved_by, shown.calls, ADDRESS in str(shown)) == ("bo", (), False)
    assert ADDRESS in str(await executions.show(number, viewer="ann"))
    await safe_executor.execute("execute_sql", {"sql": "SELECT 1"})
    found = [one.id for one in await executions.recent()]
    assert found == sorted(found, reverse=True)
    assert [one.id for one in await executions.recent(status="succeeded", limit=1)] == found[:1]
    with pytest.raises(NotFound):
        await executions.recent(thread_id="none")


async def test_the_first_person_named_is_told_who_decides_nothing_any_more(demo_runtime: Runtime) -> None:
    first = await people.add("ann", ["admin"])
    assert (first.alone, first.shut_out) == (True, "tester")
    await directory.remove_everybody(runtime=demo_runtime.for_tenant(demo_runtime.tenant_id, user="ann"))
    own = await people.add("Tester", ["admin"])
    assert (own.alone, own.shut_out) == (True, None)
    second = await people.add("bo")
    assert (second.person.roles, second.alone, second.shut_out) == (("approver",), False, None)


async def test_the_audit_log_is_masked_for_who_may_not_see_personal_values(team: Runtime) -> None:
    reason = f"for {ADDRESS}"
    request = await asked()
    await approvals.decide(request.id, HumanDecision(decision="reject", comment=reason), via="test")
    assert ADDRESS not in str(await audit.recent())
    assert ADDRESS in str(await audit.recent(viewer="ann"))
    entries = await audit.recent(viewer="tester")
    assert {(one.subject, one.event) for one in entries} >= {("human_approval_queue", "updated")}
    assert len(await audit.recent(2)) == 2
