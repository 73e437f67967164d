"""Undoes approved changes: builds the inverse statement from the rows that were kept of them (see `writes.kept_rows`).

`statement` builds the inverse change from them, which is then assessed, previewed, approved and executed like
any other; it touches nothing unless every row is still as the change left it. Kept rows may be personal: AGENT_UNDO_DAYS
says how long they are kept, and `forget` deletes them at once.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import psycopg

from agent.approval.preview import TableEffect
from agent.db import load_queries
from agent.db.paths import application_path
from agent.db.queries import fetch_one
from agent.db.statement_failures import failure
from agent.errors import ActionRefused, NotFound
from agent.execution.tools.arguments import UndoChange
from agent.execution.undo.inverse_statement import RecordedChange, inverse, unchanged_rows_query
from agent.execution.writes.kept_rows import keep_for, shape_of
from agent.execution.writes.statement_runner import actor_transaction
from agent.runtime import Runtime, current_runtime

UNDO = "undo_change"
_QUERIES = load_queries(__package__)


async def statement(arguments: UndoChange, runtime: Runtime) -> str:
    """Return the inverse of an execution's change as SQL. Raises `ActionRefused` saying why there is none, or `NotFound`."""
    number = arguments.execution_id
    change = await _kept(number, runtime)
    text = inverse(change)
    try:
        async with actor_transaction(runtime, keep=False) as conn:
            named = {"schema": change.schema, "name": change.name}
            shape = await shape_of(conn, named)
            if shape is None or [*shape["columns"]] != [_as_json(column) for column in change.columns]:
                raise ActionRefused(
                    f"Execution {number} cannot be undone: the columns of {change.schema}.{change.name} have changed since."
                )
            async with application_path(conn):
                row = await fetch_one(conn, unchanged_rows_query(change).encode())
    except psycopg.Error as error:
        raise failure(error, runtime.settings) from error
    matching, rows = (row or {}).get("number"), len(change.before)
    if matching != (0 if change.deleted else rows):
        raise ActionRefused(_changed_since(number, change, matching or 0))
    return text


async def inverse_of(execution_id: int, *, runtime: Runtime) -> str:
    """Return the inverse of an execution's change, also where its rows are not as it left them. Raises as `statement`."""
    return inverse(await _kept(execution_id, runtime))


async def not_restored_by(execution_id: int, *, runtime: Runtime) -> tuple[TableEffect, ...]:
    """Return what the undo of an execution leaves as it is: the work of its triggers and cascades. Raises as `statement`."""
    return (await _kept(execution_id, runtime)).others


async def has_kept_rows(*, runtime: Runtime) -> bool:
    """Return whether the rows of any change are kept, so that it may be undone."""
    return await runtime.one(_QUERIES["any_kept"], keep=keep_for(runtime)) is not None


async def forget(execution_id: int | None = None, *, runtime: Runtime | None = None) -> int:
    """Delete the kept rows of one execution, or of all; return how many executions had some."""
    runtime = runtime or await current_runtime()
    return await _forget(runtime, execution_id=execution_id, keep=None)


async def forget_old(*, runtime: Runtime) -> int:
    """Delete the kept rows that are older than AGENT_UNDO_DAYS; return how many executions had some."""
    return await _forget(runtime, execution_id=None, keep=keep_for(runtime))


async def _forget(runtime: Runtime, **which: Any) -> int:
    async with runtime.connection() as conn:
        return (await conn.execute(_QUERIES["forget_images"], {"tenant_id": runtime.tenant_id, **which})).rowcount


async def _kept(number: int, runtime: Runtime) -> RecordedChange:
    row = None
    if 0 < number < 2**63:
        row = await runtime.one(_QUERIES["images"], execution_id=number, keep=keep_for(runtime))
    if row is None:
        raise NotFound(f"There is no execution {number!r}. `agent executions` lists the newest.")
    why_not = _why_not(row, runtime)
    if why_not:
        raise ActionRefused(f"Execution {number} cannot be undone: {why_not}.")
    return RecordedChange.from_row(number, row)


def _why_not(row: dict[str, Any], runtime: Runtime) -> str:
    if row["database_id"] != runtime.database_id:
        return f"it is of another database ({row['database_id']})"
    if row["status"] != "succeeded" or row["approval_id"] is None:
        return f"it is {row['status']}" if row["status"] != "succeeded" else "it changed nothing"
    if row["undone_by"] is not None:
        return f"it was undone already, by execution {row['undone_by']}"
    return _why_not_kept(row, runtime) if row["kept"] is None else str(row["why_not"] or "")


def _why_not_kept(row: dict[str, Any], runtime: Runtime) -> str:
    """Return why no rows of a change are kept: the known reason, or else the possible ones."""
    days = runtime.settings.undo_days
    if not days:
        return "no rows are kept, because AGENT_UNDO_DAYS is 0"
    if row["row_count"] == 0:
        return "it changed no rows"
    only = "its rows are not kept: only those of INSERT, UPDATE and DELETE are"
    if row["row_count"] is None:
        return only
    if row["age"] > keep_for(runtime):
        return f"its rows are not kept any more: that is for {days:g} days (AGENT_UNDO_DAYS), and it is older"
    return (
        f"{only}. If it was one of these, they were deleted (`agent executions forget`), or AGENT_UNDO_DAYS or "
        "AGENT_UNDO_MAX_BYTES was 0 when it was done"
    )


def _changed_since(number: int, change: RecordedChange, matching: int) -> str:
    rows = len(change.before)
    if change.deleted:
        return f"Execution {number} cannot be undone: {matching} of its {rows} deleted rows are there again."
    return (
        f"Execution {number} cannot be undone: of its {rows} rows, {rows - matching} are not as it left them. "
        "Look at them, and change what is to be changed."
    )


def _as_json(column: Any) -> dict[str, Any]:
    return asdict(column)
