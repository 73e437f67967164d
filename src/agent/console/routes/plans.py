"""`/console/plans`: runs of plans as a graph of steps and in time, as they are or as they were after an event, and what runs and waits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

import agent.integration.performers as performers
from agent.approval.human_approval import human_approval_queue
from agent.console.plan_pictures import Picture, gantt, graph_of
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.request_views import RequestView, request_view
from agent.console.routes.approvals import deciders, execution_of
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import InvalidInput
from agent.operations import approvals
from agent.orchestration import inspection, schedules, views
from agent.orchestration.records import PlanEvent, RunStatus, RunView
from agent.orchestration.timeline import StepState, state_at
from agent.runtime import Runtime

router = APIRouter(prefix=f"{ROOT}/plans", route_class=ConsoleRoute)
_FEW_RUNS, _MOST_RUNS, _PER_PAGE, _EVENTS_AROUND = 50, 1_000, 100, 25
_STATUSES = get_args(RunStatus)
# Sizes of the graph, in percent; "fit" is as wide as the page.
ZOOMS: Mapping[str, float] = {"50": 0.5, "75": 0.75, "100": 1.0}
RunId = Annotated[UUID, Path()]
Number = Annotated[int, Path(ge=0, le=10_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A place in the events of a run (0: before the first): how many there are, the event that led to it, and what each step was then.

    `near` are the events around it, with their places.
    """

    place: int
    events: int
    event: PlanEvent | None
    states: Mapping[str, str]
    near: Sequence[tuple[int, PlanEvent]]


@router.get("", dependencies=needs("viewer"))
async def runs(
    request: Request, visit: Visitor, status: Annotated[str, Query(max_length=20)] = "",
    show: Annotated[int, Query(ge=1, le=_MOST_RUNS)] = _FEW_RUNS,
) -> Response:  # fmt: skip
    """Show the newest runs, what runs and waits, and what begins by itself."""
    chosen = status if status in _STATUSES else None
    seen = await inspection.mark(None, runtime=visit.runtime)
    found = await views.runs(limit=show + 1, status=chosen, runtime=visit.runtime)
    return await page(
        request, visit, "plans.html", found=found[:show], more=min(10 * show, _MOST_RUNS) if len(found) > show else None,
        chosen=chosen or "", statuses=_STATUSES, seen=seen, state=await views.state(runtime=visit.runtime),
    )  # fmt: skip


@router.post("/schedules/remove", dependencies=needs("operator"))
async def unschedule(request: Request, visit: Visitor, form: Form) -> Response:
    """Let a plan begin by itself no more."""
    await schedules.unschedule(form.get("name", ""), runtime=visit.runtime)
    return done(request, form, "It begins by itself no more.")


@router.get("/{run_id}", dependencies=needs("viewer"))
async def one(
    request: Request, run_id: RunId, visit: Visitor, *, at: Annotated[int | None, Query(ge=0, le=inspection.MOST_EVENTS)] = None,
    zoom: Annotated[str, Query(max_length=4)] = "", step: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "", first: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:  # fmt: skip
    """Show one run; with `at`, as it was after so many events."""
    seen, events = await inspection.mark(run_id, runtime=visit.runtime), await inspection.trail(run_id, runtime=visit.runtime)  # fmt: skip
    view = await views.run(str(run_id), runtime=visit.runtime)  # after its events: it is as new as they are
    moment = _moment(view, events, at)
    drawn, _ = await views.in_time(str(run_id), runtime=visit.runtime)
    place = {one.id: number for number, one in enumerate(view.steps)}
    chosen = next((place[one.id] for one in view.steps if step and step in one.id), None)
    picture = _graph(view, moment.states, _center(view, moment.states) if chosen is None else chosen, chosen, zoom)
    rows = [
        (number, one) for number, one in enumerate(view.steps)
        if (not state or moment.states[one.id] == state) and (not step or step in one.id)
    ]  # fmt: skip
    return await page(
        request, visit, "plan.html", view=view, seen=seen, at=at, moment=moment, picture=picture, rows=rows[first : first + _PER_PAGE], found=len(rows),
        first=first, per_page=_PER_PAGE, zoom=zoom, zooms=ZOOMS, step=step, state=state, states=sorted(set(moment.states.values())),
        timeline=drawn, gantt=gantt(drawn, lambda name: f"{ROOT}/plans/{run_id}/steps/{place[name]}"),
        requests=await _requests(run_id, visit.runtime), names=await deciders(visit.runtime),
    )  # fmt: skip


@router.get("/{run_id}/steps/{number}", dependencies=needs("viewer"))
async def one_step(request: Request, run_id: RunId, number: Number, visit: Visitor) -> Response:
    """Show one step of a run with what it was given, what it gave, and what happened."""
    seen = await inspection.mark(run_id, runtime=visit.runtime)
    return await page(request, visit, "plan_step.html", seen=seen, shown=await inspection.step(run_id, number, runtime=visit.runtime))  # fmt: skip


@router.get("/{run_id}/compare", dependencies=needs("viewer"))
async def compare(request: Request, run_id: RunId, visit: Visitor, *, every: Annotated[str, Query(max_length=3)] = "") -> Response:  # fmt: skip
    """Show a replay beside what it replays: the steps that gave something else, or with `every` all of them."""
    seen = await inspection.mark(run_id, runtime=visit.runtime)
    found = await views.comparison(str(run_id), runtime=visit.runtime)
    pairs = [one for one in found.steps if every or not one.same or one.redone]
    return await page(request, visit, "plan_compare.html", seen=seen, found=found, pairs=pairs[:200], more=len(pairs[200:]), every=every)  # fmt: skip


@router.post("/{run_id}/cancel", dependencies=needs("operator"))
async def cancel(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """End a run with every step that runs."""
    answer = await performers.orchestrator(visit.runtime).cancel(run_id)
    said = "The run is cancelled." if answer.ended else "The run is cancelled, and has not ended yet."
    return done(request, form, said if answer.cancelled else "The run was over already.")


@router.post("/{run_id}/pause", dependencies=needs("operator"))
async def pause(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """Start nothing more of a run."""
    paused = await performers.orchestrator(visit.runtime).pause(run_id)
    return done(request, form, "The run is paused. What runs may end." if paused else "The run was over or paused already.")  # fmt: skip


@router.post("/{run_id}/resume", dependencies=needs("operator"))
async def resume(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """Go on with a run that was paused."""
    resumed = await performers.orchestrator(visit.runtime).resume(run_id)
    return done(request, form, "The run goes on." if resumed else "The run was not paused.")


@router.post("/{run_id}/replay", dependencies=needs("operator"))
async def replay(request: Request, run_id: RunId, visit: Visitor, form: Form) -> Response:
    """Run the plan again from a step, with another input for it if one was written, or what did not succeed."""
    given = form.get("input", "").strip()
    again = await performers.orchestrator(visit.runtime).submit_replay(
        run_id, from_step=form.get("step") or None, input=object_in(given, "The input") if given else None
    )
    return done(request, form, "This is the new run. It is compared with the one before below.", to=f"{ROOT}/plans/{again}")  # fmt: skip


def object_in(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object that somebody wrote. Raises `InvalidInput` that says where it is no JSON."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{what} is no JSON in line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{what} is no JSON that can be read: correct it.") from None
    if not isinstance(found, dict):
        raise InvalidInput(f'{what} must be a JSON object, such as {{"name": "Ana"}}.')
    return found


async def _requests(run_id: UUID, runtime: Runtime) -> list[RequestView]:
    """Return what the steps of a run ask humans."""
    asked = await human_approval_queue.for_turn(f"plan:{run_id}", 0, runtime=runtime)
    found = await approvals.views_of(asked, runtime=runtime) if asked else ()
    return [request_view(view, await execution_of(view, runtime)) for view in found]


def _moment(view: RunView, events: Sequence[PlanEvent], at: int | None) -> Moment:
    place = len(events) if at is None else min(at, len(events))
    event = events[place - 1] if place else None
    now: dict[str, StepState | str] = {step.id: step.status for step in view.steps}
    states = now if place == len(events) else dict(state_at(view.steps, events, event.id if event else -1))
    around = range(max(place - _EVENTS_AROUND, 0), min(place + _EVENTS_AROUND, len(events)))
    return Moment(place=place, events=len(events), event=event, states=states, near=[(number + 1, events[number]) for number in around])  # fmt: skip


def _center(view: RunView, states: Mapping[str, str]) -> int:
    """Return the step around which a plan too large to be drawn is shown: one that failed, else one that runs, else the first."""
    for wanted in ("failed", "running"):
        found = next((number for number, step in enumerate(view.steps) if states[step.id] == wanted), None)
        if found is not None:
            return found
    return 0


def _graph(view: RunView, states: Mapping[str, str], around: int, chosen: int | None, zoom: str) -> Picture:
    steps = view.steps
    return graph_of(
        steps, lines=lambda at: (f"{steps[at].action} · {steps[at].agent_id or 'asks'}", states[steps[at].id]), kind=lambda at: states[steps[at].id],
        href=lambda at: f"{ROOT}/plans/{view.run.id}/steps/{at}", around=around, chosen=chosen, scale=ZOOMS.get(zoom, 1.0),
    )  # fmt: skip
