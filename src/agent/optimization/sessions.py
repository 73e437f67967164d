"""Learning sessions: work is done inside of budgets of time and money, which hold also when a process dies in the middle.

The highest price of a piece of work is reserved before it begins, in one statement that refuses what does not fit. When the work
ends, what it really took is booked. What a dead process had reserved stays reserved.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent.db import load_queries
from agent.errors import BudgetExceeded, InvalidInput
from agent.optimization.ids import key_of, not_there
from agent.optimization.records import LearningSession
from agent.runtime import Runtime
from agent.sync import agents
from agent.sync.payloads import checked_name

_QUERIES = load_queries(__package__)
_MOST_MS, _MOST_USD = 7 * 24 * 3_600_000.0, 1e6
_BUDGETS = frozenset({"time_ms", "cost_usd"})


@dataclass
class Work:
    """A piece of work that runs: `ends_at` is when its time is over. What it may cost is reserved before, part by part."""

    ends_at: float
    session: LearningSession | None
    runtime: Runtime
    spent_usd: float = 0.0
    held_usd: float = 0.0

    def check(self) -> None:
        """Raise `BudgetExceeded` when the time is over."""
        if time.monotonic() > self.ends_at:
            raise BudgetExceeded("The time of the learning session is used up: start another one with a larger budget.")

    @asynccontextmanager
    async def spending(self, most_usd: float) -> AsyncIterator[Spending]:
        """Reserve the highest price of what is done inside of the `with` block, and book what it took. Raises `BudgetExceeded`."""
        self.check()
        await self._reserve(most_usd)
        part = Spending()
        try:
            yield part
        finally:
            self.spent_usd += part.usd
            self.held_usd -= most_usd
            await self._settle(most_usd, part.usd)

    async def _reserve(self, usd: float) -> None:
        if usd <= 0:
            return
        if self.session is None:
            if self.spent_usd + self.held_usd + usd > self.runtime.settings.improve_usd:
                raise BudgetExceeded(
                    "This costs more than AGENT_IMPROVE_USD allows: raise it, or start a session with a budget."
                )
        elif not await self.runtime.execute(_QUERIES["reserve_usd"], session_id=self.session.session_id, usd=usd):
            raise _used_up(self.session)
        self.held_usd += usd

    async def _settle(self, reserved: float, took: float) -> None:
        if self.session is not None and (reserved > 0 or took > 0):
            await self.runtime.execute(
                _QUERIES["settle"],
                session_id=self.session.session_id,
                ms=0.0,
                took_ms=0.0,
                usd=max(reserved, 0.0),
                took_usd=took,
            )


@dataclass
class Spending:
    """A part of the work: whoever spends money adds it to `usd`."""

    usd: float = 0.0


async def start(agent_id: str, *, focus_area: str, budget: Any, runtime: Runtime) -> LearningSession:
    """Start a session. A budget that is not named is that of the settings."""
    checked_name(focus_area, what="focus_area")
    checked_name(agent_id, what="agent_id")
    time_ms, cost_usd = _budgets(budget, runtime)
    await agents.ensure([agent_id], runtime=runtime)
    row = await runtime.one(
        _QUERIES["start_session"], agent_id=agent_id, focus_area=focus_area, time_ms=time_ms, cost_usd=cost_usd, by=runtime.user
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return LearningSession.from_row(row)


def _budgets(given: Any, runtime: Runtime) -> tuple[float, float]:
    settings = runtime.settings
    if given is None:
        given = {}
    if not isinstance(given, Mapping) or not given.keys() <= _BUDGETS:
        raise InvalidInput('learning_budget must be an object such as {"time_ms": 60000, "cost_usd": 1.0}.')
    return (
        _budget(given, "time_ms", settings.improve_seconds * 1000, _MOST_MS),
        _budget(given, "cost_usd", settings.improve_usd, _MOST_USD),
    )


def _budget(given: Mapping[str, Any], name: str, usual: float, most: float) -> float:
    value = given.get(name)
    if value is None:
        return usual
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidInput(f"{name} must be a number.")
    if not 0 <= value <= most:
        raise InvalidInput(f"{name} must be from 0 to {most:,.0f}.")
    return float(value)


async def get(session_id: str, *, runtime: Runtime) -> LearningSession:
    """Return a session. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["session"], session_id=key_of(session_id, "learning session"))
    if row is None:
        raise not_there(session_id, "learning session")
    return LearningSession.from_row(row)


async def end(session_id: str, *, runtime: Runtime) -> LearningSession:
    """End a session; one that is over stays so. Raises `NotFound`."""
    await runtime.execute(_QUERIES["end_session"], session_id=key_of(session_id, "learning session"))
    return await get(session_id, runtime=runtime)


async def every(*, runtime: Runtime) -> list[LearningSession]:
    """Return the newest sessions."""
    return [LearningSession.from_row(row) for row in await runtime.all(_QUERIES["sessions"])]


async def active(runtime: Runtime) -> LearningSession | None:
    """Return the newest session of this user that is not over, under which their work is booked."""
    row = await runtime.one(_QUERIES["active_session"], by=runtime.user)
    return LearningSession.from_row(row) if row else None


@asynccontextmanager
async def working(session: LearningSession | None, *, runtime: Runtime) -> AsyncIterator[Work]:
    """Reserve all the time that is left, work, and book what was taken.

    Without a session the budgets of the settings hold for this work alone. Raises `BudgetExceeded` where no time is left.
    """
    began = time.monotonic()
    if session is None:
        if runtime.settings.improve_seconds <= 0:
            raise BudgetExceeded("AGENT_IMPROVE_SECONDS allows no work: raise it, or start a session with a budget.")
        yield Work(began + runtime.settings.improve_seconds, None, runtime)
        return
    reserved = await runtime.one(_QUERIES["reserve"], session_id=session.session_id)
    if reserved is None:
        raise _used_up(session)
    try:
        yield Work(began + reserved["ms"] / 1000, session, runtime)
    finally:
        took = (time.monotonic() - began) * 1000
        await runtime.execute(
            _QUERIES["settle"],
            session_id=session.session_id,
            ms=reserved["ms"],
            took_ms=min(took, reserved["ms"]),
            usd=0.0,
            took_usd=0.0,
        )


def _used_up(session: LearningSession) -> BudgetExceeded:
    return BudgetExceeded(
        f"The budget of learning session {session.session_id} is used up, or held by work that runs: start another session."
    )
