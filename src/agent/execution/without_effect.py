"""Carries out a call that only reads, for a rehearsal: nothing is asked, logged or changed. What would have an effect is not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.errors import AgentError, OperatorError, PolicyError, UnknownTool
from agent.execution.action import action_of, with_origins_assessed
from agent.execution.assessed_read import run_read
from agent.execution.run_context import RunContext
from agent.execution.tools.arguments import is_built_in
from agent.provenance.conversation_context import context_of_transcript
from agent.runtime import Runtime
from agent.threads import Transcript
from agent.types import CallKey, ToolResult

# Tools that make no statement, and only look something up.
_LOOKS_UP = frozenset({"describe_schema", "search_memory"})
_READS = frozenset({"execute_sql", "query_data"})


async def result_without_effect(
    tool: str, arguments: Mapping[str, Any], *, transcript: Transcript, key: CallKey, runtime: Runtime
) -> ToolResult | None:
    """Return what a call of a model gets if it only reads; None if it would have an effect, or if nobody can say.

    What the model can correct comes back as a failed result. Raises an `OperatorError` where the operator must act.
    """
    if is_built_in(tool) and tool not in _LOOKS_UP | _READS:
        return None
    try:
        action = await action_of(tool, arguments, runtime)
        if action.writes or action.tool.pauses or not is_built_in(tool):
            return None
        conversation = context_of_transcript(transcript, trusted=runtime.settings.trusted_sources, until=key)
        action = await with_origins_assessed(action, action.given, conversation, runtime)
        if action.tool.run is not None:
            return await action.tool.run(action.arguments, RunContext(runtime=runtime, call=None, execute=_nothing))
        assert action.statement is not None  # noqa: S101  # a tool has a statement or runs by itself
        return await run_read(action.statement, action.assessment, note=action.note, runtime=runtime)
    except OperatorError:
        raise
    except AgentError as error:
        refused = isinstance(error, PolicyError | UnknownTool)
        return ToolResult(success=False, status="refused" if refused else "failed", error=str(error))


async def _nothing(
    action: str, arguments: Mapping[str, Any], *, call: CallKey | None, wait: bool, runtime: Runtime
) -> ToolResult:
    del arguments, call, wait, runtime
    return ToolResult(success=False, status="refused", error=f"{action} is not called in a rehearsal.")
