"""Offer the executor's tools as LangChain tools, for agents and graphs of your own.

Each call goes through the safe executor. A read runs. A risky action waits for a human: in a graph with a checkpointer by
an interrupt in LangChain's human-in-the-loop form; elsewhere the tool returns at once, and says which request waits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langgraph.config import get_config
from langgraph.constants import CONFIG_KEY_CHECKPOINTER

from agent.approval.human_approval import human_approval_queue
from agent.errors import AgentError
from agent.execution import available_tools
from agent.execution.execution_tools import tool_specs
from agent.execution.safe_executor import safe_executor
from agent.execution.tools.arguments import is_built_in
from agent.graph.asking import decided_by_interrupt
from agent.graph.sharing import shared
from agent.runtime import Runtime, current_runtime
from agent.types import CallKey, ToolResult, ToolSpec

_WAITS = (
    "Not done yet: it waits, request {id}. Tell the user so, and do not call it again. "
    "It is carried out when somebody approves it (`agent approvals approve {id}`). {what}"
)


class AssessedTool(StructuredTool):
    """A tool whose calls go through the safe executor already."""


def langchain_tools(*, runtime: Runtime | None = None) -> list[BaseTool]:
    """Return a LangChain tool for each built-in tool. Every result is a `ToolResult` dictionary, also that of a failure."""
    return [_tool(spec, runtime) for spec in tool_specs()]


async def all_langchain_tools(*, runtime: Runtime | None = None) -> list[BaseTool]:
    """Return `langchain_tools` and a LangChain tool for each tool that the agent has created so far."""
    runtime = runtime or await current_runtime()
    return [_tool(spec, runtime) for spec in await available_tools.specs(runtime=runtime)]


def _tool(spec: ToolSpec, runtime: Runtime | None) -> BaseTool:
    async def execute(**arguments: Any) -> ToolResult:
        used = replace(runtime or await current_runtime(), outside_model=True)
        try:
            result = await _execute(spec.name, arguments, used)
        except AgentError as error:
            result = ToolResult(success=False, status="failed", error=str(error))
        return shared(result, used.data_sharing, tool=spec.name, arguments=arguments)

    return AssessedTool(
        name=spec.name, description=spec.description, args_schema=dict(spec.parameters), coroutine=execute
    )


async def _execute(tool: str, arguments: Mapping[str, Any], runtime: Runtime) -> ToolResult:
    """Execute a call, and ask by an interrupt if it waits; a graph that is resumed comes here again, to the same request."""
    if not is_built_in(tool):  # the code of a created tool goes on here after each decision
        return await safe_executor.execute(tool, arguments, by_model=True, runtime=runtime)
    call = call_in_graph(tool, arguments) if has_checkpointer() else None
    result = await safe_executor.execute(tool, arguments, by_model=True, call=call, wait=False, runtime=runtime)
    if (
        call is not None
        and result.get("status") == "waiting"
        and await can_interrupt(call, result["approval_id"], runtime)
    ):
        await decided_by_interrupt(result["approval_id"], runtime)
        result = await safe_executor.execute(tool, arguments, by_model=True, call=call, wait=False, runtime=runtime)
    if result.get("status") != "waiting":
        return result
    message = _WAITS.format(id=result["approval_id"], what=result.get("message", ""))
    return {**result, "message": message}


def has_checkpointer() -> bool:
    """Return whether this runs in a graph that keeps its state, so that it can be interrupted and resumed."""
    try:
        return bool(get_config().get("configurable", {}).get(CONFIG_KEY_CHECKPOINTER))
    except RuntimeError:  # outside a graph
        return False


def call_in_graph(tool: str, arguments: Mapping[str, Any], call_id: str | None = None) -> CallKey | None:
    """Return a key that is the same when the graph's task runs again; None outside a graph."""
    try:
        graph = get_config().get("configurable", {})
    except RuntimeError:
        return None
    task = _digest([str(graph.get(name)) for name in ("thread_id", "checkpoint_ns")])
    call = _digest([tool, dict(arguments)] if call_id is None else [tool, dict(arguments), call_id])
    return CallKey(thread_id=f"tool-{task[:24]}", turn=0, round=0, ordinal=int(call[:7], 16))


async def can_interrupt(call: CallKey, approval_id: int, runtime: Runtime) -> bool:
    """Return whether a request of this call waits for a human whom an interrupt can ask.

    LangGraph gives a task that runs again the answers to its interrupts in their order, whatever it asks then. So only the
    one request that a task has ever made is asked about by an interrupt. What an edit put in its place, and the requests of
    calls that share a task, are decided in the queue.
    """
    requests = await human_approval_queue.for_turn(call.thread_id, call.turn, runtime=runtime)
    return [(one.id, one.status) for one in requests] == [(approval_id, "pending")]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
