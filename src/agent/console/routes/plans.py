"""`/console/plans`: runs of plans as a graph of steps and on a timeline, as they are or as they were after an event."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, get_args
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from agent.console.graph_layout import Box, draw
from agent.console.rendering import ConsoleRoute, done, page, seconds
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.orchestration import views
from agent.orchestration.records import PlanEvent, RunStatus, RunView
from agent.orchestration.standard import standard_orchestrator

router = APIRouter(prefix=f"{ROOT}/plans", route_class=ConsoleRoute)
_MOST_RUNS, _MOST_EVENTS = 100, 1_000
_STATUSES = get_args(RunStatus)
_ROW, _LEFT, _WIDTH = 24, 176, 860
RunId = Annotated[UUID, Path()]
# What a step is after an event about it.
_AFTER = {"step:started": "running", "step:retried": "running", "step:completed": "succeeded", "step:failed": "failed"}


@router.get("", dependencies=needs("viewer"))
async def runs(request: Request, visit: Visitor, status: Annotated[str, Query(max_length=20)] = "") -> Response:
    """Show the newest runs."""
    chosen = status if status in _STATUSES else None
    found = await views.runs(limit=_MOST_RUNS, status=chosen, runtime=visit.runtime)
    return await page(request, visit, "plans.html", found=found, chosen=chosen or "", statuses=_STATUSES)


@router.get("/{run_id}", dependencies=needs("viewer"))
async def one(
    request: Request, run_id: RunId, visit: Visitor, at: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None
) -> Response:
    """Show one run; with `at`, as it was after that event."""
    view = await views.run(str(run_id), runtime=visit.runtime)
    events = await views.events(str(run_id), limit=_MOST_EVENTS, runtime=visit.runtime)
    states = _states(view, events, at)
    place = next((number for number, event in enumerate(events) if event.id == at), len(events) - 1)
    return await page(
        request, visit, "plan.html", view=view, events=events, at=at, place=place, states=states, graph=_graph(view, states),
        timeline=_timeline(view),
    )  # fmt: skip


@router.post("/{run_id}/cancel", dependencies=needs("operator"))
async def cancel(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """End a run with every step that runs."""
    answer = await standard_orchestrator(visit.runtime).cancel(run_id)
    said = "The run is cancelled." if answer.ended else "The run is cancelled, and has not ended yet."
    return done(request, form, said if answer.cancelled else "The run was over already.")


@router.post("/{run_id}/replay", dependencies=needs("operator"))
async def replay(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """Run the plan again from a step, or what did not succeed."""
    again = await standard_orchestrator(visit.runtime).submit_replay(run_id, from_step=form.get("step") or None)
    return done(request, form, "This is the new run.", to=f"{ROOT}/plans/{again}")


def _states(view: RunView, events: Sequence[PlanEvent], at: int | None) -> dict[str, str]:
    """Return what each step is now, or was after the event `at`."""
    if at is None:
        return {step.id: step.status for step in view.steps}
    states = {step.id: "waiting" for step in view.steps}
    for event in events:
        if event.id <= at and event.step_id in states and event.kind in _AFTER:
            states[event.step_id] = _AFTER[event.kind]
    return states


def _graph(view: RunView, states: dict[str, str]) -> Markup:
    boxes = [
        Box(
            id=step.id,
            title=step.id,
            kind=states[step.id],
            lines=(f"{step.agent_id} {step.action}", states[step.id]),
            href=f"#step-{number}",
        )
        for number, step in enumerate(view.steps)
    ]
    edges = [(step.id, other) for step in view.steps for other in step.dependencies]
    return draw(boxes, edges, label=f"{len(boxes)} steps; an arrow leads to what a step waits for")


def _timeline(view: RunView) -> Markup:
    """Return a bar for each step from its beginning to its end. Stretches in which nothing ran are drawn short, and say how long they were."""
    begun = [(step, step.started_at) for step in view.steps if step.started_at is not None]
    if not begun:
        return Markup("")
    end_of = {step.id: step.finished_at or max(at for _, at in begun) for step, _ in begun}
    moments = sorted({*(at for _, at in begun), *end_of.values()})
    scale = _compressed(moments, [(at, end_of[step.id]) for step, at in begun])
    parts = []
    for row, (step, at) in enumerate(sorted(begun, key=lambda pair: pair[1])):
        x, right, y = scale[at], scale[end_of[step.id]], row * _ROW
        took = seconds(step.duration / 1000) if step.duration is not None else "runs"
        label = f"{step.id}: {step.status}, {took}"
        kind = {"failed": "s1", "succeeded": "s0"}.get(step.status, "s2")
        parts.append(
            f'<text x="0" y="{y + 15}">{escape(step.id[:24])}</text><rect class="{kind}" x="{_LEFT + x:.1f}" y="{y + 4}" '
            f'width="{max(right - x, 3):.1f}" height="14" rx="3"><title>{escape(label)}</title></rect>'
        )
    height = len(begun) * _ROW + 4
    return Markup(  # noqa: S704  # every text in it is escaped
        f'<svg class="plot" viewBox="0 0 {_LEFT + _WIDTH} {height}" role="img" aria-label="When each step ran">{"".join(parts)}</svg>'
    )


def _compressed(moments: Sequence[datetime], spans: Sequence[tuple[datetime, datetime]]) -> dict[datetime, float]:
    """Return where each moment stands. A gap in which nothing ran takes as much room as a tenth of what ran at most."""
    lengths = [(later - one).total_seconds() for one, later in itertools.pairwise(moments)]
    idle = [
        not any(begin <= one and later <= end for begin, end in spans) for one, later in itertools.pairwise(moments)
    ]
    worked = sum(length for length, is_idle in zip(lengths, idle, strict=True) if not is_idle)
    drawn = [min(length, worked / 10) if is_idle else length for length, is_idle in zip(lengths, idle, strict=True)]
    total = sum(drawn) or 1.0
    places, x = {moments[0]: 0.0}, 0.0
    for moment, length in zip(moments[1:], drawn, strict=True):
        x += length / total * _WIDTH
        places[moment] = x
    return places
