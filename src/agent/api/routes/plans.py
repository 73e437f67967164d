"""`/api/plans`: send plans, watch and cancel their runs, and run them again from a step."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Limit
from agent.orchestration import views
from agent.orchestration.mermaid import mermaid
from agent.orchestration.records import PlanEvent, RunRecord, RunStatus, RunView
from agent.orchestration.standard import standard_orchestrator

router = APIRouter(prefix="/api/plans", tags=["plans"], route_class=IdempotentRoute)
RunId = Annotated[UUID, Path(description="Number of the run.")]


class Submitted(BaseModel):
    """A plan that was stored; the next process that is free runs it."""

    run_id: UUID


class Ended(BaseModel):
    """Whether a run still ran when it was cancelled."""

    cancelled: bool


class Again(BaseModel):
    """From where a plan is run again: a step, and another input for it. Without a step, what did not succeed."""

    from_step: str | None = Field(None, max_length=200)
    input: dict[str, Any] | None = None


@router.post("", status_code=202, **needs("operator"))
async def submit(plan: Annotated[dict[str, Any], Body(description="The plan: id, steps, parallel, timeout, fallbackPlan.")], runtime: Acting) -> Submitted:  # fmt: skip
    """Send a plan for agents of this server. It runs in the background."""
    return Submitted(run_id=await standard_orchestrator(runtime).submit(plan))


@router.get("", **needs("viewer"))
async def list_runs(runtime: Acting, *, limit: Limit = 50, status: Annotated[RunStatus | None, Query()] = None) -> list[RunRecord]:  # fmt: skip
    """List the newest runs."""
    return await views.runs(limit=limit, status=status, runtime=runtime)


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


@router.post("/{run_id}/cancel", **needs("operator"))
async def cancel(run_id: RunId, runtime: Acting) -> Ended:
    """End a run with every step that runs."""
    return Ended(cancelled=await standard_orchestrator(runtime).cancel(run_id))


@router.post("/{run_id}/replay", status_code=202, **needs("operator"))
async def replay(run_id: RunId, body: Again, runtime: Acting) -> Submitted:
    """Run a plan again from a step; what is done and does not wait for it is not redone."""
    again = await standard_orchestrator(runtime).submit_replay(run_id, from_step=body.from_step, input=body.input)
    return Submitted(run_id=again)
