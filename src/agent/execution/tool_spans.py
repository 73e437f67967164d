"""Traces tool calls. A model may call what is no tool, by any words, so only the names of built-in tools are told."""

from __future__ import annotations

from collections.abc import Awaitable

from agent.execution.tools.arguments import BUILT_IN
from agent.runtime import Runtime
from agent.telemetry import span_of
from agent.types import CallKey, ToolResult

_OTHER = "other"


async def traced(
    run: Awaitable[ToolResult],
    tool: str,
    *,
    runtime: Runtime,
    key: CallKey | None = None,
    approval_id: int | None = None,
) -> ToolResult:
    """Wait for the result of a tool in a span of its own, which tells what became of it and where its row is."""
    name = tool if tool in BUILT_IN else _OTHER
    where = (key.thread_id, key.turn, f"{key.round}.{key.ordinal}") if key else (None, None, None)
    conversation, turn, call = where
    with span_of(
        "execute_tool", name, runtime=runtime, tool=name, conversation=conversation, turn=turn, call=call, approval=approval_id
    ) as span:  # fmt: skip
        result = await run
        span.note(outcome=result.get("status"))
        if result.get("status") == "failed":
            span.fail("ToolError")
        return result
