"""Several people: who may decide, two for what is critical, nobody for themselves, and races between all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product

import psycopg
import pytest

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.people import people
from agent.errors import AlreadyDecided, DecisionRefused, InvalidInput, NotFound
from agent.execution.controls import controls
from agent.execution.created_tools.store import created_tools
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.statements.trusted_functions import trusted_functions
from agent.testing.cases import each

ONE = "UPDATE clients SET notes = 'seen' WHERE id = 1"


@pytest.fixture
async def team(demo_runtime: Runtime) -> AsyncIterator[Runtime]:
    """Ann names people; Bo, Cy and Di decide; Ed only sees; the asker is the tester."""
    demo_runtime = demo_runtime.for_tenant(demo_runtime.tenant_id, user="ann")
    with use_runtime(demo_runtime):
        await people.add("ann", ["admin", "personal"])
        for name in ("bo", "cy", "di"):
            await people.add(name, ["approver"])
        await people.add("ed", ["personal"])
        await people.add("tester", ["approver"])
        yield demo_runtime


async def asked(risk: str = "CRITICAL") -> Approval:
    return await human_approval_queue.request("act", {"n": 1}, risk_level=risk, requested_by="tester")


def rows(runtime: Runtime, query: str) -> list[tuple]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return conn.execute(query).fetchall()


@each(
    ("name", "decision"),
    [*product(["nobody", "ed", "tester", "Tester", " tester "], ["approve", "respond", "edit", "delegate"])],
)
async def test_who_is_unknown_has_no_role_or_asked_it_themselves_does_not_decide(
    team: Runtime, name: str, decision: str
) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False, actor="tester")
    approval = await human_approval_queue.get(result["approval_id"])
    with pytest.raises(DecisionRefused):
        await safe_executor.decide(
            approval.id, decision, decided_by=name, response="x", delegate_to="bo", arguments={"sql": ONE}
        )
    assert await human_approval_queue.get(approval.id) == approval


async def test_critical_needs_two_different_people_and_the_second_decides(team: Runtime) -> None:
    approval = await asked()
    first = await human_approval_queue.decide(approval.id, "approve", decided_by="bo", comment="looks right")
    assert (first.status, first.approved_by, first.decided_by) == ("pending", ("bo",), None)
    for again in ("bo", "Bo", "ＢＯ"):  # noqa: RUF001  # the same name in other letters
        with pytest.raises(AlreadyDecided, match="another person"):
            await human_approval_queue.decide(approval.id, "approve", decided_by=again)
    second = await human_approval_queue.decide(approval.id, "approve", decided_by="cy")
    assert (second.status, second.decided_by) == ("approved", "bo, cy")
    said = await human_approval_queue.decisions(approval.id)
    assert [(one["decided_by"], one["decision"], one["comment"]) for one in said] == [
        ("bo", "approve", "looks right"),
        ("cy", "approve", None),
    ]


async def test_a_rejection_by_anyone_is_final_whoever_approved_before(team: Runtime) -> None:
    approval = await asked()
    await human_approval_queue.decide(approval.id, "approve", decided_by="bo")
    assert (await human_approval_queue.decide(approval.id, "reject", decided_by="cy")).status == "rejected"
    with pytest.raises(AlreadyDecided, match="rejected"):
        await human_approval_queue.decide(approval.id, "approve", decided_by="di")


async def test_the_asker_may_take_the_request_back(team: Runtime) -> None:
    approval = await asked()
    assert (await human_approval_queue.decide(approval.id, "reject", decided_by="tester")).status == "rejected"


async def test_the_vote_of_somebody_who_lost_their_rights_does_not_count(team: Runtime) -> None:
    approval = await asked()
    await human_approval_queue.decide(approval.id, "approve", decided_by="bo")
    await people.remove("bo")
    assert (await human_approval_queue.decide(approval.id, "approve", decided_by="cy")).status == "pending"
    with pytest.raises(DecisionRefused, match="known"):
        await human_approval_queue.decide(approval.id, "approve", decided_by="bo")
    assert (await human_approval_queue.decide(approval.id, "approve", decided_by="di")).status == "approved"


async def test_what_was_delegated_is_decided_by_the_delegate_or_an_admin(team: Runtime) -> None:
    approval = await asked("HIGH")
    delegated = await human_approval_queue.decide(approval.id, "delegate", decided_by="bo", delegate_to="Cy")
    assert (delegated.status, delegated.delegated_to) == ("pending", "cy")
    with pytest.raises(DecisionRefused, match="cy"):
        await human_approval_queue.decide(approval.id, "approve", decided_by="di")
    notices = await human_approval_queue.notices()
    assert [(one.kind, one.recipients) for one, _ in notices] == [("delegated", ("cy",))]
    assert (await human_approval_queue.decide(approval.id, "approve", decided_by="cy")).status == "approved"
    other = await asked("HIGH")
    await human_approval_queue.decide(other.id, "delegate", decided_by="bo", delegate_to="cy")
    assert (await human_approval_queue.decide(other.id, "approve", decided_by="ann")).status == "approved"
    third = await asked("HIGH")
    for nobody in ("nobody", "ed", "tester"):
        with pytest.raises(InvalidInput):
            await human_approval_queue.decide(third.id, "delegate", decided_by="bo", delegate_to=nobody)


async def test_an_edit_is_one_vote_of_the_two(team: Runtime) -> None:
    sql = {"sql": "UPDATE clients SET notes = 'all'"}
    result = await safe_executor.execute("execute_sql", sql, wait=False, actor="tester")
    approval = await human_approval_queue.get(result["approval_id"])
    with psycopg.connect(team.settings.database_url.get_secret_value()) as conn:
        conn.execute(
            "update agents.human_approval_queue set votes_needed = 2, risk_level = 'CRITICAL' where id = %s",
            [approval.id],
        )
    strict = team.settings.model_copy(update={"quorum": "LOW=2, MEDIUM=2, HIGH=2, CRITICAL=2"})
    runtime = await open_runtime(strict)
    edited = await safe_executor.decide(
        approval.id,
        "edit",
        arguments={"sql": "UPDATE clients SET notes = 'one' WHERE id = 1"},
        decided_by="bo",
        runtime=runtime,
    )
    assert (edited.status, edited.approved_by, edited.votes_needed) == ("pending", ("bo",), 2)
    assert (await safe_executor.decide(edited.id, "approve", decided_by="cy")).status == "approved"
    await runtime.close()


async def test_people_are_named_by_admins_and_the_last_admin_stays(demo_runtime: Runtime) -> None:
    ann, bo = (demo_runtime.for_tenant("default", user=name) for name in ("ann", "bo"))
    with pytest.raises(InvalidInput, match="first person must be an admin"):
        await people.add("bo", ["approver"], runtime=bo)
    await people.add("Ann", ["admin"], runtime=demo_runtime)
    for attempt in (
        people.add("bo", ["admin"], runtime=bo),
        people.remove("Ann", runtime=bo),
        people.remove_everybody(runtime=bo),
    ):
        with pytest.raises(DecisionRefused, match="Only an admin"):
            await attempt
    await people.add("bo", ["approver"], runtime=ann)
    for attempt in (people.remove("ann", runtime=ann), people.add("ann", ["approver"], runtime=ann)):
        with pytest.raises(InvalidInput, match="last admin"):
            await attempt
    await people.add("BO", ["admin"], runtime=ann)
    assert [person.name for person in await people.list_people(runtime=ann)] == ["Ann", "bo"]
    admins = {"Ann": ann, "bo": bo}
    for _ in range(10):
        both = await asyncio.gather(
            people.remove("bo", runtime=ann), people.remove("ann", runtime=bo), return_exceptions=True
        )
        assert sum(isinstance(one, Exception) for one in both) == 1
        left = [person for person in await people.list_people(runtime=ann) if person.is_admin]
        assert len(left) == 1
        for name in admins:
            await people.add(name, ["admin"], runtime=admins[left[0].name])
    await people.remove("bo" if left[0].name == "Ann" else "ann", runtime=admins[left[0].name])
    with pytest.raises(NotFound):
        await people.remove("zoe", runtime=demo_runtime.for_tenant("default", user=left[0].name))
    for name, roles in (("x\ny", ["admin"]), ("", ["admin"]), ("x", []), ("x", ["king"]), ("policy", ["admin"])):
        with pytest.raises(InvalidInput):
            await people.add(name, roles, runtime=demo_runtime.for_tenant("default", user=left[0].name))
    await people.remove_everybody(runtime=demo_runtime.for_tenant("default", user=left[0].name))
    assert not (await people.membership("anybody", runtime=demo_runtime)).several


async def test_people_of_one_tenant_decide_nothing_of_another(team: Runtime) -> None:
    other = team.for_tenant("other", user="ann")
    assert not (await people.membership("ann", runtime=other)).several
    approval = await human_approval_queue.request("x", {}, runtime=other)
    with pytest.raises(NotFound):
        await human_approval_queue.decide(approval.id, "approve", decided_by="ann", runtime=team)


async def test_of_racing_voters_exactly_two_different_people_count_however_they_write_their_names(
    team: Runtime,
) -> None:
    names = [f"{letter}{number}" for number in range(8) for letter in "vV"]
    for name in names[::2]:
        await people.add(name, ["approver"])
    approval = await asked()
    tries = [human_approval_queue.decide(approval.id, "approve", decided_by=name) for name in names]
    said = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, AlreadyDecided) for one in said) == 14
    assert len(set((await human_approval_queue.get(approval.id)).approved_by)) == 2


async def test_personal_values_are_shown_to_who_may_see_them_and_to_nobody_else(team: Runtime) -> None:
    sql = "UPDATE contacts SET email = 'new.secret@example.com' WHERE id = 1"
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, actor="tester")
    number = result["approval_id"]
    bo = team.for_tenant(team.tenant_id, user="bo")
    (old,) = rows(team, "select email from contacts where id = 1")
    for name, seen in (("ann", True), ("ed", True), ("bo", False), ("tester", False), ("nobody", False)):
        shown = await human_approval_queue.get(number, viewer=name)
        text = f"{shown.preview_json} {shown.arguments} {shown.summary}"
        assert ("new.secret@example.com" in text, old[0] in text) == (seen, seen), name
    listed = [str(one) for one in await human_approval_queue.get_pending_approvals(runtime=bo)]
    listed += [str(one) for one in await human_approval_queue.history(runtime=bo)]
    assert len(listed) == 2
    assert not any("secret@" in one or old[0] in one for one in listed)
    # What is shown is bound like what is stored, and a mask is no value.
    shown = await human_approval_queue.get(number, viewer="bo")
    with pytest.raises(InvalidInput, match="may not see"):
        await safe_executor.decide(number, "edit", arguments=shown.arguments, decided_by="bo")
    await safe_executor.decide(number, "approve", decided_by="bo", binding=shown.binding)
    assert (await safe_executor.run_approved(number))["success"]
    assert rows(team, "select email from contacts where id = 1") == [("new.secret@example.com",)]


@pytest.mark.parametrize("name", ["mallory", "ed"])
async def test_who_decides_nothing_vouches_for_nothing_and_lifts_nothing_but_may_stop(team: Runtime, name: str) -> None:
    other = team.for_tenant(team.tenant_id, user=name)
    await controls.stop("look first", runtime=other)
    await controls.set_read_only(True, "look first", runtime=other)
    for attempt in (
        trusted_functions.trust("public.set_updated_at()", runtime=other),
        created_tools.activate("double", runtime=other),
        created_tools.rollback("double", 1, runtime=other),
        controls.resume(runtime=other),
        controls.set_read_only(False, runtime=other),
    ):
        with pytest.raises(DecisionRefused, match="decide here"):
            await attempt
    state = await controls.resume(runtime=team.for_tenant(team.tenant_id, user="bo"))
    assert (state.stopped, state.read_only, state.changed_by) == (False, True, "bo")


async def test_an_edited_request_is_still_the_delegates(team: Runtime) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False, actor="tester")
    number = result["approval_id"]
    await safe_executor.decide(number, "delegate", decided_by="bo", delegate_to="cy")
    wider = {"sql": "UPDATE clients SET notes = 'seen' WHERE id < 9"}
    edited = await safe_executor.decide(number, "edit", decided_by="cy", arguments=wider)
    assert (edited.status, edited.replaces, edited.delegated_to) == ("pending", number, "cy")
    with pytest.raises(DecisionRefused):
        await human_approval_queue.decide(edited.id, "approve", decided_by="di")
    assert (await human_approval_queue.decide(edited.id, "approve", decided_by="cy")).status == "approved"
