"""What a conversation is made of: threads, turns and the tool calls of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict

from agent.types import CallKey, ToolResult

TurnStatus = Literal["running", "waiting", "done", "failed"]
CallStatus = Literal["stored", "waiting", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """A tool call as stored before it had any effect. `said` is the model's text beside the round's calls."""

    key: CallKey
    call_id: str
    tool: str
    arguments: dict[str, Any]
    said: str = ""
    status: CallStatus = "stored"
    approval_id: int | None = None
    result: ToolResult | None = None

    @classmethod
    def from_row(cls, thread_id: str, row: Mapping[str, Any]) -> StoredCall:
        key = CallKey(thread_id=thread_id, turn=row["turn"], round=row["round"], ordinal=row["ordinal"])
        names = ("call_id", "tool", "arguments", "said", "status", "approval_id", "result")
        return cls(key=key, **{name: row[name] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and what came of it."""

    turn: int
    question: str
    answer: str | None
    status: TurnStatus
    calls: tuple[StoredCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A thread as far as the model is shown it: a summary of the oldest turns, then turns, the current one last.

    `made_tools` says that there are tools of the agent's own making.
    """

    summary: str = ""
    turns: tuple[Turn, ...] = ()
    made_tools: bool = True

    @classmethod
    def from_row(cls, thread_id: str, row: Mapping[str, Any]) -> Transcript:
        """A transcript from what `agents.transcript` returned, and whether tools were made where that was asked."""
        stored = row["transcript"]
        calls = [StoredCall.from_row(thread_id, call) for call in stored["calls"] or ()]
        turns = tuple(
            Turn(**item, calls=tuple(call for call in calls if call.key.turn == item["turn"]))
            for item in stored["turns"]
        )
        return cls(summary=stored["summary"], turns=turns, made_tools=row.get("made_tools", True))

    @property
    def current(self) -> Turn:
        return self.turns[-1]

    @property
    def earlier(self) -> tuple[Turn, ...]:
        return self.turns[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunTurn:
    """A turn to work on. Nothing was begun when `status` is "waiting", as an earlier turn is for a human, or "stopped"."""

    turn: int
    status: TurnStatus | Literal["stopped"]
    transcript: Transcript = field(default_factory=Transcript)


class ThreadSummary(TypedDict):
    """A thread in a list."""

    thread_id: str
    title: str
    created_by: str
    turn_count: int
    waiting: bool
    created_at: datetime
    updated_at: datetime


class TurnRecord(TypedDict):
    """A turn in the history of its thread. `sources` names the statements, memories and tables that the answer is from."""

    turn: int
    status: TurnStatus
    asked_by: str
    question: str
    answer: str | None
    error: str | None
    sources: dict[str, Any]
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedCall:
    """A call as the model made it: nothing about it is trusted, and `error` says when it cannot even be tried."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    error: str | None = None
