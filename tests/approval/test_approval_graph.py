"""Decisions as Studio and Agent Inbox send them: resume values of the graph's interrupts, bound to rows of the queue."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.execution.safe_executor import safe_executor
from agent.graph import open_graph
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client

ONE = "UPDATE clients SET notes = 'seen' WHERE id = 1"


class Studio:
    """A thread of the graph, resumed as LangGraph's server does it."""

    def __init__(self, graph: Any, model: Any) -> None:
        self.graph, self.model = graph, model
        self.thread = {"configurable": {"thread_id": f"default/{uuid4().hex[:8]}"}}

    async def ask(self, question: str) -> list[Any]:
        return await self._run({"messages": [HumanMessage(question, id=str(uuid4()))]})

    async def resume(self, value: Any) -> list[Any]:
        return await self._run(Command(resume=value))

    async def _run(self, given: Any) -> list[Any]:
        """The values of the interrupts at which it stopped; none when it is done."""
        config = {"configurable": {**self.thread["configurable"], "run_id": str(uuid4())}}
        await self.graph.ainvoke(given, config, durability="sync")
        return [one.value for one in (await self.graph.aget_state(config)).interrupts]

    def told(self) -> list[dict[str, Any]]:
        """The tool results that the model was sent last."""
        texts = [message.text for message in self.model.requests[-1] if message.type == "tool"]
        return [json.loads(text[text.index("{") : text.rindex("}") + 1]) for text in texts]


@pytest.fixture
async def studio(demo_runtime: Runtime) -> AsyncIterator[Studio]:
    model = scripted_client([call("execute_sql", sql=ONE), "All settled."])
    runtime = replace(demo_runtime, model=model, cached={})
    with use_runtime(runtime):
        yield Studio(await open_graph(runtime), model)


def noted(runtime: Runtime) -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select id from clients where notes = 'seen' order by 1")]


def edit(sql: str, name: str = "execute_sql") -> dict[str, Any]:
    return {"decisions": [{"type": "edit", "edited_action": {"name": name, "args": {"sql": sql}}}]}


async def test_an_edit_runs_in_the_place_of_what_was_asked(studio: Studio, demo_runtime: Runtime) -> None:
    (asked,) = await studio.ask("Note client 1")
    assert asked["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert await studio.resume(edit(ONE.replace("= 1", "= 2"))) == []
    assert noted(demo_runtime) == [2]
    (told,) = studio.told()
    assert told["success"]
    assert "A human changed the arguments" in told["message"]


async def test_an_edit_that_goes_further_is_a_new_interrupt_about_a_new_request(
    studio: Studio, demo_runtime: Runtime
) -> None:
    (asked,) = await studio.ask("Note client 1")
    (again,) = await studio.resume(edit("UPDATE clients SET notes = 'seen' WHERE id IN (2, 3)"))
    assert again["approval_id"] != asked["approval_id"]
    assert again["binding"] != asked["binding"]
    assert "it changes 2 rows, and 1 was shown" in again["action_requests"][0]["description"]
    assert noted(demo_runtime) == []
    assert await studio.resume([{"type": "accept", "args": None}]) == []
    assert noted(demo_runtime) == [2, 3]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (edit("SELECT 1"), "change nothing"),
        (edit("UPDATE clients SET nothing = 1 WHERE id = 1"), "nothing"),
        (edit(ONE, name="send_email"), "cannot change the tool"),
        ([{"type": "accept", "args": {"action": "execute_sql", "args": {"sql": "DELETE FROM clients"}}}], "as an edit"),
        ({"type": "delegate", "to": "ana"}, "agent people add"),
        ({"type": "respond"}, "message"),
        ({"decisions": [{"type": "approve"}, {"type": "approve"}]}, "Answer with"),
        ("go on", "Answer with"),
    ],
)
async def test_what_decides_nothing_is_asked_again_and_says_why(
    studio: Studio, demo_runtime: Runtime, value: Any, why: str
) -> None:
    (asked,) = await studio.ask("Note client 1")
    (again,) = await studio.resume(value)
    assert again["approval_id"] == asked["approval_id"]
    assert why in again["action_requests"][0]["description"]
    assert noted(demo_runtime) == []
    assert await studio.resume({"type": "approve"}) == []
    assert noted(demo_runtime) == [1]


async def test_an_answer_in_the_tools_place_reaches_the_model_as_a_humans(
    studio: Studio, demo_runtime: Runtime
) -> None:
    await studio.ask("Note client 1")
    assert await studio.resume({"decisions": [{"type": "respond", "message": "Ana did it on paper."}]}) == []
    (told,) = studio.told()
    assert (told["status"], told["data"]["answer"]) == ("answered", "Ana did it on paper.")
    assert noted(demo_runtime) == []


async def test_a_rejection_reaches_the_model_as_final_with_its_reason(studio: Studio, demo_runtime: Runtime) -> None:
    await studio.ask("Note client 1")
    assert await studio.resume({"decisions": [{"type": "reject", "message": "not this client"}]}) == []
    (told,) = studio.told()
    assert told["status"] == "rejected"
    assert "final" in told["error"]
    assert "not this client" in told["error"]


async def test_one_who_asked_cannot_approve_and_a_second_person_elsewhere_can(
    studio: Studio, demo_runtime: Runtime
) -> None:
    await people.add("tester", ["admin"])
    await people.add("bo", ["approver"])
    (asked,) = await studio.ask("Note client 1")
    (again,) = await studio.resume({"type": "approve"})
    assert "another person must decide" in again["action_requests"][0]["description"]
    await safe_executor.decide(asked["approval_id"], "approve", decided_by="bo", binding=asked["binding"])
    assert await studio.resume({"type": "reject"}) == []  # the row has the last word
    assert noted(demo_runtime) == [1]


async def test_with_a_quorum_the_first_yes_is_asked_on_and_counts_once(demo_runtime: Runtime) -> None:
    settings = demo_runtime.settings.model_copy(update={"quorum": "LOW=2, MEDIUM=2, HIGH=2, CRITICAL=2"})
    model = scripted_client([call("execute_sql", sql=ONE), "All settled."])
    asking = replace(demo_runtime, settings=settings, user="asker", model=model, cached={})
    await people.add("tester", ["admin"])
    await people.add("bo", ["approver"])
    with use_runtime(asking):
        studio = Studio(await open_graph(asking), model)
        (asked,) = await studio.ask("Note client 1")
    with use_runtime(replace(asking, user="tester")):  # a server of its own, with its own user
        (again,) = await studio.resume({"type": "approve"})
        assert "Approved by tester; 2 people must" in again["action_requests"][0]["description"]
        (third,) = await studio.resume({"type": "approve"})
        assert "another person must approve it too" in third["action_requests"][0]["description"]
        assert noted(demo_runtime) == []
        await human_approval_queue.decide(asked["approval_id"], "approve", decided_by="bo")
        assert await studio.resume({"type": "collect"}) == []
    assert noted(demo_runtime) == [1]


async def test_a_delegation_counts_once_though_its_resume_value_comes_again(demo_runtime: Runtime) -> None:
    model = scripted_client([call("execute_sql", sql=ONE), "All settled."])
    asking = replace(demo_runtime, user="asker", model=model, cached={})
    for name in ("tester", "ana", "bo"):
        await people.add(name, ["admin"])
    with use_runtime(asking):
        studio = Studio(await open_graph(asking), model)
        (asked,) = await studio.ask("Note client 1")
    with use_runtime(replace(asking, user="tester")):
        (again,) = await studio.resume({"type": "delegate", "to": "ana"})
        assert "Delegated to ana" in again["action_requests"][0]["description"]
        await safe_executor.decide(asked["approval_id"], "delegate", decided_by="ana", delegate_to="bo")
        (third,) = await studio.resume("go on")
        assert "Answer with" in third["action_requests"][0]["description"]
    assert (await human_approval_queue.get(asked["approval_id"])).delegated_to == "bo"
    said = await human_approval_queue.decisions(asked["approval_id"])
    assert [(one["decision"], one["detail"]) for one in said] == [("delegate", "ana"), ("delegate", "bo")]


async def test_personal_values_stay_out_of_an_interrupt_for_who_may_not_see_them(demo_runtime: Runtime) -> None:
    sql = "UPDATE contacts SET email = 'new.secret@example.com' WHERE id = 1"
    model = scripted_client([call("execute_sql", sql=sql), "All settled."])
    await people.add("tester", ["admin"])
    with use_runtime(replace(demo_runtime, model=model, cached={})) as runtime:
        (asked,) = await Studio(await open_graph(runtime), model).ask("Set the mail of contact 1")
    assert "new.secret" not in json.dumps(asked)
