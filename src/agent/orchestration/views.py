"""What a surface shows of runs: a viewer who may not see personal values sees what others ran without their inputs, results and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import agent.orchestration.schedules as schedules
import agent.orchestration.store as store
from agent import circuits
from agent.approval.eligibility import same_name
from agent.approval.people import people
from agent.circuits import Circuit
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.orchestration.comparison import Comparison, compare
from agent.orchestration.records import PlanEvent, RunRecord, RunView, StepRecord
from agent.orchestration.schedules import Schedule
from agent.orchestration.timeline import StepState, Timeline, state_at, timeline
from agent.privacy.masking import MASK
from agent.runtime import Runtime

_MOST_EVENTS = 100_000
_QUERIES = load_queries(__package__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanState:
    """How many plans run, wait for a process (the oldest for so long) and are paused; what is left alone, limited and scheduled."""

    running: int
    waiting: int
    paused: int
    oldest_seconds: float
    steps: int
    circuits: Sequence[Circuit]
    limits: Sequence[dict[str, Any]]
    schedules: Sequence[Schedule]


async def runs(
    *, limit: int = 50, status: str | None = None, after: UUID | None = None, runtime: Runtime
) -> list[RunRecord]:
    """Return the newest runs, or those behind the run `after`. Raises `NotFound` if there is no such run."""
    found = await store.newest(limit=limit, status=status, after=after, runtime=runtime)
    return [_masked_run(one) if await is_masked(one.requested_by, runtime) else one for one in found]


async def run(name: str, *, runtime: Runtime) -> RunView:
    """Return a run by its number, or the newest run of a plan by the plan's id. Raises `NotFound`."""
    found = await store.view(await store.find(name, runtime=runtime), runtime=runtime)
    if not await is_masked(found.run.requested_by, runtime):
        return found
    return replace(found, run=_masked_run(found.run), steps=[_masked_step(one) for one in found.steps])


async def events(name: str, *, after: int = 0, limit: int = 1000, runtime: Runtime) -> list[PlanEvent]:
    """Return what happened to a run, in order. Raises `NotFound`."""
    run_id: UUID = await store.find(name, runtime=runtime)
    row = await store.row_of(run_id, runtime=runtime)
    found = await store.events(run_id, after=after, limit=limit, runtime=runtime)
    masked = await is_masked(row["requested_by"], runtime)
    return [masked_event(one) for one in found] if masked else found


async def in_time(
    name: str, *, until: int | None = None, runtime: Runtime
) -> tuple[Timeline, dict[str, StepState] | None]:
    """Return a run in time; with `until`, also what each step was after the event of this number. Raises `NotFound`."""
    found = await store.view(await store.find(name, runtime=runtime), runtime=runtime)
    drawn = timeline(found.steps, found.run.created_at, found.run.finished_at or datetime.now(UTC))
    if until is None:
        return drawn, None
    happened = await store.events(found.run.id, limit=_MOST_EVENTS, runtime=runtime)
    return drawn, state_at(found.steps, happened, until)


async def comparison(name: str, *, runtime: Runtime) -> Comparison:
    """Return a replay beside what it replays. Raises `NotFound` and `InvalidInput`."""
    after = await run(name, runtime=runtime)
    if after.run.replay_of is None:
        raise InvalidInput(f"Run {str(after.run.id)!r} is no replay: replay it first, and compare the new run.")
    return compare(await run(str(after.run.replay_of), runtime=runtime), after)


async def batch(number: UUID, *, limit: int = 100, runtime: Runtime) -> list[Comparison]:
    """Return the replays of a batch, each beside what it replays."""
    return [
        await comparison(str(one), runtime=runtime)
        for one in await store.of_batch(number, limit=limit, runtime=runtime)
    ]


async def state(*, runtime: Runtime) -> PlanState:
    """Return what runs and waits, which agents are left alone or limited, and what begins by itself."""
    depth = await runtime.one(_QUERIES["depth"])
    return PlanState(
        **(depth or {}), circuits=await circuits.listed(limit=100, runtime=runtime), limits=await runtime.all(_QUERIES["places"]),
        schedules=await schedules.listed(runtime=runtime),
    )  # fmt: skip


async def is_masked(requested_by: str | None, runtime: Runtime) -> bool:
    """Return whether inputs, results and errors of what somebody ran are hidden from the runtime's user."""
    who = await people.membership(runtime=runtime)
    return not (who.sees_personal or (requested_by is not None and same_name(who.name, requested_by)))


def _masked_run(one: RunRecord) -> RunRecord:
    return replace(one, error=MASK if one.error else None)


def _masked_step(one: StepRecord) -> StepRecord:
    return replace(one, output=None if one.output is None else MASK, error=MASK if one.error else None)


def masked_event(one: PlanEvent) -> PlanEvent:
    """Return an event without its error and insight."""
    return replace(one, payload={name: MASK if name in ("error", "insight") and value else value for name, value in one.payload.items()})  # fmt: skip
