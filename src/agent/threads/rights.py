"""Keeps with which rights a question was asked, so that another process that goes on with the turn has no more than these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from psycopg.types.json import Jsonb

from agent.approval.eligibility import same_name
from agent.db import load_queries
from agent.errors import InvalidInput, ThreadBusy
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


def rights_of(runtime: Runtime) -> dict[str, Any]:
    """Return the rights of a runtime as they are stored with a turn: `masked` and `claims`."""
    claims = (
        None if runtime.claims is None or runtime.claims == runtime.settings.claims else Jsonb(dict(runtime.claims))
    )
    return {"masked": runtime.masked, "claims": claims}


async def acting_for_asker(thread_id: str, *, runtime: Runtime) -> Runtime:
    """Return a runtime with the user and the rights of the turn of a thread that is not over; `runtime` if there is none.

    Raises `InvalidInput` if the rights are not known and the runtime's user is somebody else.
    """
    row = await runtime.one(_QUERIES["unfinished_rights"], thread_id=thread_id)
    if row is None or (row["masked"] is None and same_name(row["asked_by"], runtime.user)):
        return runtime
    if row["masked"] is None:
        raise InvalidInput(
            f"It is not known with which rights {row['asked_by']!r} asked on thread {thread_id!r}, so only they go on with it."
        )
    return _with(runtime, row)


async def check_asked_so(thread_id: str, *, runtime: Runtime) -> None:
    """Raise `ThreadBusy` if the turn of a thread that is not over was asked by another user, or with other rights."""
    acting = await acting_for_asker(thread_id, runtime=runtime)
    same = same_name(acting.user, runtime.user) and (acting.masked, acting.claims) == (runtime.masked, runtime.claims)
    if not same:
        raise ThreadBusy(
            f"Thread {thread_id!r} goes on with what {acting.user!r} asked: ask again when that is answered, or use another thread."
        )


def _with(runtime: Runtime, row: Mapping[str, Any]) -> Runtime:
    claims = runtime.settings.claims if row["claims"] is None else row["claims"]
    return replace(runtime, user=row["asked_by"], masked=row["masked"], claims=claims)
