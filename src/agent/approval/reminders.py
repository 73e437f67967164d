"""Sends reminders and escalations of requests that wait: each once, by whichever process finds it due.

Nothing here runs by itself: each read of a waiting request (a list, a poll, a turn) checks whether a notice is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from agent.approval.eligibility import due
from agent.approval.masked_preview import masked_summary
from agent.approval.preview import preview_from_json
from agent.approval.records import Approval
from agent.db import load_queries
from agent.runtime import Runtime
from agent.types import Notice

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_MOST_SECONDS = 10.0


class LogNotifier:
    """The default notifier: it only logs an event, because the notice is stored anyway."""

    async def notify(self, notice: Notice) -> None:
        """Log one notice."""
        _log.warning(
            f"approval_{notice.kind}", approval_id=notice.approval_id, to=list(notice.recipients), text=notice.text
        )


async def remind_if_due(row: Mapping[str, Any], runtime: Runtime) -> None:
    """Send the notices that are due for a waiting request and were not sent yet; its `row` has the time of reading."""
    kinds = due(
        row["read_at"], requested=row["created_at"], expires=row["expires_at"],
        reminded=row["reminded_at"] is not None, escalated=row["escalated_at"] is not None,
    )  # fmt: skip
    for kind in kinds:
        await _notify("claim_notice", {"id": row["id"], "kind": kind, "text": _text(row)}, runtime)


async def notify_delegate(approval: Approval, runtime: Runtime) -> None:
    """Send a notice to the person to whom a request was delegated."""
    text = f"{masked_summary(approval.summary, approval.action, approval.preview)} Delegated to you: `agent approvals show {approval.id}`."
    await _notify("keep_notice", {"id": approval.id, "delegate": approval.delegated_to, "text": text}, runtime)


async def tell_everybody(text: str, runtime: Runtime) -> None:
    """Send a notice about a break-glass to everybody who is named."""
    await _notify("tell_everybody", {"text": text}, runtime)


async def recent_notices(limit: int, runtime: Runtime) -> list[tuple[Notice, datetime]]:
    """Return the notices that were sent, with their times, the newest first."""
    rows = await runtime.all(_QUERIES["notices"], limit=max(0, min(limit, 10_000)))
    return [(_notice(row), row["created_at"]) for row in rows]


async def _notify(query: str, values: Mapping[str, Any], runtime: Runtime) -> None:
    row = await runtime.one(_QUERIES[query], **values)
    if row is None:  # another process was first, or it is decided
        return
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            await (runtime.notifier or LogNotifier()).notify(_notice(row))
    except Exception:  # a notifier may be any code, and its failure must not keep a decision from being taken
        _log.exception("notice_not_delivered", approval_id=row["approval_id"], kind=row["kind"])


def _notice(row: Mapping[str, Any]) -> Notice:
    return Notice(
        approval_id=row["approval_id"], kind=row["kind"], recipients=tuple(row["recipients"]), text=row["text"]
    )


def _text(row: Mapping[str, Any]) -> str:
    return (
        f"{masked_summary(row['summary'], row['action'], preview_from_json(row['preview']))} Asked by {row['requested_by']!r}, risk {row['risk_level']}; "
        f"it expires at {row['expires_at']:%H:%M:%S %Z}: `agent approvals show {row['id']}`."
    )
