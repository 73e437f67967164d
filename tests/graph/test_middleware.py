"""Our learning and our tools in somebody else's agent, made with `langchain.agents.create_agent`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command
from typing_extensions import TypedDict

from agent.approval.human_approval import human_approval_queue
from agent.execution.controls import controls
from agent.graph.langchain_tools import langchain_tools
from agent.graph.middleware import KnowledgeMiddleware
from agent.learning.memory import agent_memory
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.scripted_model import ScriptedChatModel, call

CHANGE = call("execute_sql", sql="update public.accounts set state = 'closed' where id = 2")


@pytest.fixture
def accounts(runtime: Runtime) -> str:
    url = runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.accounts (id int primary key, state text not null default 'open')")
        conn.execute("insert into public.accounts select n from generate_series(1, 5) n")
    return url


def agent_of(*script: Any, prompt: str | None = None) -> tuple[Any, ScriptedChatModel]:
    model = ScriptedChatModel(script=list(script))
    made = create_agent(model, tools=langchain_tools(), middleware=[KnowledgeMiddleware()], system_prompt=prompt)
    return made, model


async def ask(agent: Any, question: str) -> dict[str, Any]:
    return await agent.ainvoke({"messages": [("user", question)]})


async def test_another_agent_is_shown_what_is_known_beside_its_own_instructions(accounts: str) -> None:
    await agent_memory.save("Account 2 belongs to the mayor.")
    agent, model = agent_of("Five.", prompt="Speak like a pirate.")
    await ask(agent, "How many accounts belong to the mayor?")
    (system, *_) = model._requests[0]
    assert isinstance(system, SystemMessage)
    assert "TABLE public.accounts" in system.text
    assert "the mayor" in system.text
    assert system.text.endswith("Speak like a pirate.")


async def test_what_another_agent_did_is_remembered(accounts: str) -> None:
    agent, _ = agent_of(call("query_data", table="accounts"), "There are five accounts.")
    answer = await ask(agent, "How many accounts are there?")
    (result,) = (message for message in answer["messages"] if isinstance(message, ToolMessage))
    assert json.loads(result.text)["row_count"] == 5
    (memory,) = await agent_memory.list_memories(kind="interaction")
    assert "How many accounts are there?" in memory.content
    assert memory.metadata["tools"] == ["query_data"]


async def test_a_risky_call_of_an_agent_without_a_checkpointer_says_at_once_that_it_waits(accounts: str) -> None:
    agent, _ = agent_of(CHANGE, "It waits for somebody.")
    async with asyncio.timeout(20):
        answer = await ask(agent, "Close account 2")
    (result,) = (json.loads(one.text) for one in answer["messages"] if isinstance(one, ToolMessage))
    (waiting,) = await human_approval_queue.get_pending_approvals()
    assert (result["status"], result["approval_id"]) == ("waiting", waiting["id"])
    assert f"it waits, request {waiting['id']}" in result["message"]
    assert closed(accounts) == []
    await approvals.decide_and_run(waiting["id"], HumanDecision(decision="approve"), via="test")
    assert closed(accounts) == [2]


def remembering(*calls: Any) -> Any:
    """An agent with a checkpointer."""
    model = ScriptedChatModel(script=[list(calls), "Done."])
    return create_agent(model, tools=langchain_tools(), checkpointer=InMemorySaver())


THREAD: Any = {"configurable": {"thread_id": "1"}}


async def interrupts_of(agent: Any) -> list[Any]:
    return list((await agent.aget_state(THREAD)).interrupts)


async def told_to(agent: Any) -> list[dict[str, Any]]:
    messages = (await agent.aget_state(THREAD)).values["messages"]
    return [json.loads(message.text) for message in messages if isinstance(message, ToolMessage)]


@pytest.mark.parametrize(
    ("answer", "rows", "status"),
    [
        ({"type": "approve"}, [2], "succeeded"),
        ({"decisions": [{"type": "reject", "message": "not that one"}]}, [], "rejected"),
        ({"type": "respond", "message": "It was closed by phone."}, [], "answered"),
    ],
)  # fmt: skip
async def test_a_risky_call_of_an_agent_with_a_checkpointer_is_langchains_interrupt(
    accounts: str, answer: Any, rows: list[int], status: str
) -> None:
    agent = remembering(CHANGE)
    await agent.ainvoke({"messages": [("user", "Close account 2")]}, THREAD)
    (asked,) = await interrupts_of(agent)
    assert asked.value["action_requests"][0]["args"] == CHANGE["args"]
    assert asked.value["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert closed(accounts) == []
    await agent.ainvoke(Command(resume=answer), THREAD)
    assert await interrupts_of(agent) == []
    assert closed(accounts) == rows
    (result,) = await told_to(agent)
    assert result["status"] == status
    assert len(await human_approval_queue.history()) == 1


async def test_an_edit_that_must_be_confirmed_is_never_confirmed_by_the_answer_to_the_first_request(
    accounts: str,
) -> None:
    agent = remembering(CHANGE)
    await agent.ainvoke({"messages": [("user", "Close account 2")]}, THREAD)
    other = {"sql": CHANGE["args"]["sql"].replace("2", "3")}
    edit = {"type": "edit", "edited_action": {"name": "execute_sql", "args": other}}
    await agent.ainvoke(Command(resume=edit), THREAD)
    (result,) = await told_to(agent)
    assert (result["status"], result["approval_id"], closed(accounts)) == ("waiting", 2, [])
    await approvals.decide_and_run(2, HumanDecision(decision="approve"), via="test")
    assert closed(accounts) == [3]


async def test_a_request_that_is_edited_elsewhere_is_not_approved_by_who_saw_the_old_one(accounts: str) -> None:
    agent = remembering(CHANGE)
    await agent.ainvoke({"messages": [("user", "Close account 2")]}, THREAD)
    edit = HumanDecision(decision="edit", arguments={"sql": CHANGE["args"]["sql"].replace("2", "5")})
    outcome = await approvals.decide(1, edit, via="test")
    await agent.ainvoke(Command(resume={"type": "approve"}), THREAD)
    assert (outcome.approval.status, closed(accounts)) == ("pending", [])
    assert (await told_to(agent))[0]["status"] == "waiting"


async def test_an_answer_that_is_none_asks_again_and_a_decision_made_elsewhere_counts(accounts: str) -> None:
    agent = remembering(CHANGE)
    await agent.ainvoke({"messages": [("user", "Close account 2")]}, THREAD)
    await agent.ainvoke(Command(resume="perhaps"), THREAD)
    (asked,) = await interrupts_of(agent)
    assert "Answer with" in asked.value["action_requests"][0]["description"]
    decision = HumanDecision(decision="reject", comment="no")
    await approvals.decide_and_run(asked.value["approval_id"], decision, via="test")
    await agent.ainvoke(Command(resume={"type": "approve"}), THREAD)
    assert (await told_to(agent))[0]["status"] == "rejected"
    assert closed(accounts) == []


async def test_two_risky_calls_at_once_are_two_interrupts_and_each_answer_is_about_its_own(accounts: str) -> None:
    other = call("execute_sql", sql=CHANGE["args"]["sql"].replace("2", "4"))
    agent = remembering(CHANGE, other)
    await agent.ainvoke({"messages": [("user", "Close 2 and 4")]}, THREAD)
    asked = await interrupts_of(agent)
    assert len(asked) == 2
    answers = {one.id: {"type": "approve" if "id = 4" in json.dumps(one.value) else "reject"} for one in asked}
    await agent.ainvoke(Command(resume=answers), THREAD)
    assert closed(accounts) == [4]
    assert sorted(result["status"] for result in await told_to(agent)) == ["rejected", "succeeded"]


async def test_calls_that_share_a_task_wait_in_the_queue_because_their_answers_could_be_mixed_up(accounts: str) -> None:
    """LangGraph tells the interrupts of one task apart by their order only."""
    (tool,) = (one for one in langchain_tools() if one.name == "execute_sql")

    async def both(_: State) -> dict[str, Any]:
        await asyncio.gather(*(tool.ainvoke({"sql": CHANGE["args"]["sql"].replace("2", one)}) for one in "24"))
        return {"messages": ["went on"]}

    graph = StateGraph(State).add_node(both).add_edge(START, "both").compile(checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": []}, THREAD)
    for _ in range(2):
        if await interrupts_of(graph):
            await graph.ainvoke(Command(resume={"type": "reject"}), THREAD)
    assert closed(accounts) == []
    assert [message.text for message in (await graph.aget_state(THREAD)).values["messages"]] == ["went on"]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def closed(accounts: str) -> list[int]:
    with psycopg.connect(accounts) as conn:
        return [row[0] for row in conn.execute("select id from accounts where state = 'closed' order by id")]


async def test_a_refused_call_comes_back_as_a_result_and_not_as_an_exception(accounts: str) -> None:
    agent, _ = agent_of(CHANGE, "I may not.")
    await controls.set_read_only(True, "audit")
    (result,) = (
        message for message in (await ask(agent, "Close account 2"))["messages"] if isinstance(message, ToolMessage)
    )
    assert not json.loads(result.text)["success"]
    assert "read-only" in result.text
