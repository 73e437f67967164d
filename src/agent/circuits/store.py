"""The rows of circuits: who wants to call locks the row, applies the rules, and stores what follows. The time is the server's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TypeVar

import psycopg
import structlog

from agent.breaker import CircuitOpen, Limits, Phase, State, enter, leave
from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.errors import AgentError
from agent.runtime import Cache, Runtime

T = TypeVar("T")
SHARED = Limits(failures=5, open_seconds=60.0, probe_seconds=60.0, probes=3)
LOOK_SECONDS, _OLD_SECONDS = 0.5, 5.0
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A circuit in a list. `error` is the kind of the last failure."""

    name: str
    phase: Phase
    since: datetime
    failures: int
    probes: int
    passed: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    state: State
    at: float

    @property
    def is_believed(self) -> bool:
        """Return whether a call need not wait for the row: it was in order a short time ago."""
        calm = self.state.phase is Phase.CLOSED and self.state.failures == 0
        return calm and monotonic() - self.at < _OLD_SECONDS

    @property
    def is_fresh(self) -> bool:
        """Return whether the row need not be read."""
        return monotonic() - self.at < LOOK_SECONDS


_SEEN: Cache[_Seen] = Cache()
_LOOKS: Cache[asyncio.Task[None]] = Cache()


async def call(
    name: str, function: Callable[[], Awaitable[T]], *, failed: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    limits: Limits = SHARED, runtime: Runtime,
) -> T:  # fmt: skip
    """Return what `function` returns. Raises its error; those of the types `failed` count. Raises `CircuitOpen`.

    A call that is cancelled decides nothing, but as a probe it counts as failed.
    """
    entered = await _enter(name, limits, runtime)
    try:
        value = await function()
    except asyncio.CancelledError:
        if entered.phase is Phase.HALF_OPEN:
            await asyncio.shield(_leave(name, entered, limits, runtime, error="CancelledError"))
        raise
    except failed as error:
        await _leave(name, entered, limits, runtime, error=getattr(error, "kind", type(error).__name__))
        raise
    except BaseException:
        await _leave(name, entered, limits, runtime)
        raise
    await _leave(name, entered, limits, runtime)
    return value


async def listed(*, limit: int = 1000, runtime: Runtime) -> list[Circuit]:
    """Return the circuits of the runtime's tenant, those that let no call through first."""
    rows = await runtime.all(_QUERIES["list"], limit=limit)
    return [Circuit(**{**row, "phase": Phase(row["phase"])}) for row in rows]


async def close(name: str, *, runtime: Runtime) -> bool:
    """Let calls through again, because somebody says so, and return whether there is such a circuit."""
    _SEEN.pop(runtime, _key(name, runtime))
    return bool(await runtime.execute(_QUERIES["close"], name=name))


async def forget_old(*, days: int, runtime: Runtime) -> int:
    """Delete the circuits in which nothing has changed for so long."""
    return await runtime.execute(_QUERIES["forget_old"], days=days)


async def _enter(name: str, limits: Limits, runtime: Runtime) -> State:
    """Return the state in which a call begins. Raises `CircuitOpen`."""
    seen = _SEEN.get(runtime, _key(name, runtime))
    if seen is not None and seen.is_believed:
        if not seen.is_fresh:
            _look_meanwhile(name, runtime)
        return seen.state
    state, may, now = await _look(name, runtime)
    if state.phase is not Phase.CLOSED:  # who wants to probe, or is refused, decides with the lock
        state, may, now = await _changed(name, lambda held, at: enter(held, at, limits), runtime)
    if not may:
        raise CircuitOpen(name, state.retry_in(now, limits))
    return state


async def _look(name: str, runtime: Runtime) -> tuple[State, bool, float]:
    row = await runtime.one(_QUERIES["look"], name=name)
    if row is None:
        return _saw(name, State(), runtime), True, 0.0
    now = row.pop("now")
    state = _saw(name, State(**{**row, "phase": Phase(row["phase"])}), runtime)
    return state, state.phase is Phase.CLOSED, now


def _look_meanwhile(name: str, runtime: Runtime) -> None:
    """Read a row while calls pass; those that come later know what it says."""
    before = _LOOKS.get(runtime, _key(name, runtime))
    if before is None or before.done():
        _LOOKS.put(runtime, asyncio.create_task(_looked(name, runtime)), _key(name, runtime))


async def _looked(name: str, runtime: Runtime) -> None:
    try:
        await _look(name, runtime)
    except (AgentError, psycopg.Error) as error:  # then a later call looks, and waits for it
        _log.warning("circuit_not_read", circuit=name, error=str(error))


async def _leave(name: str, entered: State, limits: Limits, runtime: Runtime, *, error: str | None = None) -> None:
    """Store how a call ended. A success while the circuit is in order is no news."""
    if error is None and entered.phase is Phase.CLOSED and entered.failures == 0:
        return
    await _changed(
        name,
        lambda held, now: (leave(held, now, limits, generation=entered.generation, succeeded=error is None), True),
        runtime,
        error=error,
    )


async def _changed(
    name: str, rule: Callable[[State, float], tuple[State, bool]], runtime: Runtime, *, error: str | None = None
) -> tuple[State, bool, float]:
    """Apply a rule to a circuit while nobody else does, and return its new state, the rule's answer and the server's time."""
    values = {"name": name, "tenant_id": runtime.tenant_id}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["lock"], values)
        if row is None:
            await conn.execute(_QUERIES["make"], values)
            row = await fetch_one(conn, _QUERIES["lock"], values)
        clock = await fetch_one(conn, _QUERIES["clock"])
        before = State(**{**row, "phase": Phase(row["phase"])}) if row else State()
        now = clock["now"] if clock else 0.0
        state, answer = rule(before, now)
        if state != before:
            kept = {one: getattr(state, one) for one in ("since", "failures", "generation", "probes", "passed")}
            await conn.execute(_QUERIES["keep"], {**values, **kept, "phase": state.phase.value, "error": error})
    return _saw(name, state, runtime), answer, now


def _saw(name: str, state: State, runtime: Runtime) -> State:
    _SEEN.put(runtime, _Seen(state=state, at=monotonic()), _key(name, runtime))
    return state


def _key(name: str, runtime: Runtime) -> str:
    return f"{runtime.tenant_id}\0{name}"
