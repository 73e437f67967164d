"""A circuit breaker: while something outside does not answer, calls to it fail at once instead of waiting each time.

    CLOSED --(failures in a row)--> OPEN --(after a while)--> HALF_OPEN --(one probe)--> CLOSED, or OPEN again

In HALF_OPEN one probe passes, and all other calls are refused until it is decided. The state is a value and the transitions are
pure functions of it and of the time, so that several processes can share one through a row. `Breaker` keeps it in this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")
Clock = Callable[[], float]


class Phase(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitOpen(Exception):
    """The call was not made, because earlier ones failed; `retry_in` says after how many seconds one is tried again."""

    def __init__(self, name: str, retry_in: float) -> None:
        super().__init__(f"{name} did not answer; it is tried again in {retry_in:.0f} s.")
        self.retry_in = retry_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """After how many failures in a row a circuit opens, and after how many seconds a probe passes.

    A probe that is never decided, because its caller died, counts as failed after `probe_seconds`.
    """

    failures: int = 1
    open_seconds: float = 30.0
    probe_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A circuit: its phase since the time `since`, and the failures in a row. `generation` changes with every transition."""

    phase: Phase = Phase.CLOSED
    since: float = 0.0
    failures: int = 0
    generation: int = 0


def enter(state: State, now: float, limits: Limits) -> tuple[State, bool]:
    """Return the state after somebody asked to call, and whether the call may be made."""
    if state.phase is Phase.CLOSED:
        return state, True
    if now - state.since < (limits.open_seconds if state.phase is Phase.OPEN else limits.probe_seconds):
        return state, False
    return replace(state, phase=Phase.HALF_OPEN, since=now, generation=state.generation + 1), True


def leave(state: State, now: float, limits: Limits, *, generation: int, succeeded: bool) -> State:
    """Return the state after the call that entered in `generation`. A call from before the last transition decides nothing."""
    if generation != state.generation:
        return state
    if succeeded:
        closed = replace(state, phase=Phase.CLOSED, failures=0)
        return closed if state.phase is Phase.CLOSED else replace(closed, since=now, generation=generation + 1)
    failed = replace(state, failures=state.failures + 1)
    if state.phase is Phase.CLOSED and failed.failures < limits.failures:
        return failed
    return replace(failed, phase=Phase.OPEN, since=now, generation=generation + 1)


class Breaker:
    """A circuit in this process. It can be used by several tasks at once."""

    def __init__(self, name: str, limits: Limits | None = None, *, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.state = State()
        self._limits = limits or Limits()
        self._clock = clock

    async def call(
        self, function: Callable[[], Awaitable[T]], *, failed: type[Exception] | tuple[type[Exception], ...]
    ) -> T:
        """Return what `function` returns. Raises its error; those of the types `failed` count. Raises `CircuitOpen`.

        A call that is cancelled is not decided by its caller's haste: as a probe it counts as failed.
        """
        self.state, may = enter(self.state, self._clock(), self._limits)
        if not may:
            raise CircuitOpen(self.name, max(0.0, self.state.since + self._limits.open_seconds - self._clock()))
        generation = self.state.generation
        succeeded: bool | None = True
        try:
            return await function()
        except failed:
            succeeded = False
            raise
        except asyncio.CancelledError:
            succeeded = False if self.state.phase is Phase.HALF_OPEN else None
            raise
        finally:
            if succeeded is not None:
                self.state = leave(self.state, self._clock(), self._limits, generation=generation, succeeded=succeeded)
