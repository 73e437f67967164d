"""`/api/approvals`: what waits for a human, with its preview, and the decisions about it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.approval.human_approval import human_approval_queue
from agent.approval.records import Decision
from agent.concurrency import end_tasks
from agent.operations import approvals, questions
from agent.operations.approvals import ApprovalView, HumanDecision
from agent.runtime import Runtime

router = APIRouter(prefix="/api/approvals", tags=["approvals"], route_class=IdempotentRoute)
ApprovalId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the request.")]
Wait = Annotated[float, Query(ge=0, le=55, description="Most seconds to wait for the decision (long poll).")]


class DecisionBody(BaseModel):
    """One person's decision. With `binding`, it counts only for exactly the request that the person saw."""

    decision: Decision
    comment: str | None = Field(None, max_length=10_000)
    arguments: dict[str, Any] | None = Field(None, description="The changed arguments of an edit.")
    response: str | None = Field(None, max_length=10_000, description="The answer in the tool's place.")
    delegate_to: str | None = Field(None, max_length=200)
    binding: str | None = Field(None, max_length=200)


@router.get("", **needs("viewer"))
async def list_approvals(
    runtime: Acting,
    *,
    everything: Annotated[bool, Query(description="Also those that were decided, the newest first.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[dict[str, Any]]:
    """List the requests that wait for a human, the oldest first."""
    after = number_in(cursor)
    listed = await approvals.list_requests(limit + 1, everything=everything, after=after, runtime=runtime)
    return page_of([_document(one) for one in listed.approvals], limit=limit, key=lambda one: one["id"])


class Question(BaseModel):
    """Something to ask a human. With `answer_schema` the answer is an object that fits it."""

    question: str = Field(min_length=1, max_length=4_000)
    answer_schema: dict[str, Any] | None = Field(
        None, examples=[{"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}]
    )
    timeout: float | None = Field(None, gt=0, le=30 * 24 * 3600, description="Seconds until it expires.")


@router.post("/questions", status_code=201, **needs("operator"))
async def ask_human(body: Question, runtime: Acting) -> dict[str, Any]:
    """Ask a human from outside. It waits in the same inbox; its answer is at `/api/approvals/questions/{id}`."""
    asked = await questions.ask(body.question, schema=body.answer_schema, timeout=body.timeout, runtime=runtime)
    return asdict(questions.answer_in(asked))


@router.get("/questions/{approval_id}", **needs("operator"))
async def get_answer(request: Request, approval_id: ApprovalId, runtime: Acting, wait: Wait = 0) -> dict[str, Any]:
    """Return what became of a question; with `wait`, as soon as a human has answered or the seconds are over."""
    await _wait(request, approval_id, wait, runtime)
    return asdict(await questions.answer(approval_id, runtime=runtime))


@router.get("/{approval_id}", **needs("viewer"))
async def get_approval(request: Request, approval_id: ApprovalId, runtime: Acting, wait: Wait = 0) -> dict[str, Any]:
    """Return one request with its preview, who may decide it, and the decisions so far.

    With `wait`, it answers as soon as the request is decided, or when the seconds are over.
    """
    await _wait(request, approval_id, wait, runtime)
    return _document(await approvals.view(approval_id, runtime=runtime))


@router.post("/{approval_id}/decision", **needs("approver"))
async def decide(approval_id: ApprovalId, body: DecisionBody, runtime: Acting) -> dict[str, Any]:
    """Decide, and carry the action out at once if that was the last approval that it needed."""
    human = HumanDecision(**body.model_dump())
    outcome = await approvals.decide_and_run(approval_id, human, via="api", runtime=runtime)
    return {
        "approval": dict(outcome.approval.as_dict()),
        "result": outcome.result,
        "waits_for_resume": outcome.waits_for_resume,
    }


async def _wait(request: Request, approval_id: int, seconds: float, runtime: Runtime) -> None:
    """Wait until a request is decided, at most for `seconds`, and not longer than this process lives."""
    if not seconds:
        return
    leaving: asyncio.Event = request.app.state.leaving
    decided = asyncio.create_task(human_approval_queue.wait(approval_id, runtime=runtime))
    left = asyncio.create_task(leaving.wait())
    try:
        await asyncio.wait({decided, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if decided.done():
            decided.result()
    finally:
        await end_tasks(left, decided)


def _document(view: ApprovalView) -> dict[str, Any]:
    return {
        **view.approval.as_dict(),
        "waits_for_resume": view.waits_for_resume,
        "why_not": view.why_not,
        "deciders": list(view.deciders),
        "conditions": list(view.conditions),
        "decisions": [asdict(one) for one in view.decisions],
    }
