"""Keeps the rows of a change for undo, and says before and after it whether it can be undone.

While a change is carried out, its rows before and after are stored in the same transaction (for a separate database: before
it commits). A dry run looks at the same rows, so that an approver knows beforehand what an undo could do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from agent.approval.effect_messages import undo_message
from agent.approval.preview import TableEffect
from agent.db import Connection, load_queries
from agent.db.paths import rows_as_application
from agent.execution.writes.statement_runner import Outcome, RowImages, unseen_update
from agent.runtime import Runtime
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
_IMAGE_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt"}


def most_kept(statement: Statement, runtime: Runtime) -> int:
    """Return up to how many bytes of this statement's rows are kept; 0 for none."""
    settings = runtime.settings
    return settings.undo_max_bytes if settings.undo_days and statement.kind in _IMAGE_KINDS else 0


async def row_images(
    conn: Connection, statement: Statement, outcome: Outcome, tables: Sequence[TableEffect], *, runtime: Runtime
) -> dict[str, Any] | None:
    """Return the row images to keep of a statement that `conn` has just run, or why there are none; None to keep nothing.

    `tables` are the net effects of the statement.
    """
    if not most_kept(statement, runtime) or not outcome.row_count:
        return None
    relation = statement.node.relation
    shape = await shape_of(conn, {"schema": relation.schemaname or None, "name": relation.relname})
    images = outcome.images
    if unseen_update(statement, (await runtime.app.facts("agent_actor")).version):
        return {"why_not": "before Postgres 18 the server does not say what ON CONFLICT DO UPDATE replaced"}
    if images is None:
        most = f"{runtime.settings.undo_max_bytes:,} bytes (AGENT_UNDO_MAX_BYTES)"
        return {
            "why_not": f"its rows are more than {most}" if outcome.detailed else "its rows are not known one by one"
        }
    why_not = _why_not_kept(shape, images)
    if why_not or shape is None:
        return {"why_not": why_not}
    own = f"{shape['schema']}.{shape['name']}"
    return {
        "table_schema": shape["schema"], "table_name": shape["name"], "columns": shape["columns"], "key": shape["key"],
        "before": images.before, "after": images.after, "others": _beside(tables, own, images),
    }  # fmt: skip


def undo_outlook(statement: Statement, outcome: Outcome, images: Mapping[str, Any] | None, *, runtime: Runtime) -> str:
    """Return whether a change can be undone, by its `row_images`, as a sentence; '' where it changes no row."""
    if statement.kind not in _IMAGE_KINDS:
        return untried_outlook(statement)
    if outcome.row_count == 0:
        return ""
    if images is None:
        unset = "AGENT_UNDO_MAX_BYTES" if runtime.settings.undo_days else "AGENT_UNDO_DAYS"
        return undo_message(f"no rows are kept, because {unset} is 0", ())
    if images.get("before") and images["before"] == images["after"]:
        return "No value changes, so there is nothing to undo."
    return undo_message(images.get("why_not", ""), images.get("others", ()))


def untried_outlook(statement: Statement) -> str:
    """Return what is known of the undo of a statement that was not tried, as a sentence."""
    if statement.kind in _IMAGE_KINDS:
        return "Whether it can be undone is known only when it has run."
    return undo_message("only INSERT, UPDATE and DELETE can be", ())


async def shape_of(conn: Connection, named: dict[str, Any]) -> dict[str, Any] | None:
    """Return the columns and the primary key of a table that holds all its rows itself; None for another relation."""
    rows = await rows_as_application(conn, _QUERIES["shape"], named)
    return rows[0] if rows else None


def keep_values(images: dict[str, Any], *, runtime: Runtime) -> tuple[LiteralString, dict[str, Any]]:
    """Return the query that stores `images`, and its values except for the approval's."""
    return _QUERIES["keep_images"], {"images": Jsonb(images), "keep": keep_for(runtime)}


def keep_for(runtime: Runtime) -> timedelta:
    """Return how long rows are kept."""
    return timedelta(days=runtime.settings.undo_days)


def _why_not_kept(shape: Mapping[str, Any] | None, images: RowImages) -> str | None:
    """Return why a change of a table of this shape could not be taken back, in words; None where it could."""
    if shape is None:
        return "it did not change a plain table that holds all its rows itself"
    if not shape["key"]:
        return f"the table {shape['schema']}.{shape['name']} has no primary key by which its rows could be found again"
    inserted, deleted = [image is None for image in images.before], [image is None for image in images.after]
    if (any(inserted) and not all(inserted)) or (any(deleted) and not all(deleted)):
        return "it inserted some rows and changed others, which no one statement takes back"
    return None


def _beside(tables: Sequence[TableEffect], own: str, images: RowImages) -> list[TableEffect]:
    """Return what was changed beside the statement's own rows, also in its own table."""
    new, gone = images.before.count(None), images.after.count(None)
    stayed = len(images.before) - new - gone

    def rest(table: TableEffect) -> TableEffect:
        if table["table"] != own:
            return table
        return TableEffect(
            table=own, inserted=max(0, table["inserted"] - new), updated=max(0, table["updated"] - stayed),
            deleted=max(0, table["deleted"] - gone),
        )  # fmt: skip

    return [left for left in map(rest, tables) if left["inserted"] or left["updated"] or left["deleted"]]
