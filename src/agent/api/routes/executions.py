"""`/api/executions`: what the agent did, what it would do, and taking a change back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.execution.log import Execution
from agent.operations import executions
from agent.types import ExecutionStatus, RiskLevel, Verdict

router = APIRouter(prefix="/api/executions", tags=["executions"], route_class=IdempotentRoute)
ExecutionId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the execution.")]


class ExecutionWithCalls(BaseModel):
    """One execution, and the calls that a created tool's code made in it."""

    execution: Execution
    calls: list[Execution]


class UndoReply(BaseModel):
    """The request that waits for a human, or why the change cannot be taken back."""

    approval_id: int | None
    why_not: str
    result: dict[str, Any]


class Preflight(BaseModel):
    """An action to look at. Nothing runs and nobody is asked."""

    action: str = Field(min_length=1, max_length=200, examples=["execute_sql"])
    arguments: dict[str, Any] = Field(examples=[{"sql": "UPDATE clients SET status = 'paused' WHERE id = 1"}])


class PreflightReply(BaseModel):
    """What would happen: it runs at once, a human is asked, or it is refused; why; and how risky it is."""

    verdict: Verdict
    risk_level: RiskLevel
    reasons: list[str]
    sentence: str
    objects: list[str]
    held_up_by: str


@router.get("", **needs("viewer"))
async def list_executions(
    runtime: Acting,
    *,
    thread_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    status: ExecutionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Execution]:
    """List what was done, the newest first."""
    before = number_in(cursor)
    newest = await executions.recent(limit + 1, thread_id=thread_id, status=status, before=before, runtime=runtime)
    return page_of(newest, limit=limit, key=lambda execution: execution.id)


@router.post("/preflight", **needs("viewer"))
async def preflight(body: Preflight, runtime: Acting) -> PreflightReply:
    """Assess an action without doing it or asking anybody."""
    looked = await executions.preflight(body.action, body.arguments, runtime=runtime)
    assessed = looked.assessment
    return PreflightReply(
        verdict=assessed.verdict, risk_level=assessed.risk, reasons=list(assessed.reasons), sentence=assessed.sentence,
        objects=list(assessed.objects), held_up_by=looked.held_up_by,
    )  # fmt: skip


@router.get("/{execution_id}", **needs("viewer"))
async def get_execution(execution_id: ExecutionId, runtime: Acting) -> ExecutionWithCalls:
    """Return one execution with its calls."""
    shown = await executions.show(execution_id, runtime=runtime)
    return ExecutionWithCalls(execution=shown.execution, calls=list(shown.calls))


@router.post("/{execution_id}/undo", **needs("operator"))
async def undo(execution_id: ExecutionId, runtime: Acting) -> UndoReply:
    """Ask for approval to take a change back."""
    proposed = await executions.undo(execution_id, runtime=runtime)
    approval_id = proposed.approval.id if proposed.approval else None
    return UndoReply(approval_id=approval_id, why_not=proposed.why_not, result=dict(proposed.result))
