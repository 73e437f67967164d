"""Read the audit log as a person may see it."""

from __future__ import annotations

from agent.approval.people import people
from agent.audit.log import Entry, Place, audit_log
from agent.runtime import Runtime, current_runtime


async def recent(limit: int = 50, *, viewer: str | None = None, runtime: Runtime | None = None) -> list[Entry]:
    """Return the newest entries, the newest first, as `viewer` may see them (default: the runtime's user)."""
    return [entry for entry, _ in await page(limit, viewer=viewer, runtime=runtime)]


async def page(
    limit: int, *, after: Place | None = None, viewer: str | None = None, runtime: Runtime | None = None
) -> list[tuple[Entry, Place]]:
    """Return the newest entries, or those behind a place, each with its own place, as `viewer` may see them."""
    runtime = runtime or await current_runtime()
    membership = await people.membership(viewer, runtime=runtime)
    return await audit_log.page(limit, after=after, personal=membership.sees_personal, runtime=runtime)
