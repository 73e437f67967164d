"""`/api/plans`: send plans, watch and cancel their runs, and run them again from a step."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Limit
from agent.integration import performers
from agent.orchestration import schedules, views
from agent.orchestration.comparison import Comparison
from agent.orchestration.mermaid import mermaid
from agent.orchestration.records import PlanEvent, RunRecord, RunStatus, RunView
from agent.orchestration.timeline import StepState, Timeline

router = APIRouter(prefix="/api/plans", tags=["plans"], route_class=IdempotentRoute)
ScheduleName = Annotated[str, Path(min_length=1, max_length=200, description="Name of the schedule.")]
TemplateName = Annotated[str, Path(min_length=1, max_length=200, description="Name of the template.")]
RunId = Annotated[UUID, Path(description="Number of the run.")]


class Submitted(BaseModel):
    """A plan that was stored; the next process that is free runs it."""

    run_id: UUID


class Ended(BaseModel):
    """Whether a run still ran when it was cancelled, whether all that belongs to it has ended, and which runs have not."""

    cancelled: bool
    ended: bool
    running: list[UUID]


class Again(BaseModel):
    """From where a plan is run again: a step, and another input for it. Without a step, what did not succeed."""

    from_step: str | None = Field(None, max_length=200)
    input: dict[str, Any] | None = None


class AgainMany(Again):
    """Which runs are run again: those of a plan, or of all plans, that ended in this way."""

    plan_id: str | None = Field(None, max_length=200)
    status: Literal["failed", "succeeded", "cancelled"] = "failed"
    limit: int = Field(100, ge=1, le=1_000)


class Batch(BaseModel):
    """A replay in bulk."""

    batch: UUID
    run_ids: list[UUID]


class Scheduled(BaseModel):
    """A plan, and when it begins: minute, hour, day, month and weekday, as clocks in a time zone show them."""

    plan: dict[str, Any]
    cron: str = Field(max_length=200)
    time_zone: str = Field("UTC", max_length=100, description="A name such as Europe/Berlin.")


class Filled(BaseModel):
    """The parameters of a template; those with a default may be left out."""

    parameters: dict[str, Any] = Field({}, max_length=50)


class AgentLimit(BaseModel):
    """How many steps of an agent may run at the same time."""

    most: int | None = Field(ge=1, le=10_000)


class Changed(BaseModel):
    """Whether something changed."""

    changed: bool


class InTime(BaseModel):
    """A run in time, and what each step was after an event."""

    timeline: Timeline
    states: dict[str, StepState] | None


@router.post("", status_code=202, **needs("operator"))
async def submit(plan: Annotated[dict[str, Any], Body(description="The plan: id, steps, parallel, timeout, fallbackPlan.")], runtime: Acting) -> Submitted:  # fmt: skip
    """Send a plan for agents of this server. It runs in the background."""
    return Submitted(run_id=await performers.orchestrator(runtime).submit(plan))


@router.get("", **needs("viewer"))
async def list_runs(runtime: Acting, *, limit: Limit = 50, status: Annotated[RunStatus | None, Query()] = None) -> list[RunRecord]:  # fmt: skip
    """List the newest runs."""
    return await views.runs(limit=limit, status=status, runtime=runtime)


@router.get("/templates", **needs("viewer"))
async def list_templates(runtime: Acting) -> list[performers.Offered]:
    """List the templates that can be run: those that come with it, and the saved ones."""
    return await performers.offered(runtime=runtime)


@router.post("/templates/{name}", status_code=202, **needs("operator"))
async def run_template(name: TemplateName, body: Filled, runtime: Acting) -> Submitted:
    """Run a template with these parameters, a saved one in its newest version. It runs in the background."""
    plan = await performers.plan_of(name, body.parameters, runtime=runtime)
    return Submitted(run_id=await performers.orchestrator(runtime).submit(plan))


@router.get("/state", **needs("viewer"))
async def get_state(runtime: Acting) -> views.PlanState:
    """Return what runs and waits, which agents are left alone or limited, and what begins by itself."""
    return await views.state(runtime=runtime)


@router.put("/schedules/{name}", **needs("operator"))
async def put_schedule(name: ScheduleName, body: Scheduled, runtime: Acting) -> schedules.Schedule:
    """Let a plan begin by itself at the times of a cron expression."""
    plan = performers.orchestrator(runtime).read(body.plan)
    return await schedules.schedule(name, plan, body.cron, time_zone=body.time_zone, runtime=runtime)


@router.delete("/schedules/{name}", status_code=204, **needs("operator"))
async def delete_schedule(name: ScheduleName, runtime: Acting) -> None:
    """Let a plan begin by itself no more."""
    await schedules.unschedule(name, runtime=runtime)


@router.post("/replays", status_code=202, **needs("operator"))
async def replay_many(body: AgainMany, runtime: Acting) -> Batch:
    """Run many runs again; each is stored for any process that knows its agents."""
    batch, runs = await performers.orchestrator(runtime).submit_replays(
        plan_id=body.plan_id, status=body.status, limit=body.limit, from_step=body.from_step, input=body.input
    )
    return Batch(batch=batch, run_ids=runs)


@router.get("/replays/{batch}", **needs("viewer"))
async def get_replays(batch: Annotated[UUID, Path(description="Number of the batch.")], runtime: Acting, *, limit: Limit = 50) -> list[Comparison]:  # fmt: skip
    """Return the replays of a batch, each beside what it replays."""
    return await views.batch(batch, limit=limit, runtime=runtime)


@router.put("/limits/{agent_id}", status_code=204, **needs("operator"))
async def put_limit(
    agent_id: Annotated[str, Path(min_length=1, max_length=200)], body: AgentLimit, runtime: Acting
) -> None:
    """Let at most so many steps of an agent run at the same time, in all processes; null ends the limit."""
    await performers.orchestrator(runtime).limit_agent(agent_id, body.most)


@router.get("/{run_id}", **needs("viewer"))
async def get_run(run_id: RunId, runtime: Acting) -> RunView:
    """Return a run with its steps."""
    return await views.run(str(run_id), runtime=runtime)


@router.get("/{run_id}/events", **needs("viewer"))
async def get_events(run_id: RunId, runtime: Acting, *, after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0, limit: Limit = 200) -> list[PlanEvent]:  # fmt: skip
    """Return what happened to a run, in order, from behind the event `after`."""
    return await views.events(str(run_id), after=after, limit=limit, runtime=runtime)


@router.get("/{run_id}/mermaid", response_class=PlainTextResponse, **needs("viewer"))
async def get_mermaid(run_id: RunId, runtime: Acting) -> str:
    """Return a run as the text of a Mermaid flowchart."""
    return mermaid(await views.run(str(run_id), runtime=runtime))


@router.get("/{run_id}/timeline", **needs("viewer"))
async def get_timeline(
    run_id: RunId, runtime: Acting, *, until: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None
) -> InTime:
    """Return a run in time; with `until`, also what each step was after the event of this number."""
    drawn, states = await views.in_time(str(run_id), until=until, runtime=runtime)
    return InTime(timeline=drawn, states=states)


@router.get("/{run_id}/comparison", **needs("viewer"))
async def get_comparison(run_id: RunId, runtime: Acting) -> Comparison:
    """Return a replay beside what it replays."""
    return await views.comparison(str(run_id), runtime=runtime)


@router.post("/{run_id}/pause", **needs("operator"))
async def pause(run_id: RunId, runtime: Acting) -> Changed:
    """Start nothing more of a run until it is resumed."""
    return Changed(changed=await performers.orchestrator(runtime).pause(run_id))


@router.post("/{run_id}/resume", **needs("operator"))
async def resume(run_id: RunId, runtime: Acting) -> Changed:
    """Go on with a run that was paused, with the time that it had left."""
    return Changed(changed=await performers.orchestrator(runtime).resume(run_id))


@router.post("/{run_id}/cancel", **needs("operator"))
async def cancel(run_id: RunId, runtime: Acting) -> Ended:
    """End a run with every step that runs and the plans of its steps, and wait some seconds until all of them have ended."""
    answer = await performers.orchestrator(runtime).cancel(run_id)
    return Ended(cancelled=answer.cancelled, ended=answer.ended, running=list(answer.running))


@router.post("/{run_id}/replay", status_code=202, **needs("operator"))
async def replay(run_id: RunId, body: Again, runtime: Acting) -> Submitted:
    """Run a plan again from a step; what is done and does not wait for it is not redone."""
    again = await performers.orchestrator(runtime).submit_replay(run_id, from_step=body.from_step, input=body.input)
    return Submitted(run_id=again)
