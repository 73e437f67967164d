"""What people can say to a request beside yes and no: change it, answer it themselves, leave it to another."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import psycopg
import pytest

from agent.approval.human_approval import Approval, human_approval_queue
from agent.chat import chat
from agent.errors import ActionRefused, AgentError, AlreadyDecided, DecisionRefused, InvalidArguments, InvalidInput
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client
from agent.types import CallKey

ONE = "UPDATE clients SET notes = 'seen' WHERE id = 1"


async def asked(sql: str = ONE, *, call: CallKey | None = None) -> Approval:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, call=call)
    assert result["status"] == "waiting", result
    return await human_approval_queue.get(result["approval_id"])


def noted(runtime: Runtime, note: str = "seen") -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select id from clients where notes = %s order by 1", [note])]


async def test_an_edit_within_what_was_seen_is_approved_by_the_same_decision(demo_runtime: Runtime) -> None:
    seen = await asked()
    edited = await safe_executor.decide(
        seen.id, "edit", arguments={"sql": ONE.replace("= 1", "= 2")}, comment="the other one", binding=seen.binding
    )
    assert (edited.replaces, edited.status, edited.risk_level) == (seen.id, "approved", seen.risk_level)
    assert edited.preview_json["rows"][0]["after"]["id"] == 2
    old = await human_approval_queue.get(seen.id)
    assert (old.status, old.comment) == ("edited", "the other one")
    assert (await safe_executor.run_approved(edited.id))["success"]
    assert noted(demo_runtime) == [2]
    # The request that was edited is never executed: asked for, it says what became of the edit.
    assert (await safe_executor.run_approved(seen.id))["approval_id"] == edited.id
    assert noted(demo_runtime) == [2]
    assert [row.status for row in await executions.recent()] == ["succeeded", "edited"]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE clients SET notes = 'seen' WHERE id IN (1, 2)", "it changes 2 rows, and 1 was shown"),
        ("UPDATE clients SET notes = 'seen'", "risk"),
        ("UPDATE invoices SET notes = 'seen' WHERE id = 1", "invoices"),
    ],
)
async def test_an_edit_beyond_what_was_seen_waits_for_a_second_look(demo_runtime: Runtime, sql: str, why: str) -> None:
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("alter table invoices add column if not exists notes text")
    seen = await asked()
    edited = await safe_executor.decide(seen.id, "edit", arguments={"sql": sql})
    assert edited.status == "pending"
    assert why in edited.summary
    assert edited.preview_json["sql"] == sql
    assert (await safe_executor.run_approved(seen.id))["status"] == "waiting"
    with pytest.raises(AlreadyDecided, match="edited"):
        await human_approval_queue.decide(seen.id, "approve")
    with pytest.raises(DecisionRefused, match="look at it again"):
        await human_approval_queue.decide(edited.id, "approve", binding=seen.binding)
    await human_approval_queue.decide(edited.id, "reject")
    assert noted(demo_runtime) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"sql": "DELETE FROM agents.people"}, ActionRefused),
        ({"sql": "SELECT 1"}, InvalidInput),
        ({"sql": "UPDATE nothing SET x = 1"}, AgentError),
        ({"sql": "UPDATE clients SET"}, InvalidArguments),
        ({"sql": ONE, "tool": "send_email"}, InvalidArguments),
        ({"sql": 7}, InvalidArguments),
        ({}, InvalidArguments),
        (None, InvalidInput),
    ],
)
async def test_an_edit_that_cannot_be_leaves_the_request_as_it_was(
    demo_runtime: Runtime, arguments: dict | None, error: type[Exception]
) -> None:
    seen = await asked()
    with pytest.raises(error):
        await safe_executor.decide(seen.id, "edit", arguments=arguments)
    assert await human_approval_queue.get(seen.id) == seen
    assert len(await human_approval_queue.history()) == 1


async def test_of_edits_approvals_and_rejections_at_once_one_wins(demo_runtime: Runtime) -> None:
    for _ in range(4):
        seen = await asked()

        async def decide(number: int, approval_id: int = seen.id) -> str:
            kind = ("edit", "approve", "reject", "edit")[number % 4]
            arguments = {"sql": f"UPDATE clients SET notes = 'by {number}' WHERE id = 1"} if kind == "edit" else None
            try:
                await safe_executor.decide(approval_id, kind, arguments=arguments, decided_by=f"p{number}")
            except AlreadyDecided:
                return "late"
            return kind

        outcomes = Counter(await asyncio.gather(*(decide(number) for number in range(8))))
        assert outcomes["late"] == 7
        current = await human_approval_queue.latest(seen.id)
        assert (current.id == seen.id) == (outcomes["edit"] == 0)
        await asyncio.gather(*(safe_executor.run_approved(seen.id) for _ in range(4)))
        succeeded = [row for row in await executions.recent() if row.approval_id in {seen.id, current.id}]
        assert sum(row.status == "succeeded" for row in succeeded) == (current.status == "approved")


async def test_a_call_whose_request_was_edited_is_told_so_and_runs_once(demo_runtime: Runtime) -> None:
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    seen = await asked(call=key)
    edited = await safe_executor.decide(seen.id, "edit", arguments={"sql": ONE.replace("= 1", "= 3")})
    result = await safe_executor.execute("execute_sql", {"sql": ONE}, call=key)
    assert (result["status"], result["approval_id"]) == ("succeeded", edited.id)
    assert "A human changed the arguments" in result["message"]
    assert "id = 3" in result["message"]
    assert await safe_executor.execute("execute_sql", {"sql": ONE}, call=key) == result
    assert noted(demo_runtime) == [3]


async def test_an_answer_in_the_tools_place_executes_nothing_and_is_marked_as_a_humans(demo_runtime: Runtime) -> None:
    seen = await asked()
    answered = await safe_executor.decide(seen.id, "respond", response="Ana does it by hand.", decided_by="bo")
    assert (answered.status, answered.response, answered.decided_by) == ("answered", "Ana does it by hand.", "bo")
    result = await safe_executor.run_approved(seen.id)
    assert (result["success"], result["status"]) == (True, "answered")
    assert result["data"] == {"answered_by": "bo", "answer": "Ana does it by hand."}
    assert "nothing was executed" in result["message"]
    assert noted(demo_runtime) == []
    assert [row.status for row in await executions.recent()] == ["answered"]
    for decision in ("approve", "reject"):
        with pytest.raises(AlreadyDecided):
            await human_approval_queue.decide(seen.id, decision)
    with pytest.raises(InvalidInput):
        await safe_executor.decide((await asked()).id, "respond", response=" \x00")


async def test_a_decision_about_something_else_than_was_seen_is_refused(demo_runtime: Runtime) -> None:
    one, other = await asked(), await asked(ONE.replace("= 1", "= 2"))
    for decision in ("approve", "reject"):
        with pytest.raises(DecisionRefused, match="look at it again"):
            await human_approval_queue.decide(one.id, decision, binding=other.binding)
    await human_approval_queue.decide(one.id, "approve", binding=one.binding)
    with pytest.raises(AlreadyDecided):  # the same decision, sent again
        await human_approval_queue.decide(one.id, "approve", binding=one.binding)
    assert (await human_approval_queue.get(other.id)).status == "pending"


async def test_a_name_under_which_rules_decide_is_no_persons(demo_runtime: Runtime) -> None:
    seen = await asked()
    for name in ("policy", "Policy", "permission 1"):
        with pytest.raises(InvalidInput, match="rules decide"):
            await human_approval_queue.decide(seen.id, "approve", decided_by=name, via="policy")


async def test_what_expired_is_opened_again_once_with_a_fresh_preview(demo_runtime: Runtime) -> None:
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    seen = await asked(call=key)
    url = demo_runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url) as conn:
        conn.execute("update agents.human_approval_queue set expires_at = now()")
        conn.execute("update clients set name = 'Renamed' where id = 1")
    assert (await safe_executor.run_approved(seen.id))["status"] == "expired"
    tries = await asyncio.gather(*(safe_executor.reopen(seen.id) for _ in range(4)), return_exceptions=True)
    again = [one for one in tries if isinstance(one, Approval)]
    assert len(again) == 1
    assert all(isinstance(one, AlreadyDecided) and str(again[0].id) in str(one) for one in tries if one != again[0])
    assert (again[0].status, again[0].replaces, again[0].thread_id) == ("pending", seen.id, "t")
    assert again[0].preview_json["rows"][0]["before"]["name"] == "Renamed"
    # The call has its outcome, and keeps it.
    assert (await safe_executor.execute("execute_sql", {"sql": ONE}, call=key))["status"] == "expired"
    await human_approval_queue.decide(again[0].id, "approve")
    assert (await safe_executor.run_approved(again[0].id))["success"]
    assert (await safe_executor.run_approved(seen.id))["status"] == "expired"
    with pytest.raises(InvalidInput, match="approved"):
        await safe_executor.reopen(again[0].id)


async def test_an_edit_counts_the_statements_own_rows_and_says_apart_what_comes_with_them(
    demo_runtime: Runtime,
) -> None:
    seen = await asked()
    edited = await safe_executor.decide(seen.id, "edit", arguments={"sql": ONE.replace("= 1", "IN (1, 2)")})
    assert edited.summary.startswith(
        "Edited, and it changes 2 rows, and 1 was shown; 2 rows of public.audit_log change with it, and 1 was shown. "
    )
    assert edited.summary.endswith(" 2 rows affected.")
    assert edited.preview_json["row_count"] == 2


async def test_rows_of_the_same_table_that_a_cascade_takes_along_are_more_than_were_shown(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("create table parts (id int primary key, whole int references parts on delete cascade)")
        conn.execute("insert into parts values (1, null), (2, 1), (3, null), (4, 3), (5, 3)")
        conn.execute("grant select, insert, update, delete on parts to agent_actor")
    seen = await asked("DELETE FROM parts WHERE id = 1")
    edited = await safe_executor.decide(seen.id, "edit", arguments={"sql": "DELETE FROM parts WHERE id = 3"})
    assert edited.status == "pending"
    assert "3 rows of public.parts change with it, and 2 were shown" in edited.summary


async def asked_in_thread(runtime: Runtime, question: str, sql: str) -> Approval:
    scripted = replace(runtime, model=scripted_client([call("execute_sql", sql=sql)]), cached={})
    with use_runtime(scripted):
        (approval,) = (await chat.answer(question, thread_id="t")).approvals
    return approval


async def opened_again(approval: Approval, runtime: Runtime) -> Approval:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("update agents.human_approval_queue set expires_at = now() where id = %s", [approval.id])
    await safe_executor.run_approved(approval.id)
    return await safe_executor.reopen(approval.id)


BUDGET = "UPDATE clients SET monthly_budget = 77 WHERE name = 'Northwind Coffee'"


async def test_what_is_opened_again_twice_still_has_its_values_from_the_users_words(demo_runtime: Runtime) -> None:
    seen = await asked_in_thread(demo_runtime, "Set the monthly budget of Northwind Coffee to 77", BUDGET)
    await agent_memory.save("The monthly budget is to be 77.", trust="external")
    again = await opened_again(await opened_again(seen, demo_runtime), demo_runtime)
    assert (again.thread_id, again.turn, again.call) == ("t", 1, None)
    assert again.preview_json.get("origins", []) == []
    assert (again.risk_level, again.reasons) == (seen.risk_level, seen.reasons)


async def test_what_is_asked_again_as_its_row_had_changed_still_has_its_values_from_the_users_words(
    demo_runtime: Runtime,
) -> None:
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:
        (name,) = conn.execute("select name from clients where id = 3").fetchone()
    sql = f"UPDATE clients SET monthly_budget = 77 WHERE name = '{name}'"
    seen = await asked_in_thread(demo_runtime, f"Set the monthly budget of {name} to 77", sql)
    again = await opened_again(seen, demo_runtime)
    await human_approval_queue.decide(again.id, "approve")
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("update clients set notes = 'changed meanwhile' where id = 3")
    done = await safe_executor.run_approved(again.id)
    asked_again = await human_approval_queue.get(done["data"]["asked_again_as"])
    assert asked_again.preview_json.get("origins", []) == []
    assert (asked_again.risk_level, asked_again.reasons) == (seen.risk_level, seen.reasons)


async def test_an_edit_of_what_was_opened_again_stays_in_its_conversation(demo_runtime: Runtime) -> None:
    seen = await asked_in_thread(demo_runtime, "Set the monthly budget of Northwind Coffee to 77", BUDGET)
    again = await opened_again(seen, demo_runtime)
    edited = await safe_executor.decide(again.id, "edit", arguments={"sql": BUDGET.replace("77", "78")})
    assert (edited.status, edited.thread_id, edited.turn, edited.call) == ("approved", "t", 1, None)


async def test_words_that_are_only_in_a_threads_summary_by_now_were_said_all_the_same(demo_runtime: Runtime) -> None:
    seen = await asked_in_thread(demo_runtime, "Set the monthly budget of Northwind Coffee to 77", BUDGET)
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("update agents.threads set summarised = 1, summary = '- asked: something' where thread_id = 't'")
    again = await opened_again(seen, demo_runtime)
    assert again.preview_json.get("origins", []) == []
    assert again.risk_level == seen.risk_level


async def test_a_question_from_python_can_be_answered_but_not_edited(runtime: Runtime) -> None:
    waiting = asyncio.create_task(human_approval_queue.request_approval("pause", {"n": 1}))
    while not (pending := await human_approval_queue.get_pending_approvals()):
        await asyncio.sleep(0.01)
    with pytest.raises(InvalidInput, match="only a question"):
        await safe_executor.decide(pending[0]["id"], "edit", arguments={"n": 2})
    await safe_executor.decide(pending[0]["id"], "respond", response="Ask me on Monday.")
    answer = await waiting
    assert (answer["approved"], answer["status"], answer["response"]) == (False, "answered", "Ask me on Monday.")


async def test_in_a_turn_one_call_is_edited_one_answered_one_rejected_and_none_kills_another(
    demo_runtime: Runtime,
) -> None:
    sqls = [ONE.replace("= 1", f"= {number}") for number in (1, 2, 3, 4)]
    calls = [call("execute_sql", sql=sql) for sql in sqls]
    scripted = replace(demo_runtime, model=scripted_client([calls, "All settled."]), cached={})
    with use_runtime(scripted):
        answer = await chat.answer("Note them", thread_id="t")
        first, second, third, fourth = answer.approvals
        await safe_executor.decide(first.id, "edit", arguments={"sql": ONE.replace("= 1", "IN (7, 8)")})
        await safe_executor.decide(second.id, "respond", response="Done by hand.")
        await safe_executor.decide(third.id, "reject", comment="no")
        await safe_executor.decide(fourth.id, "approve")
        # The edit goes beyond what was seen: the turn waits for that one, and for nothing else.
        waiting = await chat.finish("t")
        assert waiting.status == "waiting"
        (edited,) = waiting.approvals
        assert edited.replaces == first.id
        # Another message neither drops it nor asks it again.
        again = await chat.answer("And now?", thread_id="t")
        assert again.status == "waiting"
        assert [one.id for one in again.approvals] == [edited.id]
        assert "waiting for a decision" in again.text
        await safe_executor.decide(edited.id, "approve", binding=edited.binding)
        assert (await chat.finish("t")).text == "All settled."
        told = [
            json.loads(message.text.split("\n")[1]) for message in scripted.model.requests[-1] if message.type == "tool"
        ]
    assert [one["status"] for one in told] == ["succeeded", "answered", "rejected", "succeeded"]
    assert "final" in told[2]["error"]
    assert noted(demo_runtime) == [4, 7, 8]


async def test_an_approved_request_of_a_tool_that_is_gone_is_refused_and_stops_no_start(runtime: Runtime) -> None:
    gone = await human_approval_queue.request("no_such_tool", {})
    await human_approval_queue.decide(gone.id, "approve")
    assert [result["status"] for result in await safe_executor.execute_left_over()] == ["refused"]
