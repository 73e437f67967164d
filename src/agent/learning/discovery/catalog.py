"""Reads the catalogs of the application database: one consistent snapshot, about a dozen queries, no scan of any table.

`pg_catalog` shows every object, also those that the reading login may not read; `information_schema` would hide them.
Nothing here waits for a lock: sizes come from `relpages`, and definitions (defaults, checks, indexes), for which the server
locks the table, are left out for a table that is being changed. It then counts as busy, and is read again later.
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
from agent.runtime import Runtime

Row = Mapping[str, Any]

_log = structlog.get_logger(__name__)
_QUERIES = load_queries(__package__)
_PARTS = load_queries(__package__, "parts.sql")
# Every name that the server writes is then qualified, whatever else is called the same.
_QUALIFIED = "select set_config('search_path', 'pg_catalog', true)"

# A definition cannot be read of an object that was dropped, or locked, after the snapshot was taken: read again, in the
# end without any definition.
_ATTEMPTS = 4
_CHANGED_MEANWHILE = (
    psycopg.errors.InternalError_,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedColumn,
)
_NOT_TO_BE_READ = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.InternalError,
)
NEWEST_TABLES = 100
_NEWEST_AT_ONCE = 50
_NEWEST_TIMEOUT_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The rows of one snapshot. Whatever belongs to a relation is listed under its OID."""

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
    """A column that an index leads with, so that its greatest value is found without a scan."""

    schema: str
    table: str
    column: str


async def read_fingerprint(runtime: Runtime) -> str:
    """A hash of the catalogs: equal means that no object of the application changed. One query."""
    async with _reader(runtime) as conn:
        row = await fetch_one(conn, _QUERIES["fingerprint"], scope(runtime))
    assert row is not None  # noqa: S101  # a select without FROM has one row
    return str(row["fingerprint"])


async def read_catalog(runtime: Runtime) -> Catalog:
    """Everything in the catalogs, from one snapshot; read again when objects change meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        try:
            async with _snapshot(runtime) as conn:
                return await _read(conn, scope(runtime))
        except _CHANGED_MEANWHILE as error:
            _log.info("discovery_repeated", reason=str(error))
    async with _snapshot(runtime) as conn:
        return await _read(conn, scope(runtime), definitions=False)


async def read_newest(columns: Sequence[TimeColumn], *, runtime: Runtime) -> dict[TimeColumn, str]:
    """The greatest value of each column, through its index. What takes too long or is not allowed is left out."""
    found: dict[TimeColumn, str] = {}
    chosen = columns[:NEWEST_TABLES]
    for start in range(0, len(chosen), _NEWEST_AT_ONCE):
        part = chosen[start : start + _NEWEST_AT_ONCE]
        try:
            async with _snapshot(runtime, timeout_ms=_NEWEST_TIMEOUT_MS) as conn:
                rows = await rows_as_application(conn, _newest_query(part))
        except _NOT_TO_BE_READ as error:
            _log.info("newest_values_skipped", columns=len(part), reason=str(error))
            continue
        found |= {part[row["place"]]: row["newest"] for row in rows if row["newest"] is not None}
    return found


async def read_hiding_tables(runtime: Runtime) -> list[Row]:
    """Schema and name of the tables of which row-level security hides rows, and whether it hides all."""
    async with _reader(runtime) as conn:
        return [*await all_rows(conn, _QUERIES["hiding_tables"], scope(runtime))]


async def read_names(runtime: Runtime) -> list[Row]:
    """Every relation with its columns; `ours` says whether it is one of the application's."""
    async with _reader(runtime) as conn:
        return [*await all_rows(conn, _QUERIES["names"], scope(runtime))]


def scope(runtime: Runtime) -> dict[str, Any]:
    """Which schemas are the application's: the chosen ones, else all but the system's, the agent's and the platform's."""
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
            " set_config('cursor_tuple_fraction', '1', true)",  # every row of ours is fetched
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
    # A parent is as busy as its partitions.
    whole = {row["oid"] for row in relations if definitions} - busy - {row["root"] for row in members if row["busy"]}
    readable = [oid for oid in oids if oid in whole]
    leaves_of = [row for row in members if row["root"] in whole]
    inside = [row["oid"] for row in leaves_of]
    both = {"relations": oids + inside, "members": inside, "open": readable + inside}
    partitions = await rows("partitions", partitioned=partitioned, open=readable)
    leaves = [row["leaf"] for row in partitions if row["leaf"] is not None]
    constraints = await rows("constraints", **both)
    types, functions = await rows("types"), await rows("functions")
    found = Catalog(
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
    await conn.execute(_QUALIFIED)
    asked = {
        **where, "open": readable, "members": inside, "roots": [row["root"] for row in leaves_of], "busy": list(busy | found.busy),
        "functions": [row["oid"] for row in functions], "types": [row["oid"] for row in types],
    }  # fmt: skip
    return replace(found, parts=await all_rows(conn, _PARTS["parts"], asked))


def _grouped(rows: Sequence[Row], by: LiteralString = "relation") -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return dict(groups)


def _newest_query(columns: Sequence[TimeColumn]) -> sql.Composed:
    one = sql.SQL("select {place}::int as place, (select max({column}) from {schema}.{table})::text as newest")
    return sql.SQL(" union all ").join(
        one.format(
            place=sql.Literal(place),
            column=sql.Identifier(item.column),
            schema=sql.Identifier(item.schema),
            table=sql.Identifier(item.table),
        )
        for place, item in enumerate(columns)
    )
