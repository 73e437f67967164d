"""`/console/activity`: every execution with its decision and its entries in the audit log; undo, and checking the log."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from agent.api.pages import not_a_cursor, number_in, numbers_in
from agent.audit.chain import Entry
from agent.audit.log import Place, audit_log
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.result_tables import table_of
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.operations import audit, executions
from agent.types import ExecutionStatus

router = APIRouter(prefix=f"{ROOT}/activity", route_class=ConsoleRoute)
_PER_PAGE, _MOST_FINDINGS = 50, 50
_STATUSES = get_args(ExecutionStatus)
ExecutionId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Cursor = Annotated[str | None, Query(max_length=60)]


@router.get("", dependencies=needs("viewer"))
async def recent(
    request: Request, visit: Visitor, status: Annotated[str, Query(max_length=20)] = "", thread: Annotated[str, Query(max_length=200)] = "",
    cursor: Cursor = None,
) -> Response:  # fmt: skip
    """Show what was done, the newest first."""
    chosen: ExecutionStatus | None = next((one for one in _STATUSES if one == status), None)
    found = await executions.recent(
        _PER_PAGE + 1, status=chosen, thread_id=thread or None, before=number_in(cursor or None), runtime=visit.runtime
    )
    more = str(found[_PER_PAGE - 1].id) if len(found) > _PER_PAGE else None
    return await page(
        request, visit, "activity.html", found=found[:_PER_PAGE], chosen=chosen or "", thread=thread, statuses=_STATUSES, next=more
    )  # fmt: skip


@router.get("/audit", dependencies=needs("viewer"))
async def audited(request: Request, visit: Visitor, cursor: Cursor = None) -> Response:
    """Show the audit log, the newest entries first."""
    found = await audit.page(_PER_PAGE + 1, after=_place_in(cursor or None), runtime=visit.runtime)
    shown = found[:_PER_PAGE]
    more = _cursor_of(shown[-1][1]) if len(found) > _PER_PAGE else None
    entries = [(entry, _content(entry)) for entry, _ in shown]
    return await page(request, visit, "audit.html", entries=entries, next=more, report=None)


@router.post("/audit", dependencies=needs("viewer"))
async def verify(request: Request, visit: Visitor, form: Form) -> Response:  # a form is what is checked to come from us
    """Check the whole audit log, and show what was found."""
    report = await audit_log.verify(runtime=visit.runtime)
    findings = [finding.message for finding in report.findings[:_MOST_FINDINGS]]
    return await page(request, visit, "audit.html", entries=[], next=None, report=report, findings=findings)


@router.get("/{execution_id}", dependencies=needs("viewer"))
async def one(request: Request, execution_id: ExecutionId, visit: Visitor) -> Response:
    """Show one execution: what was called, who decided, what came of it, and whether it can be undone."""
    found = await executions.show(execution_id, runtime=visit.runtime)
    why_not = (
        await executions.why_not_undo(execution_id, runtime=visit.runtime)
        if found.execution.approval_id
        else "Only an approved change can be undone."
    )
    table = table_of(found.execution.result)
    return await page(
        request, visit, "execution.html", found=found, why_not=why_not, table=table.page(0, 200) if table else None
    )


@router.post("/{execution_id}/undo", dependencies=needs("operator"))
async def undo(request: Request, execution_id: ExecutionId, visit: Visitor, form: Form) -> Response:
    """Ask to take a change back: somebody sees first what that would do."""
    proposed = await executions.undo(execution_id, runtime=visit.runtime)
    if proposed.approval is not None:
        said = "The undo waits for a decision. This is what it would do."
        return done(request, form, said, to=f"{ROOT}/approvals/{proposed.approval.id}")
    return done(
        request,
        form,
        proposed.why_not or str(proposed.result.get("error") or proposed.result.get("message") or "Done."),
    )


def _content(entry: Entry) -> Any:
    try:
        return json.loads(entry.content)
    except (ValueError, RecursionError):  # the agent did not write this; checking the log reports it
        return entry.content


def _cursor_of(place: Place) -> str:
    return f"{place.head}.{place.after_sequence or 0}.{place.after_id or 0}"


def _place_in(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    parts = numbers_in(cursor, 3)
    if len(parts) != 3:
        raise not_a_cursor()
    return Place(head=parts[0], after_sequence=parts[1] or None, after_id=parts[2] or None)
