"""What somebody looks at who wants to know how a run came about: its events one by one, and one step with all that belongs to it.

Who may not see personal values sees what others ran without inputs, results and errors, as in `views`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import agent.orchestration.store as store
import agent.orchestration.views as views
from agent.db import load_queries
from agent.errors import AccessDenied, NotFound
from agent.orchestration.plan import PlanStep
from agent.orchestration.records import PlanEvent, RunRecord, StepRecord
from agent.privacy.masking import MASK
from agent.runtime import Runtime

MOST_EVENTS = 50_000
_MOST_PARTS, _MOST_EVENTS_OF_STEP = 200, 500
_QUERIES = load_queries(__package__, "inspection.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRun:
    """A run of the plan that is a step."""

    id: UUID
    plan_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A step of a run: what was to be done, what came of it, the elements of its list, and what happened.

    `given` is the step's input as the plan has it (None if it is hidden), `settings` what else the plan says of it.
    """

    run: RunRecord
    number: int
    step: PlanStep
    record: StepRecord
    given: dict[str, Any] | None
    settings: dict[str, Any]
    parts: Sequence[StepRecord]
    runs: Sequence[PartRun]
    events: Sequence[PlanEvent]


async def mark(run_id: UUID | None, *, runtime: Runtime) -> str:
    """Return a text that is another one after whatever happens to a run, or without one to the newest runs."""
    row = await runtime.one(_QUERIES["mark_of_run"], id=run_id) if run_id else await runtime.one(_QUERIES["mark_of_runs"])  # fmt: skip
    return str((row or {}).get("mark") or "")


async def trail(run_id: UUID, *, runtime: Runtime) -> list[PlanEvent]:
    """Return what happened to a run, in order, without what was said about it."""
    return [PlanEvent(**row) for row in await runtime.all(_QUERIES["trail"], id=run_id, limit=MOST_EVENTS)]


async def plan_to_copy(run_id: UUID, *, runtime: Runtime) -> dict[str, Any]:
    """Return the plan of a run as JSON. Raises `NotFound`, and `AccessDenied` if its inputs are hidden from the runtime's user."""
    row = await store.row_of(run_id, runtime=runtime)
    if await views.is_masked(row["requested_by"], runtime):
        raise AccessDenied("The inputs of this run are hidden from you: whoever ran it can make a template of it.")
    return (await store.plan_in(row, runtime=runtime)).as_json()


async def step(run_id: UUID, number: int, *, runtime: Runtime) -> StepView:
    """Return the step of this place (0, 1, ...) in the plan of a run. Raises `NotFound`."""
    view = await views.run(str(run_id), runtime=runtime)
    plan = await store.plan_of(run_id, runtime=runtime)
    if number >= len(plan.steps):
        raise NotFound(f"The plan {view.run.plan_id[:100]!r} has {len(plan.steps)} steps: look at one of them.")
    chosen = plan.steps[number]
    masked = await views.is_masked(view.run.requested_by, runtime)
    key = {"id": run_id, "step_id": chosen.id}
    parts = [_part(chosen, row, masked=masked) for row in await runtime.all(_QUERIES["parts_of_step"], **key, limit=_MOST_PARTS)]  # fmt: skip
    events = [PlanEvent(**row) for row in await runtime.all(_QUERIES["events_of_step"], **key, limit=_MOST_EVENTS_OF_STEP)]  # fmt: skip
    told = chosen.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    settings = {name: value for name, value in told.items() if name not in _SHOWN_APART}
    return StepView(
        run=view.run, number=number, step=chosen, record=view.steps[number], given=None if masked else told.get("input", {}),
        settings={} if masked else settings, parts=parts, events=[views.masked_event(one) if masked else one for one in events],
        runs=[PartRun(**row) for row in await runtime.all(_QUERIES["runs_of_step"], **key, limit=_MOST_PARTS)],
    )  # fmt: skip


_SHOWN_APART = {"id", "agentId", "action", "dependencies", "input", "plan", "approval"}


def _part(step: PlanStep, row: dict[str, Any], *, masked: bool) -> StepRecord:
    output, error = row["output"], row["error"]
    return StepRecord(
        id=row["step_id"], agent_id=step.performer, action=step.action, dependencies=(), status=row["status"], attempts=row["attempts"],
        output=MASK if masked and output is not None else output, error=MASK if masked and error else error, duration=row["duration_ms"],
        started_at=row["started_at"], finished_at=row["finished_at"],
    )  # fmt: skip
