"""Prepare a thread for a model provider: its results as far as AGENT_DATA_SHARING lets them out. Pure."""

from __future__ import annotations

from dataclasses import replace

from agent.privacy.data_sharing import shared_result
from agent.statements.counting import returns_only_counts
from agent.threads import StoredCall, Transcript
from agent.types import DataSharing, ToolResult


def shared_transcript(transcript: Transcript, level: DataSharing) -> Transcript:
    """Return a transcript whose results hold what a model provider is shown."""
    if level == "rows":
        return transcript
    turns = [replace(turn, calls=tuple(_shared_call(call, level) for call in turn.calls)) for turn in transcript.turns]
    return replace(transcript, turns=tuple(turns))


def shared(result: ToolResult, level: DataSharing, *, tool: str, arguments: dict[str, object]) -> ToolResult:
    """Return what a model provider is shown of one result."""
    counted = level == "counts" and returns_only_counts(result.get("sql", ""))
    return shared_result(result, level, tool=tool, arguments=arguments, counted=counted)


def _shared_call(call: StoredCall, level: DataSharing) -> StoredCall:
    if call.result is None:
        return call
    return replace(call, result=shared(call.result, level, tool=call.tool, arguments=call.arguments))
