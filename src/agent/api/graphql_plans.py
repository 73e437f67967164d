"""Runs of plans in GraphQL: a page of runs, and each with its steps and its events, in pages as well.

What one query reads is bounded: its runs are read one after the other, and all of it is at most so many rows and characters.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import strawberry
from strawberry.scalars import JSON
from strawberry.types import Info

import agent.orchestration.views as views
from agent.errors import InvalidInput
from agent.orchestration.records import PlanEvent, RunRecord, StepRecord
from agent.runtime import Runtime

T = TypeVar("T")
Context = Info[Runtime, None]
MOST_ROWS = 200
_MOST_OF_RUN, _ROWS_OF_QUERY, _CHARACTERS_OF_QUERY = 1_000, 10_000, 8_000_000


@dataclass(slots=True)
class Budget:
    """What a query may still read. Whoever reads a run holds `turn`, so that many runs are not in memory at the same time."""

    rows: int = _ROWS_OF_QUERY
    characters: int = _CHARACTERS_OF_QUERY
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, *, rows: int = 0, characters: int = 0) -> None:
        """Note what was read. Raises `InvalidInput` if that is more than one query may."""
        self.rows -= rows
        self.characters -= characters
        if self.rows < 0 or self.characters < 0:
            raise InvalidInput(f"A query reads at most {_ROWS_OF_QUERY:,} rows and {_CHARACTERS_OF_QUERY:,} characters: ask for less at a time.")  # fmt: skip


# The budget of the query that runs.
BUDGET: ContextVar[Budget] = ContextVar("graphql_budget")


@strawberry.enum(name="PlanStatus", description="How a run is.")
class PlanStatus(Enum):
    """The states of a run."""

    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


@strawberry.type(
    name="PlanStep", description="A step of a run; times are of its first start and its end, durations in milliseconds."
)
class Step:
    """What is recorded of a step."""

    id: str
    agent_id: str
    action: str
    dependencies: list[str]
    status: str
    attempts: int
    error: str | None
    duration: float | None
    started_at: datetime | None
    finished_at: datetime | None
    given: strawberry.Private[Any]

    @strawberry.field(description="What it gave.")
    def output(self) -> JSON | None:
        """Return the output."""
        return _json(self.given)


@strawberry.type(name="PlanEvent", description="Something that happened to a run.")
class Event:
    """An event; a later one has a higher number."""

    id: strawberry.ID
    kind: str
    step_id: str | None
    at: datetime
    told: strawberry.Private[Mapping[str, Any]]

    @strawberry.field(description="What handlers were told.")
    def payload(self) -> JSON | None:
        """Return the payload."""
        return _json(dict(self.told))


@strawberry.federation.type(keys=["id"], description="A run of a plan or workflow; its duration is in milliseconds.")
class PlanRun:
    """A run."""

    id: strawberry.ID
    plan_id: str
    status: PlanStatus
    error: str | None
    requested_by: str | None
    created_at: datetime
    finished_at: datetime | None
    paused_at: datetime | None
    duration: float
    part_of: strawberry.ID | None
    fallback_of: strawberry.ID | None
    replay_of: strawberry.ID | None

    @strawberry.field(description="Its steps, in the order of the plan.")
    async def steps(self, info: Context, limit: int = 100, offset: int = 0) -> list[Step]:
        """Return steps of the run."""
        async with _turn() as budget:
            found = (await views.run(str(self.id), runtime=info.context)).steps[max(0, offset) :]
            return _page(found, limit, budget, _step_of)

    @strawberry.field(description="What happened to it, in order, after the event with this number.")
    async def events(self, info: Context, limit: int = 100, after: strawberry.ID | None = None) -> list[Event]:
        """Return events of the run."""
        if after is not None and not after.isdecimal():
            raise InvalidInput(f"{after[:100]!r} is the number of no event.")
        async with _turn() as budget:
            number = min(int(after or 0), 2**63 - 1)
            found = await views.events(str(self.id), after=number, limit=_bounded(limit), runtime=info.context)
            return _page(found, limit, budget, _event_of)

    @classmethod
    async def resolve_reference(cls, info: Context, id: strawberry.ID) -> PlanRun:  # noqa: A002  # the key's name
        """Return what another graph refers to."""
        return run_of((await views.run(str(id), runtime=info.context)).run)


@strawberry.type(
    name="PlanPage",
    description="Some runs, the newest first; `next` is the `after` of the page behind them, if there may be one.",
)
class Page:
    """Runs of one page."""

    runs: list[PlanRun]
    next: strawberry.ID | None


@strawberry.type
class PlanQuery:
    """What can be read of plans."""

    @strawberry.field(description="Runs of plans and workflows, the newest first.")
    async def plans(
        self, info: Context, status: PlanStatus | None = None, limit: int = 20, after: strawberry.ID | None = None
    ) -> Page:
        """Return a page of runs."""
        most = max(1, min(limit, MOST_ROWS))
        state = None if status is None else status.value
        found = await views.runs(
            limit=most, status=state, after=None if after is None else _number(after), runtime=info.context
        )
        BUDGET.get().take(rows=len(found))
        behind = strawberry.ID(str(found[-1].id)) if len(found) == most else None
        return Page(runs=list(map(run_of, found)), next=behind)

    @strawberry.field(description="A run by its number, or the newest run of a plan by the plan's id.")
    async def plan(self, info: Context, id: strawberry.ID) -> PlanRun:  # noqa: A002  # what clients of GraphQL expect
        """Return a run."""
        async with _turn():
            return run_of((await views.run(str(id), runtime=info.context)).run)


def run_of(one: RunRecord) -> PlanRun:
    """Return a run as the graph has it."""
    part, fallback, replay = (
        None if of is None else strawberry.ID(str(of)) for of in (one.part_of, one.fallback_of, one.replay_of)
    )
    return PlanRun(
        id=strawberry.ID(str(one.id)), plan_id=one.plan_id, status=PlanStatus(one.status), error=one.error, requested_by=one.requested_by,
        created_at=one.created_at, finished_at=one.finished_at, paused_at=one.paused_at, duration=one.duration, part_of=part,
        fallback_of=fallback, replay_of=replay,
    )  # fmt: skip


def _step_of(one: StepRecord) -> Step:
    return Step(
        id=one.id, agent_id=one.agent_id, action=one.action, dependencies=list(one.dependencies), status=one.status, attempts=one.attempts,
        error=one.error, duration=one.duration, started_at=one.started_at, finished_at=one.finished_at, given=one.output,
    )  # fmt: skip


def _event_of(one: PlanEvent) -> Event:
    return Event(id=strawberry.ID(str(one.id)), kind=one.kind, step_id=one.step_id, at=one.at, told=one.payload)


def _page(found: Sequence[Any], limit: int, budget: Budget, made: Callable[[Any], T]) -> list[T]:
    page = found[: _bounded(limit)]
    budget.take(rows=len(page))
    return list(map(made, page))


def _bounded(limit: int) -> int:
    return max(1, min(limit, _MOST_OF_RUN))


def _json(value: Any) -> JSON | None:
    if value is None:
        return None
    BUDGET.get().take(characters=len(json.dumps(value)))
    return JSON(value)


def _number(after: str) -> UUID:
    try:
        return UUID(after)
    except ValueError:
        raise InvalidInput(f"{after[:100]!r} is the number of no run: give the `next` of the page before.") from None


@asynccontextmanager
async def _turn() -> Any:
    """Wait until no other run is read, and yield what the query may still read."""
    budget = BUDGET.get()
    budget.take()
    async with budget.turn:
        budget.take()
        yield budget
