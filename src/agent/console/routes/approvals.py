"""`/console/approvals`: the inbox, one request with all there is to know, a decision, and what "always allow" would save."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from agent.api.pages import number_in
from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.approval.records import DECISIONS
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.request_views import request_view
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import AlreadyDecided, InvalidInput
from agent.execution.log import Execution
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.messaging.rendering import outcome
from agent.operations import approvals, executions
from agent.operations.approvals import ApprovalView, DecisionOutcome, HumanDecision
from agent.operations.edits import new_arguments
from agent.runtime import Runtime

router = APIRouter(prefix=f"{ROOT}/approvals", route_class=ConsoleRoute)
ApprovalId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_PER_PAGE = 30
_HOURS = (1, 8, 24, 24 * 7, 24 * 30)


@router.get("", dependencies=needs("viewer"))
async def inbox(
    request: Request, visit: Visitor, show: str = "waiting", cursor: Annotated[str | None, Query(max_length=30)] = None
) -> Response:
    """Show what waits for a decision, the oldest first, or everything, the newest first."""
    everything = show == "all"
    listed = await approvals.list_requests(
        _PER_PAGE + 1, everything=everything, after=number_in(cursor or None), runtime=visit.runtime
    )
    views = listed.approvals[:_PER_PAGE]
    shown = [request_view(view, await execution_of(view, visit.runtime)) for view in views]
    more = str(views[-1].approval.id) if len(listed.approvals) > _PER_PAGE else None
    return await page(
        request, visit, "approvals.html", requests=shown, show="all" if everything else "waiting", next=more, names=await deciders(visit.runtime)
    )  # fmt: skip


@router.get("/{approval_id}", dependencies=needs("viewer"))
async def one(request: Request, approval_id: ApprovalId, visit: Visitor) -> Response:
    """Show one request with its rows, its decisions and its ids."""
    view = await approvals.view(approval_id, runtime=visit.runtime)
    shown = request_view(view, await execution_of(view, visit.runtime), whole=True)
    successor = await human_approval_queue.successor(approval_id, runtime=visit.runtime)
    return await page(
        request, visit, "approval.html", shown=shown, successor=successor, names=await deciders(visit.runtime)
    )


@router.post("/{approval_id}/decision", dependencies=needs("approver"))
async def decide(request: Request, approval_id: ApprovalId, visit: Visitor, form: Form) -> Response:
    """Take one person's decision about exactly what they saw, and carry the action out if nothing else is missing."""
    try:
        human = await _decision(approval_id, form, visit.runtime)
        taken = await approvals.decide_and_run(approval_id, human, via="console", runtime=visit.runtime)
    except AlreadyDecided as error:
        return done(request, form, str(error))
    return done(request, form, await _message(taken, approval_id, visit.runtime))


@router.get("/{approval_id}/always", dependencies=needs("approver"))
async def always(
    request: Request, approval_id: ApprovalId, visit: Visitor, *, hours: Annotated[int, Query(ge=1, le=24 * 365)] = 8,
    free: Annotated[list[str] | None, Query(max_length=20)] = None, most: Annotated[str, Query(max_length=12)] = "",
) -> Response:  # fmt: skip
    """Show the rule that "always allow" would save, and let it be narrowed or widened first. Nothing is saved by looking."""
    view = await approvals.view(approval_id, runtime=visit.runtime)
    scope = _scope({"hours": str(hours), "free": ",".join(free or ()), "most": most})
    rule = await safe_executor.would_allow(approval_id, scope, runtime=visit.runtime)
    return await page(
        request, visit, "always.html", shown=request_view(view), rule=rule, hours=hours, free=list(free or ()), most=most,
        choices=_HOURS, exactly=await safe_executor.would_allow(approval_id, Always(seconds=scope.seconds), runtime=visit.runtime),
    )  # fmt: skip


async def execution_of(view: ApprovalView, runtime: Runtime) -> Execution | None:
    """Return the execution of a request that was approved, or None while there is none."""
    if view.approval.status != "approved":
        return None
    return await executions.of_request(view.approval.id, runtime=runtime)


async def _decision(approval_id: int, form: dict[str, str], runtime: Runtime) -> HumanDecision:
    decision = form.get("decision", "")
    if decision not in DECISIONS:
        raise InvalidInput(f"Choose one of {', '.join(DECISIONS)}.")
    text = form.get("text", "")
    arguments = None
    if decision == "edit":
        view = await approvals.view(approval_id, runtime=runtime)
        arguments = new_arguments(view.approval, text)
        if not arguments:
            raise InvalidInput("You changed nothing: approve it as it is, or write another statement.")
    return HumanDecision(
        decision=decision,
        comment=form.get("comment", "").strip() or None,
        arguments=arguments,
        response=text if decision == "respond" else None,
        delegate_to=form.get("delegate_to", "").strip() or None if decision == "delegate" else None,
        always=_scope(form) if decision == "approve" and form.get("hours") else None,
        binding=form.get("binding") or None,
        final=form.get("final") == "yes",
    )


def _scope(form: dict[str, str]) -> Always:
    hours, most = form.get("hours", ""), form.get("most", "").strip()
    if not hours.isdecimal() or (most and not most.isdecimal()) or len(hours) > 6 or len(most) > 9:
        raise InvalidInput("Hours and rows are whole numbers.")
    return Always(
        seconds=int(hours) * 3600.0, free=tuple(filter(None, form.get("free", "").split(","))), most_rows=int(most) if most else None
    )  # fmt: skip


async def _message(taken: DecisionOutcome, asked: int, runtime: Runtime) -> str:
    """Say what became of a decision."""
    approval = taken.approval
    if approval.status == "pending":
        if approval.id != asked:
            return f"Request {asked} was changed. It is request {approval.id} now, and waits for a decision."
        waits = f" {approval.votes_needed} people must approve." if approval.approved_by else ""
        left_to = f" It is left to {approval.delegated_to}." if approval.delegated_to else ""
        return f"Your decision about request {approval.id} is stored.{left_to}{waits}"
    view = await approvals.view(approval.id, runtime=runtime)
    said = f"Request {approval.id}: {outcome(view, await execution_of(view, runtime))}"
    if taken.permission:
        said += (
            f" Permission {taken.permission.id} allows the same until {taken.permission.expires_at:%Y-%m-%d %H:%M %Z}."
        )
    return said


async def deciders(runtime: Runtime) -> list[str]:
    """Return to whom a request can be left."""
    known = await people.list_people(runtime=runtime)
    return [person.name for person in known if person.decides]
