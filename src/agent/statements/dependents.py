"""Finds what a DROP or TRUNCATE removes: the objects that depend on those it names, and how many rows are lost.

The catalogs record which object depends on which, so the objects are known before the statement is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from agent.db import Connection, load_queries
from agent.db.paths import rows_as_application
from agent.statements.kinds import cascades
from agent.statements.parser import Statement, dropped
from agent.types import Assessment

_QUERIES = load_queries(__package__, "dependents.sql")
_MOST_NAMED = 10
_MOST_COUNTED = 1_000_000
# The kind of name by which the catalogs find each type of object.
_FOUND_BY = {
    "table": "relation", "view": "relation", "matview": "relation", "sequence": "relation", "index": "relation",
    "foreign_table": "relation", "schema": "schema", "type": "type", "domain": "type", "function": "function",
    "extension": "extension",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A table that loses all its rows. `rows` is None if they may not be counted; 1,000,001 means more than a million."""

    table: str
    rows: int | None


async def with_dependents(statement: Statement, assessment: Assessment, conn: Connection) -> Assessment:
    """Return the assessment of a DROP or TRUNCATE with the dependents that it removes, as words in its sentence."""
    removed = await dependents(statement, conn) if cascades(statement.node) else []
    if not removed:
        return assessment
    more = f" and {len(removed) - _MOST_NAMED} more" if len(removed) > _MOST_NAMED else ""
    verb = "go" if len(removed) > 1 else "goes"
    return replace(
        assessment,
        sentence=f"{assessment.sentence} With it {verb} {', '.join(removed[:_MOST_NAMED])}{more}.",
        reasons=(*assessment.reasons, "cascade"),
    )


async def dependents(statement: Statement, conn: Connection) -> list[str]:
    """Return descriptions of the objects that a DROP or TRUNCATE ... CASCADE removes beside those that it names."""
    if statement.kind == "TruncateStmt":
        names = [_quoted(part.range_var.schemaname, part.range_var.relname) for part in statement.node.relations]
        rows = await rows_as_application(conn, _QUERIES["truncated_with"], {"names": names})
        return [f"the rows of {row['name']}" for row in rows]
    found_by = _FOUND_BY.get(_object_type(statement))
    if statement.kind != "DropStmt" or found_by is None:
        return []
    names = [_quoted(name.schema, name.name) for name in dropped(statement.node)]
    rows = await rows_as_application(conn, _QUERIES["dropped_with"], {"names": names, "found_by": found_by})
    return [row["name"] for row in rows]


async def rows_lost(statement: Statement, conn: Connection) -> list[Loss]:
    """Return the tables that lose all their rows. Locks each before it counts, so that nobody adds a row meanwhile."""
    names = _tables(statement)
    if not names:
        return []
    values = {"names": names, "cascades": cascades(statement.node), "drops": statement.kind == "DropStmt"}
    losses = []
    for table in await rows_as_application(conn, _QUERIES["tables_lost"], values):
        name = sql.Identifier(table["schema"], table["relation"])
        rows = None
        if table["readable"]:
            await conn.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(name))
            query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM (SELECT FROM ONLY {} LIMIT {}) AS counted")
            counted = await rows_as_application(conn, query.format(name, sql.Literal(_MOST_COUNTED + 1)))
            rows = counted[0]["rows"]
        losses.append(Loss(table=f"{table['schema']}.{table['relation']}", rows=rows))
    return losses


def _tables(statement: Statement) -> Sequence[str]:
    if statement.kind == "TruncateStmt":
        return [_quoted(part.range_var.schemaname, part.range_var.relname) for part in statement.node.relations]
    if statement.kind == "DropStmt" and _object_type(statement) == "table":
        return [_quoted(name.schema, name.name) for name in dropped(statement.node)]
    return []


def _object_type(statement: Statement) -> str:
    if statement.kind != "DropStmt":
        return ""
    types = statement.node.DESCRIPTOR.fields_by_name["remove_type"].enum_type.values_by_number
    return str(types[statement.node.remove_type].name).removeprefix("OBJECT_").lower()


def _quoted(*parts: str) -> str:
    return sql.Identifier(*(part for part in parts if part)).as_string()
