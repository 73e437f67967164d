"""`/console/learning`: what the learner looked at, learned, dropped and spent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from agent.api.pages import number_in
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.operations import feedback, lessons

router = APIRouter(prefix=f"{ROOT}/learning", route_class=ConsoleRoute)
_PER_PAGE = 30


@router.get("", dependencies=needs("viewer"))
async def runs(request: Request, visit: Visitor, cursor: Annotated[str | None, Query(max_length=30)] = None) -> Response:  # fmt: skip
    """Show how much is known, and the newest runs."""
    found = await lessons.runs(_PER_PAGE + 1, before=number_in(cursor or None), runtime=visit.runtime)
    more = str(found[_PER_PAGE - 1].id) if len(found) > _PER_PAGE else None
    counts = await lessons.counts(runtime=visit.runtime)
    return await page(request, visit, "learning.html", found=found[:_PER_PAGE], counts=counts, next=more)


@router.post("", dependencies=needs("operator"))
async def learn(request: Request, visit: Visitor, form: Form) -> Response:
    """Let the learner run once, now."""
    run = await lessons.learn(runtime=visit.runtime)
    return done(request, form, f"Run {run.id} is {run.status}: {len(run.learned)} learned, {len(run.dropped)} dropped.")


@router.get("/feedback", dependencies=needs("admin"))
async def said(request: Request, visit: Visitor, before: datetime | None = None) -> Response:
    """Show what people say of answers, the newest first."""
    found = await feedback.newest(_PER_PAGE + 1, before=before, runtime=visit.runtime)
    more = found[_PER_PAGE - 1].given_at.isoformat() if len(found) > _PER_PAGE else None
    return await page(
        request, visit, "feedback.html", found=found[:_PER_PAGE], counts=await feedback.counts(runtime=visit.runtime), next=more
    )  # fmt: skip


@router.get("/{run_id}", dependencies=needs("viewer"))
async def one(request: Request, run_id: Annotated[int, Path(ge=1, le=2**63 - 1)], visit: Visitor) -> Response:
    """Show one run."""
    return await page(request, visit, "learning_run.html", run=await lessons.run(run_id, runtime=visit.runtime))
