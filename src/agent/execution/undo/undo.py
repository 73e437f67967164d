"""Undo: what approved changes replaced is kept for a time, and taking one back is a change like any other.

While a change is carried out its rows are kept as they were and as they are, in the same transaction (in a database
apart: before it commits). `statement` makes of them the inverse change, which is then assessed, tried, shown, approved and
executed as any other; it touches nothing unless every row is still as the change left it. What is kept may be personal:
AGENT_UNDO_DAYS says for how long, and `forget` takes it away at once.
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
    """Up to how many bytes the rows of this statement are kept."""
    settings = runtime.settings
    return settings.undo_max_bytes if settings.undo_days and statement.kind in _IMAGE_KINDS else 0


async def row_images(
    conn: Connection, statement: Statement, outcome: Outcome, tables: Sequence[TableEffect], *, runtime: Runtime
) -> dict[str, Any] | None:
    """What is to be kept of a statement that `conn` has just run, for `keep`; None where nothing is."""
    if not most_kept(statement, runtime) or not outcome.row_count:
        return None
    relation = statement.node.relation
    named = {"schema": relation.schemaname or None, "name": relation.relname}
    shape = await _shape(conn, named)
    images = outcome.images
    if unseen_update(statement, (await runtime.app.facts("agent_actor")).version):
        return {"why_not": "before Postgres 18 nobody knows what ON CONFLICT DO UPDATE replaced"}
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
    """The query that keeps `images`, and its values but for whose they are."""
    return _QUERIES["keep_images"], {"images": Jsonb(images), "keep": _keep(runtime)}


async def statement(arguments: UndoChange, runtime: Runtime) -> str:
    """The inverse of an execution's change. Raises `ActionRefused` saying why there is none, or `NotFound`."""
    number = arguments.execution_id
    change = await _kept(number, runtime)
    text = inverse(change)
    try:
        async with actor_transaction(runtime, keep=False) as conn:
            named = {"schema": change.schema, "name": change.name}
            shape = await _shape(conn, named)
            if shape is None or [*shape["columns"]] != [_as_json(column) for column in change.columns]:
                raise ActionRefused(
                    f"Execution {number} cannot be undone: the columns of {change.schema}.{change.name} are others by now."
                )
            async with application_path(conn):
                row = await fetch_one(conn, unchanged_rows_query(change).encode())
    except psycopg.Error as error:
        raise failure(error, runtime.settings) from error
    found, rows = (row or {}).get("number"), len(change.before)
    if found != (0 if change.deleted else rows):
        raise ActionRefused(_changed_since(number, change, found or 0))
    return text


async def inverse_of(execution_id: int, *, runtime: Runtime) -> str:
    """The inverse of an execution's change, whether or not its rows are still as it left them. Raises as `statement`."""
    return inverse(await _kept(execution_id, runtime))


async def forget(execution_id: int | None = None, *, runtime: Runtime | None = None) -> int:
    """Delete the kept rows of one execution, or of all; returns of how many."""
    runtime = runtime or await current_runtime()
    return await _forget(runtime, execution_id=execution_id, keep=None)


async def forget_old(*, runtime: Runtime) -> int:
    """Delete what is older than AGENT_UNDO_DAYS."""
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
    """Why there are no rows of a change: what can be known of it, or else what is possible."""
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


def _changed_since(number: int, change: RecordedChange, found: int) -> str:
    rows = len(change.before)
    if change.deleted:
        return f"Execution {number} cannot be undone: {found} of its {rows} deleted rows are there again."
    return (
        f"Execution {number} cannot be undone: of its {rows} rows, {rows - found} are not as it left them. "
        "Look at them, and change what is to be changed."
    )


def _others(tables: Sequence[TableEffect], own: str, rows: int) -> list[TableEffect]:
    """What was changed beside the rows of the statement itself."""
    more = []
    for effect in tables:
        counted = effect["inserted"] + effect["updated"] + effect["deleted"]
        if effect["table"] != own or counted > rows:
            more.append(effect)
    return more


def _as_json(column: Any) -> dict[str, Any]:
    return asdict(column)


def _keep(runtime: Runtime) -> timedelta:
    return timedelta(days=runtime.settings.undo_days)
