"""`/api/learning-runs`: let the learner run, and read what its runs have learned."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.learning.learning_runs import LearningRun
from agent.operations import lessons

router = APIRouter(prefix="/api/learning-runs", tags=["learning"], route_class=IdempotentRoute)
RunId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the run.")]


@router.get("", **needs("viewer"))
async def list_runs(runtime: Acting, *, limit: Limit = 50, cursor: Cursor = None) -> Page[LearningRun]:
    """List the runs of the learner, the newest first."""
    newest = await lessons.runs(limit + 1, before=number_in(cursor), runtime=runtime)
    return page_of(newest, limit=limit, key=lambda run: run.id)


@router.post("", status_code=201, **needs("operator"))
async def start_run(runtime: Acting) -> LearningRun:
    """Run the learner once, and return the record; if a run goes on, wait for that one."""
    return await lessons.learn(runtime=runtime)


@router.get("/{run_id}", **needs("viewer"))
async def get_run(run_id: RunId, runtime: Acting) -> LearningRun:
    """Return one run: what it looked at, learned, dropped and spent."""
    return await lessons.run(run_id, runtime=runtime)
