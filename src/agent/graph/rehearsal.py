"""Stands for the rows of a turn that is run again through the graph itself, with other parameters and without any effect.

The nodes are the ones that real turns run through. Only what they write is kept here and dropped: the turn's rows, its memory and
its log entry. A call that was recorded gets its recorded result; another one is carried out if it only reads. Where a call would have an
effect, the rehearsal ends, and the case cannot be judged.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from agent.errors import AgentError, InvalidInput
from agent.execution.without_effect import result_without_effect
from agent.providers.chat.pricing import cost_of
from agent.runtime import Runtime
from agent.threads import BegunTurn, Choice, RequestedCall, StoredCall, Transcript, Turn
from agent.types import CallKey, ToolResult, Usage

_MOST_OUTPUT_TOKENS = 16_000  # of one answer, for its highest price


class NotReplayable(AgentError):
    """A call of a rehearsal would have an effect, so how the turn would go on is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded turn: what was said before it, its question, and its calls with their results."""

    thread_id: str
    transcript: Transcript

    @property
    def question(self) -> str:
        """What was asked."""
        return self.transcript.current.question

    def result_of(self, tool: str, arguments: Mapping[str, Any], *, before: int) -> ToolResult | None:
        """Return the recorded result of a call that was made `before` so many times; the last one again if there are no more."""
        name = _call_name(tool, arguments)
        same = [one.result for one in self.transcript.current.calls if _call_name(one.tool, one.arguments) == name]
        known = [result for result in same if result is not None]
        return known[min(before, len(known) - 1)] if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How a rehearsal went. `reason` says why it cannot be judged; it is empty otherwise. `marks` is what nothing holds."""

    answer: str = ""
    error: str | None = None
    calls: Sequence[StoredCall] = ()
    marks: Sequence[str] = ()
    seconds: float = 0.0
    cost_usd: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class Rehearsal:
    """The rows of a turn that is rehearsed: what `agent.threads.threads` is for a real one."""

    recorded: Recorded
    parameters: Mapping[str, Any]
    most_usd: float
    calls: list[StoredCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    ended: Mapping[str, Any] | None = None

    async def begin_turn(
        self, thread_id: str, question: str, *, owner: UUID, message_id: str | None, choice: Choice, runtime: Runtime
    ) -> BegunTurn:
        """Begin the turn again, as if it had no calls yet."""
        del thread_id, question, owner, message_id, choice, runtime
        return BegunTurn(turn=self._turn.turn, status="running", transcript=self._now())

    async def transcript(self, thread_id: str, turn: int, *, runtime: Runtime) -> Transcript:
        """Return the conversation with what the rehearsal did so far."""
        del thread_id, turn, runtime
        return self._now()

    async def continue_turn(self, thread_id: str, turn: int, *, owner: UUID, runtime: Runtime) -> Transcript:
        """Return the conversation; nobody else works on a rehearsal."""
        del owner
        return await self.transcript(thread_id, turn, runtime=runtime)

    @asynccontextmanager
    async def keep_lease(self, thread_id: str, *, owner: UUID, runtime: Runtime) -> AsyncIterator[None]:
        """Nobody else can take it."""
        del thread_id, owner, runtime
        yield

    async def check_budget(self, thread_id: str, turn: int, *, runtime: Runtime) -> None:
        """Raise `NotReplayable` if the next call of the model could cost more than is left of what was reserved."""
        del thread_id, turn
        most = most_of_a_call(runtime)
        if most and (self.usage.cost_usd or 0.0) + most > self.most_usd + 1e-12:
            raise NotReplayable("it would cost more than was reserved for it")

    async def store_round(
        self, thread_id: str, turn: int, round_: int, requested: Sequence[RequestedCall], *, said: str,
        provider_message: Mapping[str, Any] | None, model: str, usage: Usage, runtime: Runtime,
    ) -> list[StoredCall]:  # fmt: skip
        """Keep the calls that the model asked for."""
        del model, runtime
        self.usage = self.usage + usage
        made = [
            StoredCall(
                key=CallKey(thread_id=thread_id, turn=turn, round=round_, ordinal=ordinal), call_id=call.call_id, tool=call.tool,
                arguments=dict(call.arguments), said=said if ordinal == 1 else "", status="done" if call.error else "stored",
                result=ToolResult(success=False, status="failed", error=call.error) if call.error else None,
                provider_message=dict(provider_message) if provider_message and ordinal == 1 else None,
            )
            for ordinal, call in enumerate(requested, start=1)
        ]  # fmt: skip
        self.calls += made
        return made

    async def call_done(self, key: CallKey, result: ToolResult, *, runtime: Runtime) -> None:
        """Keep the result of a call."""
        del runtime
        self.calls = [replace(call, result=result, status="done") if call.key == key else call for call in self.calls]

    async def carry_out(self, key: CallKey, runtime: Runtime) -> None:
        """Give a call its recorded result, or carry it out if it only reads. Raises `NotReplayable`."""
        call = next(one for one in self.calls if one.key == key)
        if call.status == "done":
            return
        before = [one for one in self.calls if one.key != key and one.status == "done"]
        made = sum(one.tool == call.tool and one.arguments == call.arguments for one in before)
        result = self.recorded.result_of(call.tool, call.arguments, before=made)
        if result is None:
            result = await result_without_effect(
                call.tool, call.arguments, transcript=self._now(), key=key, runtime=runtime
            )
        if result is None:
            raise NotReplayable(f"it would call {call.tool} in a way that was not recorded, and that has an effect")
        await self.call_done(key, result, runtime=runtime)

    def end(self, state: Mapping[str, Any]) -> None:
        """Keep how the turn ended, in the place of its memory and its row."""
        self.usage = self.usage + Usage(**state["ending"]["usage"])
        self.ended = state

    @property
    def _turn(self) -> Turn:
        return self.recorded.transcript.current

    def _now(self) -> Transcript:
        turn = replace(self._turn, answer=None, status="running", calls=tuple(self.calls))
        before = self.recorded.transcript
        return replace(before, turns=(*before.earlier, turn), parameters=self.parameters)


_REHEARSING: ContextVar[Rehearsal | None] = ContextVar("agent_rehearsal", default=None)


def rehearsing() -> Rehearsal | None:
    """Return the rehearsal that runs here; None in a real turn."""
    return _REHEARSING.get()


@contextmanager
def rehearsal(recorded: Recorded, parameters: Mapping[str, Any], *, most_usd: float) -> Iterator[Rehearsal]:
    """Let the graph's nodes that run inside of the `with` block rehearse a recorded turn."""
    if not recorded.transcript.turns:
        raise InvalidInput("There is no recorded turn to rehearse.")
    made = Rehearsal(recorded, parameters, most_usd)
    token = _REHEARSING.set(made)
    try:
        yield made
    finally:
        _REHEARSING.reset(token)


def most_of_a_call(runtime: Runtime) -> float:
    """Return the highest price of one call of the model in US dollars. Raises `NotReplayable` if its price is not known."""
    client = runtime.chat_client()
    if client.only_offline:
        return 0.0
    prices = [
        cost_of(one.name, input_tokens=runtime.settings.context_tokens, output_tokens=_MOST_OUTPUT_TOKENS, prices=client.prices)
        for one in client.candidates
    ]  # fmt: skip
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        raise NotReplayable(f"the price of {client.name} is not known: set AGENT_MODEL_PRICES")
    return max(known)


def _call_name(tool: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([tool, arguments], sort_keys=True, default=str)
