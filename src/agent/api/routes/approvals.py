"""`/api/approvals`: what waits for a human, with its preview, and the decisions about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, page_of
from agent.approval.records import Decision
from agent.operations import approvals
from agent.operations.approvals import ApprovalView, HumanDecision

router = APIRouter(prefix="/api/approvals", tags=["approvals"], route_class=IdempotentRoute)
ApprovalId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the request.")]
_MOST = 1000


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
    listed = await approvals.list_requests(_MOST, everything=everything, runtime=runtime)
    return page_of([_document(one) for one in listed.approvals], limit=limit, cursor=cursor, key=lambda one: one["id"])


@router.get("/{approval_id}", **needs("viewer"))
async def get_approval(approval_id: ApprovalId, runtime: Acting) -> dict[str, Any]:
    """Return one request with its preview, who may decide it, and the decisions so far."""
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


def _document(view: ApprovalView) -> dict[str, Any]:
    return {
        **view.approval.as_dict(),
        "waits_for_resume": view.waits_for_resume,
        "why_not": view.why_not,
        "deciders": list(view.deciders),
        "decisions": [asdict(one) for one in view.decisions],
    }
