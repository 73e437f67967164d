"""How agent_actor runs one write: its connection, its limits, and the rows before and after.

A write is wrapped, where the grammar allows it, so that the database itself returns every changed row as it was and
as it is. The wrapped statement is the parsed one, written out again; what cannot be wrapped runs as it was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict

import psycopg

from agent.db import Connection, load_queries
from agent.errors import DatabaseUnavailable, InvalidArguments
from agent.execution.json_values import from_json, plain, take_as_text
from agent.execution.sql_parsing import Message, Statement, kind_of, parse, same, walk
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_LOCK_MS = 5_000
# Seconds that the watchdog outside the server leaves it, beyond the statement and its deferred constraints.
_GRACE = 10.0
_OLD_AND_NEW = 180_000
# Errors that mean "this cannot be wrapped", not "this cannot be done".
_NOT_WRAPPABLE = {"0A000", "42601", "42883", "42P19", "42725", "42804", "42703", "42P10"}


@dataclass(slots=True)
class Change:
    """One affected row; `before` is None for a new row, `after` for a deleted one."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Effect(TypedDict):
    """What a statement did to its table, for comparison with another run of it.

    `rows` is a digest of which rows, by their keys; `cells` has one of the old and one of the new values of each column
    that changed in any row. Digests do not depend on the order of rows.
    """

    rows: str
    cells: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Images:
    """Every affected row as Postgres writes it, before and after, in the same order; None for a row that was not there."""

    before: list[str | None]
    after: list[str | None]


@dataclass(slots=True)
class Outcome:
    """What a statement did. `row_count` is None for statements that do not count rows, `effect` where it is not known.

    `changes` are the first rows only; `images` all of them, or None where they are too large or not known.
    """

    row_count: int | None
    effect: Effect | None = None
    changes: list[Change] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    detailed: bool = False
    notices: list[str] = field(default_factory=list)
    images: Images | None = None


@asynccontextmanager
async def actor_transaction(runtime: Runtime, *, keep: bool) -> AsyncIterator[Connection]:
    """A transaction as agent_actor, committed only when `keep`; the pool forgets its session's state.

    Raises `DatabaseUnavailable` when the server does not keep its own limits: a dead network, a COMMIT that waits for a replica.
    """
    seconds = runtime.settings.statement_timeout
    most = 2 * seconds + _GRACE
    limits = {
        "statement_ms": str(int(seconds * 1000)), "lock_ms": str(_LOCK_MS), "idle_ms": str(int(most * 1000)),
        "tenant_id": runtime.tenant_id,
    }  # fmt: skip
    async with runtime.app.connection("agent_actor") as conn:
        try:
            async with asyncio.timeout(most), conn.transaction(force_rollback=not keep):
                await conn.execute(_QUERIES["actor_limits"], limits)
                yield conn
        except TimeoutError as error:
            await conn.close()
            raise DatabaseUnavailable(
                f"The application's database did not answer within {most:g} s, so the connection was closed; try again."
            ) from error


async def run_statement(
    conn: Connection, statement: Statement, *, version: int, most_rows: int, most_kept: int = 0
) -> Outcome:
    """Run a statement in the open transaction of `conn`, keeping `images` of up to `most_kept` bytes. Driver errors pass."""
    notices: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        notices.append(diagnostic.message_primary or "")

    conn.add_notice_handler(note)
    try:
        wrapped = wrap(statement, version=version)
        outcome = await _run_wrapped(conn, statement, wrapped, most_rows, most_kept) if wrapped else None
        if outcome is None:
            outcome = await _run_plain(conn, statement.sql, most_rows)
    finally:
        conn.remove_notice_handler(note)
    outcome.notices = [notice for notice in notices if notice][:20]
    return outcome


def wrap(statement: Statement, *, version: int) -> str | None:
    """The statement so that it returns each changed row before and after, as JSON, or None where that cannot be."""
    from postgast import PgQueryError, deparse

    if statement.kind not in {"InsertStmt", "UpdateStmt", "DeleteStmt"} or _writes_twice(statement.node):
        return None
    if any(not expr.res_target.val.HasField("column_ref") for expr in statement.node.returning_clause.exprs):
        return None  # an expression may have effects of its own
    node = type(statement.node)()
    node.CopyFrom(statement.node)
    _add_rows(node, version)
    try:
        text = deparse(_as_tree(node))
        again = parse(text, most_characters=None)
    except (PgQueryError, InvalidArguments):
        return None
    # Written out, it could be another statement than the one that was approved.
    return str(text) if same(again.node, node) else None


def _writes_twice(node: Message) -> bool:
    writes = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
    return any(kind_of(part) in writes for part in walk(node) if part is not node)


def _add_rows(node: Message, version: int) -> None:
    """Make the statement return each row before and after."""
    from psycopg import sql

    target = sql.Identifier(node.relation.alias.aliasname or node.relation.relname).as_string()
    kind = kind_of(node)
    if version >= _OLD_AND_NEW:
        rows = _template(
            "DELETE FROM t RETURNING WITH (OLD AS agent_old, NEW AS agent_new)"
            " pg_catalog.to_json(agent_old.*) AS agent_before, pg_catalog.to_json(agent_new.*) AS agent_after,"
            " pg_catalog.concat(agent_old.*) AS agent_was, pg_catalog.concat(agent_new.*) AS agent_is"
        )
    elif kind == "UpdateStmt":
        _join_old_rows(node, target)
        rows = _template(
            f"DELETE FROM t RETURNING agent_old.agent_before, pg_catalog.to_json({target}.*) AS agent_after,"
            f" agent_old.agent_was, pg_catalog.concat({target}.*) AS agent_is"
        )
    else:
        known, missing = ("before", "after") if kind == "DeleteStmt" else ("after", "before")
        image, none = ("was", "is") if kind == "DeleteStmt" else ("is", "was")
        rows = _template(
            f"DELETE FROM t RETURNING pg_catalog.to_json({target}.*) AS agent_{known}, NULL::pg_catalog.json AS agent_{missing},"
            f" pg_catalog.concat({target}.*) AS agent_{image}, ''::pg_catalog.text AS agent_{none}"
        )
    node.returning_clause.CopyFrom(rows.returning_clause)


def _join_old_rows(node: Message, target: str) -> None:
    # Before Postgres 18 an UPDATE sees its old rows only through a join with itself.
    from psycopg import sql

    relation = node.relation
    table = sql.Identifier(*filter(None, (relation.schemaname, relation.relname))).as_string()
    joined = _template(
        f"DELETE FROM t USING (SELECT o.tableoid AS agent_table, o.ctid AS agent_row, pg_catalog.to_json(o.*) AS agent_before,"
        f" pg_catalog.concat(o.*) AS agent_was FROM {table} AS o) AS agent_old"
        f" WHERE {target}.tableoid OPERATOR(pg_catalog.=) agent_old.agent_table"
        f" AND {target}.ctid OPERATOR(pg_catalog.=) agent_old.agent_row"
    )
    node.from_clause.extend(joined.using_clause)
    if node.HasField("where_clause"):
        joined.where_clause.bool_expr.args.add().CopyFrom(node.where_clause)
    node.where_clause.CopyFrom(joined.where_clause)


def _template(text: str) -> Message:
    from postgast import parse as postgast_parse

    return postgast_parse(text).stmts[0].stmt.delete_stmt


def _as_tree(node: Message) -> Message:
    from postgast import parse as postgast_parse

    tree = postgast_parse("SELECT")
    field_name = {"InsertStmt": "insert_stmt", "UpdateStmt": "update_stmt", "DeleteStmt": "delete_stmt"}[kind_of(node)]
    getattr(tree.stmts[0].stmt, field_name).CopyFrom(node)  # replaces the other statement
    return tree


async def _run_wrapped(
    conn: Connection, statement: Statement, wrapped: str, most_rows: int, most_kept: int
) -> Outcome | None:
    relation = statement.node.relation
    table = {"schema": relation.schemaname or None, "name": relation.relname}
    try:
        async with conn.transaction(), conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            key = await (await conn.execute(_QUERIES["key_of"], table)).fetchone()
            await _execute(
                conn, cursor, _counted(wrapped, tuple((key or {}).get("columns") or ()), most_rows, most_kept)
            )
            row = await cursor.fetchone()
    except psycopg.Error as error:
        if error.sqlstate in _NOT_WRAPPABLE:
            return None
        raise
    assert row is not None  # noqa: S101  # a query of scalars has one row
    changes = [Change(_row(old), _row(new)) for old, new in zip(row["before"] or (), row["after"] or (), strict=True)]
    effect = Effect(rows=row["rows"] or "", cells=row["cells"] or {})
    images = None
    if row["kept_before"] is not None:
        images = Images(*([image or None for image in row[f"kept_{when}"]] for when in ("before", "after")))
    return Outcome(row_count=row["counted"], effect=effect, changes=changes, detailed=True, images=images)


def _counted(wrapped: str, key: tuple[str, ...], most_rows: int, most_kept: int) -> str:
    """A wrapped statement as one query: how many rows, the first of them, and the digests of an `Effect`.

    A row is known by its key, else by all of it. The two halves of each hash are added up, so that order does not count.
    """
    from psycopg import sql

    parts = [sql.SQL("agent_before OPERATOR(pg_catalog.->>) {}").format(sql.Literal(column)) for column in key]
    known = sql.SQL(", ").join(parts) if key else sql.SQL("agent_before")
    query = sql.SQL(_COUNTED).format(
        known=known, sample=sql.Literal(most_rows), kept=sql.Literal(most_kept), sum=sql.SQL(_DIGEST)
    )
    return query.as_string().replace("AGENT_WRAPPED", wrapped)


_COUNTED = """
WITH agent_changed AS (AGENT_WRAPPED),
agent_rows AS (
  SELECT agent_before AS old, agent_after AS new, pg_catalog.md5(pg_catalog.concat_ws('|', {known})) AS id FROM agent_changed
),
agent_cells AS (
  SELECT c.key AS name, pg_catalog.concat(r.id, pg_catalog.quote_nullable(r.old OPERATOR(pg_catalog.->>) c.key)) AS was,
         pg_catalog.concat(r.id, pg_catalog.quote_nullable(r.new OPERATOR(pg_catalog.->>) c.key)) AS becomes
    FROM agent_rows r CROSS JOIN LATERAL pg_catalog.json_each_text(coalesce(r.new, r.old)) c
)
SELECT (SELECT pg_catalog.count(*) FROM agent_rows) AS counted, shown.before, shown.after, kept_before, kept_after,
       (SELECT {sum} FROM (SELECT id AS h FROM agent_rows) AS ids) AS rows,
       (SELECT pg_catalog.json_object_agg(name, pair) FROM (
          SELECT name, pg_catalog.array_agg(digest ORDER BY kind) AS pair FROM (
            SELECT name, kind, {sum} AS digest FROM (
              SELECT name, 1 AS kind, pg_catalog.md5(was) AS h FROM agent_cells WHERE was OPERATOR(pg_catalog.<>) becomes
              UNION ALL
              SELECT name, 2, pg_catalog.md5(becomes) FROM agent_cells WHERE was OPERATOR(pg_catalog.<>) becomes
            ) AS hashed GROUP BY name, kind
          ) AS digested GROUP BY name
        ) AS named) AS cells
  FROM (SELECT pg_catalog.array_agg(old::pg_catalog.text) AS before, pg_catalog.array_agg(new::pg_catalog.text) AS after
          FROM (SELECT old, new FROM agent_rows LIMIT {sample}) AS first) AS shown
  LEFT JOIN (SELECT pg_catalog.array_agg(agent_was) AS kept_before, pg_catalog.array_agg(agent_is) AS kept_after FROM agent_changed
             HAVING pg_catalog.sum(pg_catalog.octet_length(agent_was) OPERATOR(pg_catalog.+) pg_catalog.octet_length(agent_is))
                    OPERATOR(pg_catalog.<=) {kept}) AS kept ON true
"""
_DIGEST = """pg_catalog.concat_ws('.',
  pg_catalog.sum(('x' OPERATOR(pg_catalog.||) pg_catalog.substr(h, 1, 16))::pg_catalog.bit(64)::pg_catalog.int8),
  pg_catalog.sum(('x' OPERATOR(pg_catalog.||) pg_catalog.substr(h, 17))::pg_catalog.bit(64)::pg_catalog.int8))"""


def _row(text: str | None) -> Any:
    return from_json(text, as_written=True) if text else None


async def _run_plain(conn: Connection, sql: str, most_rows: int) -> Outcome:
    async with conn.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        take_as_text(cursor)
        await _execute(conn, cursor, sql)
        counted = cursor.rowcount if cursor.rowcount >= 0 else None
        if cursor.description is None:
            return Outcome(row_count=counted)
        oids = [column.type_code for column in cursor.description]
        rows = [
            [plain(value, oid) for value, oid in zip(row, oids, strict=True)]
            for row in await cursor.fetchmany(most_rows)
        ]
        return Outcome(row_count=counted, columns=[column.name for column in cursor.description], rows=rows)


async def _execute(conn: Connection, cursor: psycopg.AsyncCursor[Any], sql: str) -> None:
    # Inside a pipeline the driver uses the extended protocol, which takes one statement only.
    async with conn.pipeline():
        await cursor.execute(sql)
