"""Somebody else's agent and tool behind our safety, beside LangChain's own middlewares."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from tests.cases import guarded_agent
from tests.cases.guarded_agent import THREAD, agent_of, happened, writing_tool

from agent.approval.human_approval import human_approval_queue
from agent.errors import AlreadyDecided
from agent.execution.controls import controls
from agent.execution.log import executions
from agent.graph.safe_execution import SafeExecutionMiddleware
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.running import running
from agent.testing.scripted_model import ScriptedChatModel

APPROVE, REJECT = {"type": "approve"}, {"decisions": [{"type": "reject", "message": "not there"}]}


def others() -> Sequence[Any]:
    summaries = SummarizationMiddleware(
        ScriptedChatModel(script=["A summary."], repeat_last=True), trigger=("messages", 2), keep=("messages", 1)
    )
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    asking = HumanInTheLoopMiddleware(interrupt_on={"write_file": True})
    return [PIIMiddleware("email"), summaries, retry, asking]


async def asked_until_ours(agent: Any) -> Any:
    """Ask, say yes to LangChain's own question, and return ours."""
    await agent.ainvoke({"messages": [("user", "Write it, for ana@example.com")]}, THREAD)
    (first,) = (await agent.aget_state(THREAD)).interrupts
    assert "approval_id" not in first.value
    await agent.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    (ours,) = (await agent.aget_state(THREAD)).interrupts
    return ours.value


async def last_result(agent: Any) -> ToolMessage:
    messages = (await agent.aget_state(THREAD)).values["messages"]
    return [message for message in messages if isinstance(message, ToolMessage)][-1]


@pytest.mark.parametrize("first", [True, False])
async def test_a_rejected_call_of_anybodys_tool_writes_no_file_in_either_order(
    runtime: Runtime, tmp_path: Path, first: bool
) -> None:
    file = tmp_path / "out"
    agent = agent_of(InMemorySaver(), str(file), guard=SafeExecutionMiddleware(), beside=others(), first=first)
    asked = await asked_until_ours(agent)
    assert asked["action_requests"][0]["args"] == {"path": str(file), "line": "hello"}
    assert "Add a line to a file" in asked["action_requests"][0]["description"]
    await agent.ainvoke(Command(resume=REJECT), THREAD)
    result = await last_result(agent)
    assert (file.exists(), result.status, "rejected" in result.text) == (False, "error", True)


@pytest.mark.parametrize("first", [True, False])
async def test_a_call_that_is_approved_twice_runs_once_in_either_order(
    runtime: Runtime, tmp_path: Path, first: bool
) -> None:
    """Two resumes of one thread at the same time run its tool twice in LangGraph itself."""
    file = tmp_path / "out"
    agent = agent_of(InMemorySaver(), str(file), guard=SafeExecutionMiddleware(), beside=others(), first=first)
    asked = await asked_until_ours(agent)
    await asyncio.gather(*(agent.ainvoke(Command(resume=APPROVE), THREAD) for _ in range(2)), return_exceptions=True)
    with pytest.raises(AlreadyDecided):
        await approvals.decide(asked["approval_id"], HumanDecision(decision="approve"), via="test")
    await agent.ainvoke(None, THREAD)
    assert file.read_text() == "hello\n"
    assert "Wrote hello" in (await last_result(agent)).text
    (row,) = await executions.recent()
    assert (row.action, row.status, row.approved_by) == ("write_file", "succeeded", "tester")


@pytest.mark.parametrize(("dies", "rows"), [("before", []), ("after", ["hello"])])
async def test_a_process_that_dies_during_an_approved_call_leaves_one_file_after_the_next_resume(
    settings: Settings, tmp_path: Path, dies: str, rows: list[str]
) -> None:
    file = tmp_path / "out"
    url, secret = settings.database_url, settings.secret
    assert url
    assert secret
    values = [str(settings.home), url.get_secret_value(), secret.get_secret_value(), str(file), dies]
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, guarded_agent.__file__, *values], check=False, capture_output=True, text=True
    )
    assert died.returncode == 9, died.stderr
    assert (file.read_text().splitlines() if file.exists() else []) == rows
    async with running(settings) as runtime, guarded_agent.saver(url.get_secret_value()) as checkpointer:
        guard = SafeExecutionMiddleware(seconds=0.5, happened={"write_file": happened})
        agent = agent_of(checkpointer, str(file), guard=guard)
        await agent.ainvoke(None, THREAD)
        await agent.ainvoke(None, THREAD)
        assert file.read_text() == "hello\n"
        assert (await last_result(agent)).status == "success"
        assert [one.status for one in await executions.recent(runtime=runtime)] == ["succeeded"]


async def test_a_tool_that_fails_is_run_once_although_a_retry_is_around_it(runtime: Runtime, tmp_path: Path) -> None:
    calls = []

    @tool
    async def write_file(path: str, line: str) -> str:
        """Fail half way."""
        calls.append(path)
        raise OSError("the disk is full")

    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0.0, jitter=False)
    agent = agent_of(InMemorySaver(), "x", guard=SafeExecutionMiddleware(), beside=[retry], tools=[write_file])
    await agent.ainvoke({"messages": [("user", "Write it")]}, THREAD)
    await agent.ainvoke(Command(resume=APPROVE), THREAD)
    result = await last_result(agent)
    assert (len(calls), result.status, "the disk is full" in result.text) == (1, "error", True)


async def test_the_operators_rules_hold_for_anybodys_tool(settings: Settings, tmp_path: Path) -> None:
    async def wrote(changed: dict[str, Any], name: str, **options: Any) -> tuple[bool, str]:
        async with running(settings.model_copy(update=changed)) as runtime:
            file = tmp_path / name
            guard = SafeExecutionMiddleware(runtime=runtime, **options)
            agent = agent_of(InMemorySaver(), str(file), guard=guard)
            await agent.ainvoke({"messages": [("user", "Write it")]}, THREAD)
            return file.exists(), (await last_result(agent)).text

    assert await wrote({"refuse": "tool:write_*"}, "refused") == (
        False,
        "Refused: Calls write_file, a tool that is not the agent's own. AGENT_REFUSE forbids it.",
    )
    assert (await wrote({"ask_from": "HIGH"}, "low", risks={"write_file": "LOW"}))[0]
    assert (await wrote({}, "read", reads={"write_file"}))[0]
    async with running(settings) as runtime:
        assert [(one.action, one.status) for one in await executions.recent(runtime=runtime)] == [
            ("write_file", "succeeded"), ("write_file", "succeeded"), ("write_file", "refused"),
        ]  # fmt: skip
        await controls.set_read_only(True, "audit", runtime=runtime)
    assert "read-only" in (await wrote({}, "stopped"))[1]


async def test_a_tool_with_a_question_of_its_own_is_never_given_the_answer_to_ours(runtime: Runtime) -> None:
    answers = []

    @tool
    async def write_file(path: str, line: str) -> str:
        """Ask again."""
        answers.append(interrupt("really?"))
        return "did it"

    agent = agent_of(InMemorySaver(), "x", guard=SafeExecutionMiddleware(), tools=[write_file])
    await agent.ainvoke({"messages": [("user", "Write it")]}, THREAD)
    await agent.ainvoke(Command(resume=APPROVE), THREAD)
    await agent.ainvoke(None, THREAD)
    assert (answers, "an interrupt of its own" in (await last_result(agent)).text) == ([], True)


async def test_an_agent_without_a_checkpointer_waits_for_the_decision_of_any_surface(
    runtime: Runtime, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    agent = agent_of(None, str(file), guard=SafeExecutionMiddleware(), tools=[writing_tool()])
    asking = asyncio.create_task(agent.ainvoke({"messages": [("user", "Write it")]}))
    while not (waiting := await human_approval_queue.get_pending_approvals()):
        await asyncio.sleep(0.05)
    outcome = await approvals.decide_and_run(waiting[0]["id"], HumanDecision(decision="approve"), via="test")
    await asking
    assert (outcome.approval.status, file.read_text()) == ("approved", "hello\n")
