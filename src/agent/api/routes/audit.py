"""`/api/audit`: the sealed log of requests, decisions, executions and rules."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, numbers_in, page_of
from agent.audit.chain import Entry
from agent.audit.log import Place, audit_log, read_anchor
from agent.operations import audit

router = APIRouter(prefix="/api/audit", tags=["audit"], route_class=IdempotentRoute)


class AuditEntry(BaseModel):
    """One change of one audited row. `sequence` is null until the entry is sealed."""

    id: int
    sequence: int | None
    at: str
    login: str
    event: str
    subject: str
    content: Any


class Verification(BaseModel):
    """Whether the log is whole, and the first findings if it is not."""

    whole: bool
    entries: int
    rows: int
    effects: int
    found: int
    findings: list[str]


class AnchorBody(BaseModel):
    """The end of the log as an earlier export gave it; without one, nobody can see that the end was cut off."""

    anchor: dict[str, Any] | None = None


@router.get("", **needs("viewer"))
async def list_entries(runtime: Acting, limit: Limit = 50, cursor: Cursor = None) -> Page[AuditEntry]:
    """List the newest entries, the newest first."""
    found = await audit.page(limit + 1, after=_place_in(cursor), runtime=runtime)
    page = page_of(found, limit=limit, key=lambda one: _cursor_of(one[1]))
    return Page(items=[_document(entry) for entry, _ in page.items], next=page.next)


def _cursor_of(place: Place) -> str:
    """Return the numbers of a place: the head of the chain, and the sequence or the id of an entry."""
    return f"{place.head}.{place.after_sequence or 0}.{place.after_id or 0}"


def _place_in(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    head, sequence, number = (*numbers_in(cursor, 3), 0, 0)[:3]
    return Place(head=head, after_sequence=sequence or None, after_id=number or None)


@router.post("/verify", **needs("viewer"))
async def verify(body: AnchorBody, runtime: Acting) -> Verification:
    """Check the whole log, the rows that it is about, and that every effect was decided."""
    anchor = None if body.anchor is None else read_anchor(json.dumps(body.anchor), tenant_id=runtime.tenant_id)
    report = await audit_log.verify(anchor=anchor, runtime=runtime)
    return Verification(
        whole=report.whole, entries=report.entries, rows=report.rows, effects=report.effects, found=report.found,
        findings=[finding.message for finding in report.findings],
    )  # fmt: skip


@router.get("/export", **needs("admin"))
async def export(runtime: Acting) -> dict[str, Any]:
    """Return an anchor: the end of the log as it is now. Keep it where this server's users cannot write."""
    return dict(await audit_log.export(runtime=runtime))


def _document(entry: Entry) -> AuditEntry:
    try:
        content = json.loads(entry.content)
    except (ValueError, RecursionError):  # the agent did not write this; `verify` reports it
        content = entry.content
    return AuditEntry(
        id=entry.id,
        sequence=entry.sequence,
        at=entry.at,
        login=entry.login,
        event=entry.event,
        subject=entry.subject,
        content=content,
    )
