"""Runs one write as agent_actor: on its connection, inside its limits, and returns the rows before and after.

A write is wrapped, where the grammar allows it, so that the database itself returns every changed row as it was and
as it is. The wrapped statement is deparsed from the parse tree; a statement that cannot be wrapped runs as it was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from agent.approval.preview import Effect
from agent.db import Connection, load_queries
from agent.db.encodings import cannot_be_sent, stored_encoding
from agent.db.json_values import plain, shorten, take_as_text
from agent.db.paths import LOOK_UP_IN, LOOK_UP_IN_OURS, application_path, rows_as_application
from agent.db.server_messages import notice_message
from agent.errors import DatabaseUnavailable, InvalidArguments
from agent.execution.writes.rows_as_json import cells_of, readable_json, short_cells
from agent.runtime import Runtime
from agent.statements.parser import Message, Statement, kind_of, parse, same, walk

_QUERIES = load_queries(__package__)
_LOCK_MS = 5_000
# Seconds that the client waits beyond the limits of the statement and its deferred constraints.
_GRACE = 10.0
_MOST_NOTICES = 20
_MOST_NOTICE = 500
_MOST_SHOWN = 20_000
# Postgres 18 can return OLD and NEW rows.
_OLD_AND_NEW = 180_000
# Errors that mean "this cannot be wrapped", not "this cannot be done".
_NOT_WRAPPABLE = {"0A000", "54000", "42601", "42883", "42P19", "42725", "42804", "42703", "42P10"}


@dataclass(slots=True)
class Change:
    """One affected row; `before` is None for a new row, `after` is None for a deleted one."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RowImages:
    """Every affected row as Postgres writes it, before and after, in the same order; None for a row that was not there."""

    before: list[str | None]
    after: list[str | None]


@dataclass(slots=True)
class Outcome:
    """What a statement did. `row_count` is None for a statement that counts no rows; `effect` is None where it is not known.

    `changes` has the first rows only; `images` has all of them, or is None where they are too large or not known; `old_rows` is a
    digest of every changed row as it was. `detailed` says that the statement was wrapped, so that its rows are known; `key` are
    the columns of its table's primary key.
    """

    row_count: int | None
    effect: Effect | None = None
    old_rows: str = ""
    changes: list[Change] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    detailed: bool = False
    key: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list)
    images: RowImages | None = None


@asynccontextmanager
async def actor_transaction(runtime: Runtime, *, keep: bool, steady: bool = False) -> AsyncIterator[Connection]:
    """Open a transaction as agent_actor; it is committed only with `keep`. The pool resets the session afterwards.

    With `steady` it does not see what others commit meanwhile, so that every difference is its own. Raises
    `DatabaseUnavailable` when the server does not keep its own limits: a dead network, a COMMIT that waits for a replica.
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
                if steady:
                    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                await conn.execute(_QUERIES["actor_limits"], limits)
                yield conn
        except TimeoutError as error:
            await conn.close()
            raise DatabaseUnavailable(
                f"The application's database did not answer within {most:g} s, so the connection was closed; try again."
            ) from error


async def limit_statement(conn: Connection, seconds: float) -> None:
    """Limit each of the next statements of this transaction to `seconds`."""
    await conn.execute(_QUERIES["limit_statement"], {"statement_ms": str(int(seconds * 1000))})


async def run_statement(
    conn: Connection,
    statement: Statement,
    *,
    version: int,
    most_rows: int,
    most_kept: int = 0,
    volatile: Sequence[str] = (),
    by_rows: bool = True,
    patience: float | None = None,
) -> Outcome:
    """Run a statement in the open transaction of `conn` and return its outcome. Driver errors pass.

    `images` are returned where they are at most `most_kept` bytes. `volatile` columns are left out of an effect's `whole`.
    Rows are only counted where `by_rows` is false, or where returning each row takes longer than `patience` seconds.
    """
    notices: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if len(notices) < _MOST_NOTICES:
            notices.append(notice_message(diagnostic)[:_MOST_NOTICE])

    conn.add_notice_handler(note)
    try:
        wrapped = wrap(statement, version=version) if by_rows else None
        outcome = None
        if wrapped:
            outcome = await _run_wrapped(
                conn, statement, wrapped, most_rows=most_rows, most_kept=most_kept, volatile=volatile, patience=patience
            )
        if outcome is None:
            outcome = await _run_plain(conn, statement, most_rows)
    finally:
        conn.remove_notice_handler(note)
    outcome.notices = list(dict.fromkeys(notice for notice in notices if notice))
    return outcome


def wrap(statement: Statement, *, version: int) -> str | None:
    """Return the statement rewritten to return each changed row before and after, as JSON; None where that cannot be done."""
    from postgast import PgQueryError, deparse

    if statement.kind not in {"InsertStmt", "UpdateStmt", "DeleteStmt"} or _writes_twice(statement.node):
        return None
    if any(not expr.res_target.val.HasField("column_ref") for expr in statement.node.returning_clause.exprs):
        return None  # an expression may have effects of its own
    if unseen_update(statement, version):
        return None
    node = type(statement.node)()
    node.CopyFrom(statement.node)
    _add_rows(node, version)
    try:
        text = deparse(_as_tree(node))
        again = parse(text, most_characters=None)
    except (PgQueryError, InvalidArguments):
        return None
    # The deparsed text might not mean the approved statement any more.
    return str(text) if same(again.node, node) else None


def unseen_update(statement: Statement, version: int) -> bool:
    """Return whether an INSERT may change rows that it cannot return as they were: before Postgres 18 it cannot."""
    upsert = statement.kind == "InsertStmt" and bool(statement.node.on_conflict_clause.target_list)
    return upsert and version < _OLD_AND_NEW


def _writes_twice(node: Message) -> bool:
    writes = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
    return any(kind_of(part) in writes for part in walk(node) if part is not node)


def _add_rows(node: Message, version: int) -> None:
    """Add the RETURNING clause that returns each row before and after."""
    target = sql.Identifier(node.relation.alias.aliasname or node.relation.relname).as_string()
    kind = kind_of(node)
    old, new = _unused(node, "agent_old"), _unused(node, "agent_new")
    if version >= _OLD_AND_NEW:
        rows = _template(
            f"DELETE FROM t RETURNING WITH (OLD AS {old}, NEW AS {new})"
            f" pg_catalog.to_json({old}.*) AS agent_before, pg_catalog.to_json({new}.*) AS agent_after,"
            f" pg_catalog.concat({old}.*) AS agent_was, pg_catalog.concat({new}.*) AS agent_is"
        )
    elif kind == "UpdateStmt":
        _join_old_rows(node, target, old)
        rows = _template(
            f"DELETE FROM t RETURNING {old}.agent_before, pg_catalog.to_json({target}.*) AS agent_after,"
            f" {old}.agent_was, pg_catalog.concat({target}.*) AS agent_is"
        )
    else:
        known, missing = ("before", "after") if kind == "DeleteStmt" else ("after", "before")
        image, none = ("was", "is") if kind == "DeleteStmt" else ("is", "was")
        rows = _template(
            f"DELETE FROM t RETURNING pg_catalog.to_json({target}.*) AS agent_{known}, NULL::pg_catalog.json AS agent_{missing},"
            f" pg_catalog.concat({target}.*) AS agent_{image}, ''::pg_catalog.text AS agent_{none}"
        )
    node.returning_clause.CopyFrom(rows.returning_clause)


def _unused(node: Message, name: str) -> str:
    """Return `name`, or one like it that the statement does not use."""
    written = str(node)
    while name in written:
        name += "_"
    return name


def _join_old_rows(node: Message, target: str, old: str) -> None:
    # Before Postgres 18 an UPDATE returns its old rows only through a join of the table with itself.
    relation = node.relation
    table = sql.Identifier(*filter(None, (relation.schemaname, relation.relname))).as_string()
    joined = _template(
        f"DELETE FROM t USING (SELECT o.tableoid AS agent_table, o.ctid AS agent_row, pg_catalog.to_json(o.*) AS agent_before,"
        f" pg_catalog.concat(o.*) AS agent_was FROM {table} AS o) AS {old}"
        f" WHERE {target}.tableoid OPERATOR(pg_catalog.=) {old}.agent_table"
        f" AND {target}.ctid OPERATOR(pg_catalog.=) {old}.agent_row"
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
    conn: Connection,
    statement: Statement,
    wrapped: str,
    *,
    most_rows: int,
    most_kept: int,
    volatile: Sequence[str],
    patience: float | None,
) -> Outcome | None:
    relation = statement.node.relation
    table = {"schema": relation.schemaname or None, "name": relation.relname}

    async def run(encoding: str = "") -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        async with conn.transaction(), conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            keys = await rows_as_application(conn, _QUERIES["key_of"], table)
            key = tuple(keys[0]["columns"] or ()) if keys else ()
            whole = volatile if statement.kind == "InsertStmt" or not key else None
            if patience is not None:  # where it fails, the savepoint takes the limit back
                await limit_statement(conn, patience)
            await _execute(
                conn, cursor, _counted(wrapped, key, most_rows, 0 if encoding else most_kept, whole, encoding=encoding)
            )
            return await cursor.fetchone(), key

    encoding = ""
    try:
        try:
            row, key = await run()
        except psycopg.DataError as error:
            if not cannot_be_sent(error, conn):
                raise
            encoding = stored_encoding(conn)
            row, key = await run(encoding)
    except psycopg.Error as error:
        if error.sqlstate in _NOT_WRAPPABLE or (
            patience is not None and isinstance(error, psycopg.errors.QueryCanceled)
        ):
            return None
        raise
    assert row is not None  # noqa: S101  # a query of scalars has one row
    pairs = zip(row["before"] or (), row["after"] or (), strict=True)
    changes = [Change(cells_of(old, encoding), cells_of(new, encoding)) for old, new in pairs]
    effect = Effect(rows=row["rows"] or "", cells=row["cells"] or {}, whole=row["whole"] or "")
    images = None
    if row["kept_before"] is not None:
        images = RowImages(*([image or None for image in row[f"kept_{when}"]] for when in ("before", "after")))
    return Outcome(
        row_count=row["counted"],
        effect=effect,
        old_rows=row["old_rows"] or "",
        changes=changes,
        detailed=True,
        key=key,
        images=images,
    )


def _counted(
    wrapped: str, key: tuple[str, ...], most_rows: int, most_kept: int, whole: Sequence[str] | None, *, encoding: str
) -> str:
    """Return a query of a wrapped statement's number of rows, its first rows, and the digests of an `Effect`.

    A row is identified by its key, or else by all of it. The two halves of each hash are added up, so that order does not
    count. With an `encoding` the rows come as bytes in it.
    """
    parts = [sql.SQL("agent_before OPERATOR(pg_catalog.->>) {}").format(sql.Literal(column)) for column in key]
    known = sql.SQL(", ").join(parts) if key else sql.SQL("agent_before")
    whole_rows: sql.Composable = sql.SQL("NULL")
    if whole is not None:
        whole_rows = sql.SQL(_WHOLE).format(volatile=sql.Literal(list(whole)), sum=_digest("h"))
    query = sql.SQL(_COUNTED).format(
        known=known, sample=sql.Literal(most_rows), kept=sql.Literal(most_kept), rows=_digest("id"), old_rows=_digest("h"), was=_digest("was"), becomes=_digest("becomes"),
        old=readable_json("agent_before", encoding), new=readable_json("agent_after", encoding),
        before=short_cells("old", encoding), after=short_cells("new", encoding), whole=whole_rows,
    )  # fmt: skip
    before, _, after = query.as_string().partition("AGENT_WRAPPED")  # only the first: a column may have that name
    return f"{before}{wrapped}{after}"


def _digest(hashed: LiteralString) -> sql.SQL:
    return sql.SQL(_DIGEST.replace("{h}", hashed))


_COUNTED = """
WITH agent_changed AS (AGENT_WRAPPED),
agent_read AS (SELECT {old} AS agent_before, {new} AS agent_after FROM agent_changed),
agent_rows AS (
  SELECT agent_before AS old, agent_after AS new, pg_catalog.md5(pg_catalog.concat_ws('|', {known})) AS id FROM agent_read
),
agent_cells AS (
  SELECT c.name, pg_catalog.md5(pg_catalog.concat(r.id, pg_catalog.quote_nullable(v.was))) AS was,
         pg_catalog.md5(pg_catalog.concat(r.id, pg_catalog.quote_nullable(v.becomes))) AS becomes
    FROM agent_rows r
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.json_each_text(coalesce(r.new, r.old)),
                                  pg_catalog.json_each_text(coalesce(r.old, r.new))) AS c (name, becomes, same, was)
    CROSS JOIN LATERAL (SELECT CASE WHEN r.old IS NOT NULL THEN c.was END, CASE WHEN r.new IS NOT NULL THEN c.becomes END) AS v (was, becomes)
   WHERE pg_catalog.quote_nullable(v.was) OPERATOR(pg_catalog.<>) pg_catalog.quote_nullable(v.becomes)
)
SELECT (SELECT pg_catalog.count(*) FROM agent_rows) AS counted, shown.before, shown.after, kept_before, kept_after,
       (SELECT {rows} FROM agent_rows) AS rows, {whole} AS whole,
       (SELECT {old_rows} FROM (SELECT pg_catalog.md5(old::pg_catalog.text) AS h FROM agent_rows) AS old_ones) AS old_rows,
       (SELECT pg_catalog.json_object_agg(name, pair) FROM (
          SELECT name, ARRAY[{was}, {becomes}] AS pair FROM agent_cells GROUP BY name) AS named) AS cells
  FROM (SELECT pg_catalog.array_agg({before}) AS before, pg_catalog.array_agg({after}) AS after
          FROM (SELECT old, new FROM agent_rows LIMIT {sample}) AS first) AS shown
  LEFT JOIN (SELECT pg_catalog.array_agg(agent_was) AS kept_before, pg_catalog.array_agg(agent_is) AS kept_after FROM agent_changed
             HAVING pg_catalog.sum(pg_catalog.octet_length(agent_was) OPERATOR(pg_catalog.+) pg_catalog.octet_length(agent_is))
                    OPERATOR(pg_catalog.<=) {kept}) AS kept ON true
"""
_WHOLE = """(SELECT {sum} FROM (
          SELECT pg_catalog.md5(pg_catalog.concat(id, (new::pg_catalog.jsonb OPERATOR(pg_catalog.-) {volatile}::pg_catalog.text[])::pg_catalog.text)) AS h
            FROM agent_rows) AS together)"""
_DIGEST = """pg_catalog.concat_ws('.',
  pg_catalog.sum(('x' OPERATOR(pg_catalog.||) pg_catalog.substr({h}, 1, 16))::pg_catalog.bit(64)::pg_catalog.int8),
  pg_catalog.sum(('x' OPERATOR(pg_catalog.||) pg_catalog.substr({h}, 17))::pg_catalog.bit(64)::pg_catalog.int8))"""


async def _run_plain(conn: Connection, statement: Statement, most_rows: int) -> Outcome:
    async with conn.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        take_as_text(cursor)
        if _returns_rows(statement):
            async with application_path(conn):
                return await _streamed(cursor, statement.sql, most_rows)
        await _execute(conn, cursor, statement.sql)
        counted = cursor.rowcount if cursor.rowcount >= 0 else None
        if cursor.description is None:
            return Outcome(row_count=counted)
        oids = [column.type_code for column in cursor.description]
        rows = [
            [plain(value, oid) for value, oid in zip(row, oids, strict=True)]
            for row in await cursor.fetchmany(most_rows)
        ]
        return Outcome(row_count=counted, columns=[column.name for column in cursor.description], rows=rows)


def _returns_rows(statement: Statement) -> bool:
    if statement.kind == "SelectStmt":
        return not statement.node.HasField("into_clause")
    return statement.kind in {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"} and bool(
        statement.node.returning_clause.exprs
    )


async def _streamed(cursor: psycopg.AsyncCursor[Any], sql: str, most_rows: int) -> Outcome:
    """Read the rows one by one: the first are kept, with long values cut; the others are only counted."""
    outcome = Outcome(row_count=0)
    async for row in cursor.stream(sql):
        if not outcome.columns:
            oids = [column.type_code for column in cursor.description or ()]
            outcome.columns = [column.name for column in cursor.description or ()]
        outcome.row_count = (outcome.row_count or 0) + 1
        if len(outcome.rows) < most_rows:
            outcome.rows.append(
                [shorten(plain(value, oid), _MOST_SHOWN)[0] for value, oid in zip(row, oids, strict=True)]
            )
    return outcome


async def _execute(conn: Connection, cursor: psycopg.AsyncCursor[Any], sql: str) -> None:
    # The search path is the one that the statement was assessed with, whatever the login's own setting says by now.
    # Inside a pipeline the driver uses the extended protocol, which takes one statement only.
    async with conn.pipeline():
        await conn.execute(LOOK_UP_IN, [conn.application_path])
        await cursor.execute(sql)
    await conn.execute(LOOK_UP_IN_OURS)  # outside the pipeline: after a failing statement it would fail as well
