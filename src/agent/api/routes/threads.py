"""`/api/threads`: list, read and delete conversations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, not_a_cursor, page_of
from agent.text.storable import storable
from agent.threads import threads

router = APIRouter(prefix="/api/threads", tags=["threads"], route_class=IdempotentRoute)
ThreadId = Annotated[str, Path(min_length=1, max_length=200, description="Id of the thread.")]


@router.get("", **needs("viewer"))
async def list_threads(runtime: Acting, limit: Limit = 50, cursor: Cursor = None) -> Page[dict[str, Any]]:
    """List the threads on this database, the newest first."""
    newest = await threads.recent(limit=limit + 1, after=_place_in(cursor), runtime=runtime)
    entries: list[dict[str, Any]] = [dict(thread) for thread in newest]
    return page_of(entries, limit=limit, key=lambda thread: f"{thread['updated_at'].isoformat()} {thread['thread_id']}")


def _place_in(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    moment, _, thread_id = cursor.partition(" ")
    try:
        updated_at = datetime.fromisoformat(moment)
    except ValueError:
        raise not_a_cursor() from None
    if updated_at.tzinfo is None or storable(thread_id) != thread_id:
        raise not_a_cursor()
    return updated_at, thread_id


@router.get("/{thread_id}", **needs("viewer"))
async def get_thread(thread_id: ThreadId, runtime: Acting) -> dict[str, Any]:
    """Return the whole conversation of a thread, the oldest turn first."""
    turns = await threads.turns(thread_id, runtime=runtime)
    return {"thread_id": thread_id, "turns": [dict(turn) for turn in turns]}


@router.delete("/{thread_id}", status_code=204, **needs("operator"))
async def delete_thread(thread_id: ThreadId, runtime: Acting) -> None:
    """Delete a thread with its turns, unless it runs or waits for a human."""
    await threads.delete(thread_id, runtime=runtime)
