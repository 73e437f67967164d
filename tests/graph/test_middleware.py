"""Our learning and our tools in somebody else's agent, made with `langchain.agents.create_agent`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import SystemMessage, ToolMessage

from agent.approval.human_approval import human_approval_queue
from agent.execution.controls import controls
from agent.graph.langchain_tools import langchain_tools
from agent.graph.middleware import KnowledgeMiddleware
from agent.learning.memory import agent_memory
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


async def test_a_risky_call_of_another_agent_waits_for_a_human(accounts: str) -> None:
    agent, _ = agent_of(CHANGE, "Closed.")
    running = asyncio.create_task(ask(agent, "Close account 2"))
    while not (waiting := await human_approval_queue.get_pending_approvals()):
        await asyncio.sleep(0.02)
    await human_approval_queue.decide(waiting[0]["id"], "approve")
    assert (await running)["messages"][-1].text == "Closed."
    with psycopg.connect(accounts) as conn:
        assert conn.execute("select id from accounts where state = 'closed'").fetchall() == [(2,)]


async def test_a_refused_call_comes_back_as_a_result_and_not_as_an_exception(accounts: str) -> None:
    agent, _ = agent_of(CHANGE, "I may not.")
    await controls.set_read_only(True, "audit")
    (result,) = (
        message for message in (await ask(agent, "Close account 2"))["messages"] if isinstance(message, ToolMessage)
    )
    assert not json.loads(result.text)["success"]
    assert "read-only" in result.text
