"""What a surface shows of runs: a viewer who may not see personal values sees what others ran without their inputs, results and errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import agent.orchestration.store as store
from agent.approval.eligibility import same_name
from agent.approval.people import people
from agent.orchestration.records import PlanEvent, RunRecord, RunView, StepRecord
from agent.privacy.masking import MASK
from agent.runtime import Runtime


async def runs(*, limit: int = 50, status: str | None = None, runtime: Runtime) -> list[RunRecord]:
    """Return the newest runs."""
    found = await store.newest(limit=limit, status=status, runtime=runtime)
    return [_masked_run(one) if await _is_masked(one.requested_by, runtime) else one for one in found]


async def run(name: str, *, runtime: Runtime) -> RunView:
    """Return a run by its number, or the newest run of a plan by the plan's id. Raises `NotFound`."""
    found = await store.view(await store.find(name, runtime=runtime), runtime=runtime)
    if not await _is_masked(found.run.requested_by, runtime):
        return found
    return replace(found, run=_masked_run(found.run), steps=[_masked_step(one) for one in found.steps])


async def events(name: str, *, after: int = 0, limit: int = 1000, runtime: Runtime) -> list[PlanEvent]:
    """Return what happened to a run, in order. Raises `NotFound`."""
    run_id: UUID = await store.find(name, runtime=runtime)
    row = await store.row_of(run_id, runtime=runtime)
    found = await store.events(run_id, after=after, limit=limit, runtime=runtime)
    masked = await _is_masked(row["requested_by"], runtime)
    return [replace(one, payload=_masked_payload(dict(one.payload))) for one in found] if masked else found


async def _is_masked(requested_by: str | None, runtime: Runtime) -> bool:
    who = await people.membership(runtime=runtime)
    return not (who.sees_personal or (requested_by is not None and same_name(who.name, requested_by)))


def _masked_run(one: RunRecord) -> RunRecord:
    return replace(one, error=MASK if one.error else None)


def _masked_step(one: StepRecord) -> StepRecord:
    return replace(one, output=None if one.output is None else MASK, error=MASK if one.error else None)


def _masked_payload(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: MASK if name in ("error", "insight") and value else value for name, value in payload.items()}
