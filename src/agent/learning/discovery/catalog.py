"""Reads the catalogs of the application database: one consistent snapshot, about a dozen queries, no scan of any table.

`pg_catalog` shows every object, also those that the reading login may not read; `information_schema` would hide them.
No query waits for a lock: sizes come from `relpages`. The server locks a table to return definitions (defaults, checks,
indexes), so they are left out for a table that is being changed. Such a table counts as busy and is read again later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import sql

from agent.db import Connection, load_queries
from agent.db.encodings import all_rows
from agent.db.failures import operator_errors
from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.paths import rows_as_application
from agent.db.queries import fetch_one
from agent.learning.discovery.lookups import MOST_ROWS, VALUE_CHARS, Lookup, labels_of
from agent.runtime import Runtime

Row = Mapping[str, Any]

_log = structlog.get_logger(__name__)
_QUERIES = load_queries(__package__)
_PARTS = load_queries(__package__, "parts.sql")
# With this path, the server qualifies every name that it writes.
_QUALIFIED_NAMES = "select set_config('search_path', 'pg_catalog', true)"

# The definition of an object that was dropped or locked after the snapshot cannot be read: then the catalogs are read again,
# the last time without definitions.
_ATTEMPTS = 4
_CHANGED_MEANWHILE = (
    psycopg.errors.InternalError_,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedColumn,
)
_UNREADABLE = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.InternalError,
)
NEWEST_TABLES = 100
_NEWEST_BATCH = 50
_NEWEST_TIMEOUT_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The rows of one snapshot. What belongs to a relation is listed by its OID."""

    server_version: int
    database: str
    fingerprint: str
    relations: Sequence[Row]
    columns: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    constraints: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    domain_checks: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    indexes: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    triggers: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    policies: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    statistics: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    partitions: Mapping[int, Row] = field(default_factory=dict)
    members: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    parts: Sequence[Row] = ()
    types: Sequence[Row] = ()
    functions: Sequence[Row] = ()
    extensions: Sequence[Row] = ()
    busy: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumn:
    """A column that is the first of an index, so that its greatest value is found without a scan."""

    schema: str
    table: str
    column: str


async def read_fingerprint(runtime: Runtime) -> str:
    """Return a hash of the catalogs, with one query. It is equal as long as no object of the application changed."""
    async with _reader(runtime) as conn:
        row = await fetch_one(conn, _QUERIES["fingerprint"], scope(runtime))
    assert row is not None  # noqa: S101  # a select without FROM has one row
    return str(row["fingerprint"])


async def read_catalog(runtime: Runtime) -> Catalog:
    """Read the catalogs from one snapshot; read them again when objects change meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        try:
            async with _snapshot(runtime) as conn:
                return await _read(conn, scope(runtime))
        except _CHANGED_MEANWHILE as error:
            _log.info("discovery_repeated", reason=str(error))
    async with _snapshot(runtime) as conn:
        return await _read(conn, scope(runtime), definitions=False)


async def read_newest(columns: Sequence[TimeColumn], *, runtime: Runtime) -> dict[TimeColumn, str]:
    """Return the greatest value of each column, through its index. Columns that take too long or are not allowed are left out."""
    newest: dict[TimeColumn, str] = {}
    chosen = columns[:NEWEST_TABLES]
    for start in range(0, len(chosen), _NEWEST_BATCH):
        batch = chosen[start : start + _NEWEST_BATCH]
        try:
            async with _snapshot(runtime, timeout_ms=_NEWEST_TIMEOUT_MS) as conn:
                rows = await rows_as_application(conn, _newest_query(batch))
        except _UNREADABLE as error:
            _log.info("newest_values_skipped", columns=len(batch), reason=str(error))
            continue
        newest |= {batch[row["place"]]: row["newest"] for row in rows if row["newest"] is not None}
    return newest


async def read_labels(wanted: Sequence[Lookup], *, runtime: Runtime) -> dict[str, list[list[str]]]:
    """Return the keys and labels of lookup tables by their qualified name; a few rows of each are read, and no table waits."""
    labels: dict[str, list[list[str]]] = {}
    chosen = wanted[:NEWEST_TABLES]
    for start in range(0, len(chosen), _NEWEST_BATCH):
        batch = chosen[start : start + _NEWEST_BATCH]
        try:
            async with _snapshot(runtime, timeout_ms=_NEWEST_TIMEOUT_MS) as conn:
                rows = await rows_as_application(conn, _labels_query(batch))
        except _UNREADABLE as error:
            _log.info("labels_skipped", tables=len(batch), reason=str(error))
            continue
        for row in rows:
            if kept := labels_of([(key, label) for key, label in row["pairs"]]):
                labels[batch[row["place"]].table["qualified"]] = kept
    return labels


async def read_hiding_tables(runtime: Runtime) -> list[Row]:
    """Return schema and name of the tables of which row-level security hides rows, and whether it hides all."""
    async with _reader(runtime) as conn:
        return [*await all_rows(conn, _QUERIES["hiding_tables"], scope(runtime))]


async def read_names(runtime: Runtime) -> list[Row]:
    """Return every relation with its columns; `ours` says whether it belongs to the application."""
    async with _reader(runtime) as conn:
        return [*await all_rows(conn, _QUERIES["names"], scope(runtime))]


def scope(runtime: Runtime) -> dict[str, Any]:
    """Return the query values that select the application's schemas: the chosen ones, else all but the platform's."""
    return {"schemas": list(runtime.settings.chosen_schemas) or None, "platform": list(PLATFORM_SCHEMAS)}


@asynccontextmanager
async def _reader(runtime: Runtime) -> AsyncIterator[Connection]:
    with operator_errors():
        async with runtime.app.connection("agent_reader") as conn:
            yield conn


@asynccontextmanager
async def _snapshot(runtime: Runtime, *, timeout_ms: int | None = None) -> AsyncIterator[Connection]:
    timeout = timeout_ms or round(runtime.settings.statement_timeout * 1000)
    async with _reader(runtime) as conn, conn.transaction(force_rollback=True):
        await conn.execute("set transaction isolation level repeatable read read only")
        await conn.execute(
            "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),"
            " set_config('cursor_tuple_fraction', '1', true)",  # plan for fetching every row
            [f"{timeout}ms", f"{min(timeout, 1_000)}ms"],
        )
        yield conn


async def _read(conn: Connection, where: Mapping[str, Any], *, definitions: bool = True) -> Catalog:
    async def rows(name: str, **more: object) -> Sequence[Row]:
        return await rows_as_application(conn, _QUERIES[name], {**where, **more})

    (head,) = await rows("fingerprint")
    relations = await rows("relations")
    oids = [row["oid"] for row in relations]
    partitioned = [row["oid"] for row in relations if row["kind"] == "p"]
    members = await rows("members", partitioned=partitioned)
    busy = {row["oid"] for row in [*relations, *members] if row["busy"]}
    # A parent is busy when one of its partitions is.
    whole = {row["oid"] for row in relations if definitions} - busy - {row["root"] for row in members if row["busy"]}
    readable = [oid for oid in oids if oid in whole]
    leaves_of = [row for row in members if row["root"] in whole]
    inside = [row["oid"] for row in leaves_of]
    both = {"relations": oids + inside, "members": inside, "open": readable + inside}
    partitions = await rows("partitions", partitioned=partitioned, open=readable)
    leaves = [row["leaf"] for row in partitions if row["leaf"] is not None]
    constraints = await rows("constraints", **both)
    types, functions = await rows("types"), await rows("functions")
    catalog = Catalog(
        server_version=head["server_version"],
        database=head["database"],
        fingerprint=head["fingerprint"],
        relations=relations,
        partitions={row["root"]: row for row in partitions},
        columns=_grouped(await rows("columns", relations=oids, open=readable)),
        constraints=_grouped([row for row in constraints if row["relation"]]),
        domain_checks=_grouped([row for row in constraints if row["domain"]], by="domain"),
        indexes=_grouped(await rows("indexes", **both)),
        triggers=_grouped(await rows("triggers", relations=both["relations"])),
        members=_grouped(members, by="root"),
        policies=_grouped(await rows("policies", relations=oids)),
        statistics=_grouped(await rows("statistics", analyzed=oids + leaves)),
        types=types,
        functions=functions,
        extensions=await rows("extensions"),
        busy=frozenset(oids) - frozenset(readable),
    )
    await conn.execute(_QUALIFIED_NAMES)
    values = {
        **where, "open": readable, "members": inside, "roots": [row["root"] for row in leaves_of], "busy": list(busy | catalog.busy),
        "functions": [row["oid"] for row in functions], "types": [row["oid"] for row in types],
    }  # fmt: skip
    return replace(catalog, parts=await all_rows(conn, _PARTS["parts"], values))


def _grouped(rows: Sequence[Row], by: LiteralString = "relation") -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return dict(groups)


def _labels_query(wanted: Sequence[Lookup]) -> sql.Composed:
    query = sql.SQL(
        "select {place}::int as place, to_jsonb(array(select array[left(k::text, {most}), left(l::text, {most})] from"
        " (select {key} as k, {label} as l from only {schema}.{table} limit {rows}) r order by r.k)) as pairs"
    )
    return sql.SQL(" union all ").join(
        query.format(
            place=sql.Literal(place),
            most=sql.Literal(4 * VALUE_CHARS),
            key=sql.Identifier(item.key),
            label=sql.Identifier(item.label),
            schema=sql.Identifier(item.table["schema"]),
            table=sql.Identifier(item.table["name"]),
            rows=sql.Literal(MOST_ROWS + 1),
        )
        for place, item in enumerate(wanted)
    )


def _newest_query(columns: Sequence[TimeColumn]) -> sql.Composed:
    query = sql.SQL("select {place}::int as place, (select max({column}) from {schema}.{table})::text as newest")
    return sql.SQL(" union all ").join(
        query.format(
            place=sql.Literal(place),
            column=sql.Identifier(item.column),
            schema=sql.Identifier(item.schema),
            table=sql.Identifier(item.table),
        )
        for place, item in enumerate(columns)
    )
