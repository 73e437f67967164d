"""Defines the values of a conversation: threads, turns and the tool calls of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict

from agent.types import CallKey, ToolResult

TurnStatus = Literal["running", "waiting", "done", "failed"]
CallStatus = Literal["stored", "waiting", "done"]
Arm = Literal["usual", "holdback", "canary", "explored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """A tool call, stored before it is executed. `said` is the text that the model wrote beside the calls of the round.

    `provider_message` is the provider's own form of the round's message. Only a transcript has it.
    """

    key: CallKey
    call_id: str
    tool: str
    arguments: dict[str, Any]
    said: str = ""
    status: CallStatus = "stored"
    approval_id: int | None = None
    result: ToolResult | None = None
    provider_message: dict[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def from_row(cls, thread_id: str, row: Mapping[str, Any]) -> StoredCall:
        """Return the call in a row of `tool_calls`."""
        key = CallKey(thread_id=thread_id, turn=row["turn"], round=row["round"], ordinal=row["ordinal"])
        names = ("call_id", "tool", "arguments", "said", "status", "approval_id", "result")
        return cls(key=key, provider_message=row.get("provider_message"), **{name: row[name] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question with its answer and its tool calls."""

    turn: int
    question: str
    answer: str | None
    status: TurnStatus
    calls: tuple[StoredCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The part of a thread that the model gets: a summary of the oldest turns, then turns, the current one last.

    `has_created_tools` says whether the agent has created tools that are active; `parameters` is what the current turn began with.
    """

    summary: str = ""
    turns: tuple[Turn, ...] = ()
    has_created_tools: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, thread_id: str, row: Mapping[str, Any]) -> Transcript:
        """Return the transcript in a row with the result of `agents.transcript`, and with `has_created_tools` if it is there."""
        stored = row["transcript"]
        calls = [StoredCall.from_row(thread_id, call) for call in stored["calls"] or ()]
        turns = tuple(
            Turn(**item, calls=tuple(call for call in calls if call.key.turn == item["turn"]))
            for item in stored["turns"]
        )
        return cls(
            summary=stored["summary"], turns=turns, has_created_tools=row.get("has_created_tools", True),
            parameters=row.get("parameters") or {},
        )  # fmt: skip

    @property
    def current(self) -> Turn:
        """The turn that the run works on."""
        return self.turns[-1]

    @property
    def earlier(self) -> tuple[Turn, ...]:
        """The turns before it."""
        return self.turns[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a turn is to run with: its parameters, and how they were drawn. `arm` is None where nothing was drawn."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    arm: Arm | None = None
    optimization_id: str | None = None
    propensity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunTurn:
    """A turn to work on. No turn began when `status` is "waiting" (an earlier turn waits for a human) or "stopped"."""

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
    """A turn in a thread's history. `sources` names the statements, memories and tables that the answer is from."""

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
    """A call as the model requested it, unchecked. `error` says why it cannot be executed at all."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    error: str | None = None
