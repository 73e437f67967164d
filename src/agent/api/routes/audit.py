"""`/api/audit`: the sealed log of requests, decisions, executions and rules."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, page_of
from agent.audit.chain import Entry
from agent.audit.log import audit_log, read_anchor
from agent.operations import audit

router = APIRouter(prefix="/api/audit", tags=["audit"], route_class=IdempotentRoute)
_MOST = 1000


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
    entries = await audit.recent(_MOST, runtime=runtime)
    return page_of([_document(entry) for entry in entries], limit=limit, cursor=cursor, key=lambda entry: entry.id)


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
