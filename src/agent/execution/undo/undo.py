"""Undoes approved changes: keeps the images of their rows for a time, and builds the inverse statement.

While a change is carried out, its rows before and after are stored in the same transaction (for a separate database: before
it commits). `statement` builds the inverse change from them, which is then assessed, previewed, approved and executed like
any other; it touches nothing unless every row is still as the change left it. Kept rows may be personal: AGENT_UNDO_DAYS
says how long they are kept, and `forget` deletes them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from agent.approval.preview import TableEffect
from agent.db import Connection, load_queries
from agent.db.paths import application_path, rows_as_application
from agent.db.queries import fetch_one
from agent.db.statement_failures import failure
from agent.errors import ActionRefused, NotFound
from agent.execution.tools.arguments import UndoChange
from agent.execution.undo.inverse_statement import RecordedChange, inverse, unchanged_rows_query, why_not_kept
from agent.execution.writes.statement_runner import Outcome, actor_transaction, unseen_update
from agent.runtime import Runtime, current_runtime
from agent.statements.parser import Statement

UNDO = "undo_change"
_QUERIES = load_queries(__package__)
_IMAGE_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt"}


def most_kept(statement: Statement, runtime: Runtime) -> int:
    """Return up to how many bytes of this statement's rows are kept; 0 for none."""
    settings = runtime.settings
    return settings.undo_max_bytes if settings.undo_days and statement.kind in _IMAGE_KINDS else 0


async def row_images(
    conn: Connection, statement: Statement, outcome: Outcome, tables: Sequence[TableEffect], *, runtime: Runtime
) -> dict[str, Any] | None:
    """Return the row images to keep of a statement that `conn` has just run, or why there are none; None to keep nothing."""
    if not most_kept(statement, runtime) or not outcome.row_count:
        return None
    relation = statement.node.relation
    named = {"schema": relation.schemaname or None, "name": relation.relname}
    shape = await _shape(conn, named)
    images = outcome.images
    if unseen_update(statement, (await runtime.app.facts("agent_actor")).version):
        return {"why_not": "before Postgres 18 the server does not say what ON CONFLICT DO UPDATE replaced"}
    if images is None:
        most = f"{runtime.settings.undo_max_bytes:,} bytes (AGENT_UNDO_MAX_BYTES)"
        return {
            "why_not": f"its rows are more than {most}" if outcome.detailed else "its rows are not known one by one"
        }
    why_not = why_not_kept(shape, images.before, images.after)
    if why_not or shape is None:
        return {"why_not": why_not}
    own = f"{shape['schema']}.{shape['name']}"
    return {
        "table_schema": shape["schema"], "table_name": shape["name"], "columns": shape["columns"], "key": shape["key"],
        "before": images.before, "after": images.after, "others": _others(tables, own, len(images.before)),
    }  # fmt: skip


async def _shape(conn: Connection, named: dict[str, Any]) -> dict[str, Any] | None:
    rows = await rows_as_application(conn, _QUERIES["shape"], named)
    return rows[0] if rows else None


def keep_values(images: dict[str, Any], *, runtime: Runtime) -> tuple[LiteralString, dict[str, Any]]:
    """Return the query that stores `images`, and its values except for the approval's."""
    return _QUERIES["keep_images"], {"images": Jsonb(images), "keep": _keep(runtime)}


async def statement(arguments: UndoChange, runtime: Runtime) -> str:
    """Return the inverse of an execution's change as SQL. Raises `ActionRefused` saying why there is none, or `NotFound`."""
    number = arguments.execution_id
    change = await _kept(number, runtime)
    text = inverse(change)
    try:
        async with actor_transaction(runtime, keep=False) as conn:
            named = {"schema": change.schema, "name": change.name}
            shape = await _shape(conn, named)
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


async def has_kept_rows(*, runtime: Runtime) -> bool:
    """Return whether the rows of any change are kept, so that it may be undone."""
    return await runtime.one(_QUERIES["any_kept"], keep=_keep(runtime)) is not None


async def forget(execution_id: int | None = None, *, runtime: Runtime | None = None) -> int:
    """Delete the kept rows of one execution, or of all; return how many executions had some."""
    runtime = runtime or await current_runtime()
    return await _forget(runtime, execution_id=execution_id, keep=None)


async def forget_old(*, runtime: Runtime) -> int:
    """Delete the kept rows that are older than AGENT_UNDO_DAYS; return how many executions had some."""
    return await _forget(runtime, execution_id=None, keep=_keep(runtime))


async def _forget(runtime: Runtime, **which: Any) -> int:
    async with runtime.connection() as conn:
        return (await conn.execute(_QUERIES["forget_images"], {"tenant_id": runtime.tenant_id, **which})).rowcount


async def _kept(number: int, runtime: Runtime) -> RecordedChange:
    row = None
    if 0 < number < 2**63:
        row = await runtime.one(_QUERIES["images"], execution_id=number, keep=_keep(runtime))
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
    if row["age"] > _keep(runtime):
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


def _others(tables: Sequence[TableEffect], own: str, rows: int) -> list[TableEffect]:
    """Return the tables that were changed beside the rows of the statement itself."""
    others = []
    for effect in tables:
        counted = effect["inserted"] + effect["updated"] + effect["deleted"]
        if effect["table"] != own or counted > rows:
            others.append(effect)
    return others


def _as_json(column: Any) -> dict[str, Any]:
    return asdict(column)


def _keep(runtime: Runtime) -> timedelta:
    return timedelta(days=runtime.settings.undo_days)
