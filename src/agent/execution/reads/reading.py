"""Runs an accepted read: as agent_reader, in a READ ONLY transaction, one statement, capped in rows, bytes and time.

The transaction is never committed: the pool rolls it back and wipes the session before anybody else has it.

A query is read through server-side cursors: the first tells its columns, the second cuts long cells on the server, so that
rows and bytes beyond the caps never come here. Both are the extended protocol, which takes one statement only. With the
last rows comes what the transaction did: where that is more than reading, the rows are withheld.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import Loader
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.rows import tuple_row

from agent.db import Connection, load_queries
from agent.errors import StatementFailed
from agent.execution.json_values import plain, shorten, size_of, take_as_text
from agent.execution.reads.tripwire import check_untouched
from agent.execution.reads.watchdog import watched
from agent.execution.sessions import failure, too_slow
from agent.execution.statements.layers import ALL, Layers
from agent.execution.statements.resolution import path_setting
from agent.execution.statements.sql_parsing import Statement
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_LOCK_MS = 3_000
# What outlives its client or its own limit is ended by the server itself a little later.
_TRANSACTION_GRACE = 0.15
# Rows that are fetched at a time: with the cap of a cell this bounds what is in memory.
_BATCH = 32
_LEAST_CELL = 100
_BYTEA = 17
_BYTES_SHOWN = 32
# Types whose values are short: numbers, times, names, addresses.
_SHORT = frozenset({
    16, 18, 19, 20, 21, 23, 26, 600, 601, 603, 628, 650, 700, 701, 718, 774, 790, 829, 869, 1082, 1083, 1114, 1184, 1186,
    1266, 1700, 2950,
})  # fmt: skip

# How a session stood at the beginning of its first read that began so.
_states: WeakKeyDictionary[Connection, tuple[tuple[str, ...], dict[str, Any] | None]] = WeakKeyDictionary()
_SEND_LINES = """DO ${mark}$
DECLARE
  line pg_catalog.record;
  sent pg_catalog.int4 := 0;
BEGIN
  FOR line IN EXECUTE $sql_{mark}$ {sql}
  $sql_{mark}$ LOOP
    RAISE NOTICE USING MESSAGE = pg_catalog."left"(pg_catalog.format('%s', line."QUERY PLAN"), {most}), SCHEMA = '{mark}';
    sent := sent OPERATOR(pg_catalog.+) 1;
    EXIT WHEN sent OPERATOR(pg_catalog.>=) {lines};
  END LOOP;
END ${mark}$"""


@dataclass(slots=True)
class Rows:
    """What a statement returned: JSON-compatible cells. `truncated` says that rows or parts of cells are missing."""

    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    truncated: bool = False
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    rows: int
    bytes: int
    seconds: float

    def cell(self, columns: int) -> int:
        """The most characters of one cell."""
        return max(_LEAST_CELL, min(self.bytes // 4, 2 * self.bytes // max(1, columns)))


async def read(statement: Statement, *, runtime: Runtime, max_rows: int | None = None, layers: Layers = ALL) -> Rows:
    """Run an accepted read. Raises `StatementFailed` with text for the model, `ActionRefused`, `DatabaseUnavailable`.

    When the calling task is cancelled the statement is cancelled on the server too.
    """
    async with runtime.app.connection("agent_reader") as conn:
        return await read_on(conn, statement, runtime=runtime, max_rows=max_rows, layers=layers)


async def read_on(
    conn: Connection, statement: Statement, *, runtime: Runtime, max_rows: int | None = None, layers: Layers = ALL
) -> Rows:
    """`read` on a connection of the caller, who rolls its transaction back."""
    settings = runtime.settings
    limits = _Limits(
        rows=min(max_rows or settings.max_rows, settings.max_rows), bytes=settings.max_result_bytes,
        seconds=settings.statement_timeout,
    )  # fmt: skip
    schemas = (await runtime.app.facts("agent_reader")).search_path
    reading = _Reading(conn, limits, layers, path_setting(schemas), runtime.claims)
    try:
        if layers.watchdog:
            async with watched(conn, limits.seconds, database=runtime.app, pid=reading.pid):
                rows = await reading.run(statement)
        else:
            rows = await reading.run(statement)
    except TimeoutError as error:
        raise StatementFailed(too_slow(limits.seconds)) from error
    except psycopg.Error as error:
        raise failure(error, limits.seconds) from error
    if layers.tripwire:
        await check_untouched(conn, reading.before, reading.after, statement)
    return rows


class _Reading:
    """One read. `before` and `after` are how the session stood, for the tripwire."""

    def __init__(
        self, conn: Connection, limits: _Limits, layers: Layers, search_path: str, claims: Mapping[str, Any] | None
    ) -> None:
        self._conn = conn
        self._limits = limits
        self._layers = layers
        self._search_path = search_path
        self._claims = claims
        self._start: tuple[str, ...] = ()
        self.before: dict[str, Any] | None = None
        self.after: dict[str, Any] | None = None

    def pid(self) -> int | None:
        """Which backend it is; None before the server said it."""
        return self.before["pid"] if self.before else None

    async def run(self, statement: Statement) -> Rows:
        if statement.kind == "SelectStmt" and self._layers.one_statement:
            return await self._by_cursor(statement.text)
        if statement.kind == "ExplainStmt" and self._layers.one_statement:
            return await self._plan(statement.text)
        return await self._directly(statement.sql)

    async def _begin(self) -> psycopg.AsyncCursor[Any] | None:
        """Queue the beginning of a read: inside a pipeline, so that it costs no round trip of its own.

        Returns what tells how the session stands, for `_stands`; None where that is known.
        """
        seconds = self._limits.seconds if self._layers.timeouts else 0
        limits = {
            "statement_ms": str(int(seconds * 1000)), "lock_ms": str(_LOCK_MS), "idle_ms": str(int(seconds * 2000)),
            "transaction_ms": str(int((seconds + _TRANSACTION_GRACE) * 1000) if seconds else 0), "search_path": self._search_path,
        }  # fmt: skip
        mode = "READ ONLY" if self._layers.read_only else "READ WRITE"
        await self._conn.execute(f"BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED {mode}".encode())
        await self._conn.execute(_QUERIES["reader_limits"], limits)
        claims = _settings_of(self._claims)
        if claims:
            await self._conn.execute(_QUERIES["reader_claims"], claims)
        self._start = (mode, *limits.values(), *claims.values())
        start, state = _states.get(self._conn, ((), None))
        if start == self._start:
            self.before = state
            return None
        return await self._conn.execute(_QUERIES["session_state"])

    async def _stands(self, before: psycopg.AsyncCursor[Any] | None) -> None:
        """Take how the session stands, and keep it: however often the session is wiped, each read begins like this one."""
        if before is not None:
            self.before = await before.fetchone()
            _states[self._conn] = (self._start, self.before)

    async def _by_cursor(self, sql: str) -> Rows:
        conn = self._conn
        async with conn.pipeline():  # one round trip, and the extended protocol: one statement each
            before = await self._begin()
            await conn.execute(f"DECLARE agent_shape NO SCROLL CURSOR FOR {sql}".encode())
            shape = await conn.execute(b"FETCH FORWARD 0 FROM agent_shape")
        await self._stands(before)
        columns = shape.description or ()
        result = Rows([column.name for column in columns])
        oids = [column.type_code for column in columns]
        most = self._limits.cell(len(oids))
        declared = f"DECLARE agent_read NO SCROLL CURSOR FOR {_capped(sql, oids, most)}".encode()
        async with conn.cursor(row_factory=tuple_row) as cursor:
            take_as_text(cursor)
            loaders = [_loader(cursor, oid) for oid in oids]
            while True:
                asked = max(1, min(_BATCH, self._limits.rows + 1 - len(result.rows)))
                async with conn.pipeline():
                    if declared:
                        await conn.execute(declared)
                    await cursor.execute(f"FETCH FORWARD {asked} FROM agent_read".encode())
                    after = await conn.execute(_QUERIES["session_state"])
                declared = b""
                rows, self.after = await cursor.fetchall(), await after.fetchone()
                self._add(result, [_cells(row, oids, loaders, most) for row in rows])
                if result.truncated or len(rows) < asked:
                    return result

    def _add(self, result: Rows, rows: list[tuple[Sequence[Any], bool]]) -> None:
        for cells, cut in rows:
            size = size_of(list(cells))
            if len(result.rows) >= self._limits.rows or (result.bytes + size > self._limits.bytes and result.rows):
                result.truncated = True
                return
            result.rows.append(list(cells))
            result.bytes += size
            if cut or result.bytes >= self._limits.bytes:
                result.truncated = True

    async def _plan(self, sql: str) -> Rows:
        """An EXPLAIN has no cursor that SQL can declare: a block of PL/pgSQL reads its lines, and sends each cut, as a notice."""
        mark, most = f"m{secrets.token_hex(8)}", self._limits.cell(1)
        lines: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.schema_name == mark:
                lines.append(diagnostic.message_primary or "")

        block = _SEND_LINES.format(mark=mark, most=most + 1, lines=self._limits.rows + 1, sql=sql)
        self._conn.add_notice_handler(note)
        try:
            async with self._conn.pipeline():
                before = await self._begin()
            await self._stands(before)
            async with self._conn.pipeline():
                await self._conn.execute(block.encode())
                after = await self._conn.execute(_QUERIES["session_state"])
        finally:
            self._conn.remove_notice_handler(note)
        self.after = await after.fetchone()
        result = Rows(["QUERY PLAN"])
        self._add(result, [_line(line, most) for line in lines])
        return result

    async def _directly(self, sql: str) -> Rows:
        """SHOW has no cursor."""
        conn = self._conn
        async with conn.cursor(row_factory=tuple_row) as cursor:
            take_as_text(cursor)
            async with conn.pipeline():
                before = await self._begin()
            await self._stands(before)
            if self._layers.one_statement:
                async with conn.pipeline():
                    await cursor.execute(sql.encode())
            else:
                await cursor.execute(sql.encode())
            self.after = await (await conn.execute(_QUERIES["session_state"])).fetchone()
            if cursor.description is None:
                return Rows([])
            result = Rows([column.name for column in cursor.description])
            oids = [column.type_code for column in cursor.description]
            most = self._limits.cell(len(oids))
            rows = await cursor.fetchmany(self._limits.rows + 1)
            self._add(result, [_cells(row, oids, [None] * len(oids), most) for row in rows])
            return result


def _settings_of(claims: Mapping[str, Any] | None) -> dict[str, str]:
    """The claims as PostgREST would set them: all as one, and those that have a setting of their own."""
    if claims is None:
        return {}
    single = {name: str(claims.get(name) or "") for name in ("sub", "role", "email")}
    return {"claims": json.dumps(claims, ensure_ascii=False), **single}


def _line(line: str, most: int) -> tuple[list[Any], bool]:
    """A line of a plan as a row, and whether it is cut; a plan in JSON is one line."""
    if len(line) > most:
        return [f"{line[:most]}…"], True
    with suppress(ValueError):
        return [json.loads(line)], False
    return [line], False


def _capped(sql: str, oids: list[int], most: int) -> str:
    """A query for the rows of `sql` with every value that may be long as text, cut to `most` characters where it is longer.

    `format` writes a value as the server would send it; OFFSET 0 keeps the planner from writing it twice.
    """
    if not oids:
        return sql
    names = [f"c{number}" for number in range(len(oids))]
    texts = ", ".join(f"{_as_text(name, oid)} AS {name}" for name, oid in zip(names, oids, strict=True))
    cells = ", ".join(
        name if oid in _SHORT or oid == _BYTEA else _cut(name, most) for name, oid in zip(names, oids, strict=True)
    )
    return f"SELECT {cells} FROM (SELECT {texts} FROM ({sql}\n) AS rows ({', '.join(names)}) OFFSET 0) AS texts"


def _as_text(name: str, oid: int) -> str:
    if oid in _SHORT:
        return name
    if oid == _BYTEA:
        shown = f"pg_catalog.encode(pg_catalog.substring({name}, 1, {_BYTES_SHOWN}), 'hex')"
        long = f"'… (' OPERATOR(pg_catalog.||) pg_catalog.octet_length({name}) OPERATOR(pg_catalog.||) ' bytes)'"
        more = (
            f"CASE WHEN pg_catalog.octet_length({name}) OPERATOR(pg_catalog.>) {_BYTES_SHOWN} THEN {long} ELSE '' END"
        )
        return f"'\\x' OPERATOR(pg_catalog.||) {shown} OPERATOR(pg_catalog.||) {more}"
    return f"CASE WHEN pg_catalog.num_nulls({name}) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.format('%s', {name}) END"


def _cut(name: str, most: int) -> str:
    longer = f"pg_catalog.octet_length({name}) OPERATOR(pg_catalog.>) {most} AND pg_catalog.length({name}) OPERATOR(pg_catalog.>) {most}"
    cut = (
        f"pg_catalog.\"left\"({name}, {most}) OPERATOR(pg_catalog.||) '… ('"
        f" OPERATOR(pg_catalog.||) pg_catalog.length({name}) OPERATOR(pg_catalog.||) ' characters)'"
    )
    return f"CASE WHEN {longer} THEN {cut} ELSE {name} END"


def _loader(cursor: psycopg.AsyncCursor[Any], oid: int) -> Loader | None:
    """What reads a value of this type that came as text; None for one that comes as it is."""
    if oid in _SHORT or oid == _BYTEA:
        return None
    return Transformer(cursor).get_loader(oid, Format.TEXT)


def _cells(row: Sequence[Any], oids: list[int], loaders: Sequence[Loader | None], most: int) -> tuple[list[Any], bool]:
    """The cells of one row, and whether one of them is cut."""
    cells, cut = [], False
    for value, oid, loader in zip(row, oids, loaders, strict=True):
        loaded = value
        if loader is not None and value is not None:
            loaded = value if len(value) > most else loader.load(value.encode())
        cell, shortened = (value, True) if loader and value and len(value) > most else shorten(plain(loaded, oid), most)
        cells.append(cell)
        cut = cut or shortened
    return cells, cut
