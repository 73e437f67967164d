"""A circuit breaker: while something outside does not answer, calls to it fail at once instead of waiting each time.

    CLOSED --(failures in a row)--> OPEN --(after a while)--> HALF_OPEN --(every probe succeeds)--> CLOSED, or OPEN again

In HALF_OPEN a few probes pass, and all other calls are refused until these are decided. The state is a value and the transitions are
pure functions of it and of the time. `Breaker` keeps it in this process; `agent.circuits` shares it between processes through a row.
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
    """After how many failures in a row a circuit opens, after how many seconds it is tried again, and with how many probes.

    Probes that are not all decided, because a caller hangs or died, make room for new ones `probe_seconds` after the last began.
    """

    failures: int = 1
    open_seconds: float = 30.0
    probe_seconds: float = 60.0
    probes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A circuit: its phase since the time `since`, and the failures in a row. `generation` changes with every transition.

    In HALF_OPEN, `probes` have begun, the last of them at `since`, and `passed` of them have succeeded.
    """

    phase: Phase = Phase.CLOSED
    since: float = 0.0
    failures: int = 0
    generation: int = 0
    probes: int = 0
    passed: int = 0

    def retry_in(self, now: float, limits: Limits) -> float:
        """Return after how many seconds a call that is refused now may pass."""
        seconds = limits.open_seconds if self.phase is Phase.OPEN else limits.probe_seconds
        return 0.0 if self.phase is Phase.CLOSED else max(0.0, self.since + seconds - now)


def enter(state: State, now: float, limits: Limits) -> tuple[State, bool]:
    """Return the state after somebody asked to call, and whether the call may be made."""
    if state.phase is Phase.CLOSED:
        return state, True
    if state.retry_in(now, limits) <= 0:
        probing = replace(state, phase=Phase.HALF_OPEN, since=now, generation=state.generation + 1)
        return replace(probing, probes=1, passed=0), True
    if state.phase is Phase.HALF_OPEN and state.probes < limits.probes:
        return replace(state, since=now, probes=state.probes + 1), True
    return state, False


def leave(state: State, now: float, limits: Limits, *, generation: int, succeeded: bool) -> State:
    """Return the state after the call that entered in `generation`. A call from before the last transition decides nothing."""
    if generation != state.generation:
        return state
    if succeeded and state.phase is Phase.CLOSED:
        return replace(state, failures=0)
    if succeeded and state.passed + 1 < limits.probes:
        return replace(state, passed=state.passed + 1)
    if succeeded:
        return State(since=now, generation=generation + 1)
    failed = replace(state, failures=state.failures + 1)
    if state.phase is Phase.CLOSED and failed.failures < limits.failures:
        return failed
    return State(phase=Phase.OPEN, since=now, failures=failed.failures, generation=generation + 1)


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
            raise CircuitOpen(self.name, self.state.retry_in(self._clock(), self._limits))
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
