"""Runs an accepted read as agent_reader: one statement in a READ ONLY transaction, capped in rows, bytes and time.

The transaction is never committed: the pool rolls it back and resets the session before anybody else gets it.

A query is read through two server-side cursors: the first gives its columns, the second cuts long cells on the server, so
that rows and bytes beyond the caps are never sent. Both use the extended protocol, which takes one statement only. With
the last rows comes the state of the session: if the transaction did more than read, the rows are withheld. The search path
is the application's only while its statement runs.

Every row up to the cap is shown: if the rows have too many bytes, the longest cells are cut, all to the same length.
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
from agent.db.encodings import cannot_be_sent, in_bytes, marked, stored_encoding, unmarked
from agent.db.json_values import fit_cells, from_json, is_cut, plain, shorten, size_of, take_as_text
from agent.db.paths import LOOK_UP_IN, LOOK_UP_IN_OURS, path_setting
from agent.db.statement_failures import failure, too_slow
from agent.errors import StatementFailed
from agent.execution.reads.tripwire import check_untouched
from agent.execution.reads.watchdog import watched
from agent.privacy.sensitive import HIDDEN
from agent.runtime import Runtime
from agent.statements.layers import ALL, Layers
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
_LOCK_MS = 3_000
# Seconds after a statement's limit at which the server ends its transaction, should nobody else do.
_TRANSACTION_GRACE = 0.15
# Rows in one fetch: with the cap of a cell this bounds the memory.
_BATCH = 32
_LEAST_CELL, _LEAST_OF_MANY = 100, 20
_BYTEA, _TEXT = 17, 25
_HIDDEN = f"CASE WHEN pg_catalog.num_nulls({{name}}) OPERATOR(pg_catalog.=) 0 THEN '{HIDDEN}'::pg_catalog.text END"
_BYTES_SHOWN = 32
# Types whose values are short: numbers, times, names, addresses.
_SHORT = frozenset({
    16, 18, 19, 20, 21, 23, 26, 600, 601, 603, 628, 650, 700, 701, 718, 774, 790, 829, 869, 1082, 1083, 1114, 1184, 1186,
    1266, 1700, 2950,
})  # fmt: skip

# "char" and name: short, but text.
_SHORT_TEXT = frozenset({18, 19})

# For each connection: the settings with which its last new kind of read began, and the session's state then.
_states: WeakKeyDictionary[Connection, tuple[tuple[str, ...], dict[str, Any] | None]] = WeakKeyDictionary()
_SEND_LINES = """DO ${mark}$
DECLARE
  line pg_catalog.record;
  line_text pg_catalog.text;
  sent pg_catalog.int4 := 0;
BEGIN
  FOR line IN EXECUTE $sql_{mark}$ {sql}
  $sql_{mark}$ LOOP
    line_text := pg_catalog.format('%s', line."QUERY PLAN");
    RAISE NOTICE USING MESSAGE = pg_catalog."left"(line_text, {most}), HINT = pg_catalog.length(line_text), SCHEMA = '{mark}';
    sent := sent OPERATOR(pg_catalog.+) 1;
    EXIT WHEN sent OPERATOR(pg_catalog.>=) {lines};
  END LOOP;
END ${mark}$"""


@dataclass(slots=True)
class Rows:
    """What a statement returned, as cells of JSON. `truncated` says that there are more rows.

    `cut_cells` is the number of cells that show only a beginning; each says how long its value is.
    """

    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    truncated: bool = False
    cut_cells: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Which columns of a result are hidden; `names` are the columns that the assessment expects."""

    names: tuple[str, ...]
    hidden: tuple[bool, ...]

    def places(self, names: Sequence[str]) -> frozenset[int]:
        """Return the places of the hidden columns. Raises `StatementFailed` where the result has other columns."""
        if tuple(names) != self.names:
            raise StatementFailed("The tables were changed while the statement was assessed; try again.")
        return frozenset(place for place, is_hidden in enumerate(self.hidden) if is_hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    rows: int
    bytes: int
    seconds: float

    def cell(self, columns: int) -> int:
        """Return the most characters of one cell in a row of so many columns."""
        return max(_LEAST_CELL, min(self.bytes // 4, 2 * self.bytes // max(1, columns)))


async def read(
    statement: Statement,
    *,
    runtime: Runtime,
    max_rows: int | None = None,
    hide: Hidden | None = None,
    layers: Layers = ALL,
) -> Rows:
    """Run an accepted read and return its rows; the values of columns in `hide` do not leave the server.

    Raises `StatementFailed` with text for the model, `ActionRefused`, `DatabaseUnavailable`. When the calling task is
    cancelled, the statement is cancelled on the server too.
    """
    async with runtime.app.connection("agent_reader") as conn:
        return await read_on(conn, statement, runtime=runtime, max_rows=max_rows, hide=hide, layers=layers)


async def read_on(
    conn: Connection,
    statement: Statement,
    *,
    runtime: Runtime,
    max_rows: int | None = None,
    hide: Hidden | None = None,
    layers: Layers = ALL,
) -> Rows:
    """Run `read` on a connection of the caller, who rolls its transaction back."""
    settings = runtime.settings
    limits = _Limits(
        rows=min(max_rows or settings.max_rows, settings.max_rows), bytes=settings.max_result_bytes,
        seconds=settings.statement_timeout,
    )  # fmt: skip
    schemas = (await runtime.app.facts("agent_reader")).search_path
    reading = _Reading(conn, limits, layers, path_setting(schemas), hide=hide, claims=runtime.claims)
    try:
        if layers.watchdog:
            async with watched(conn, limits.seconds, database=runtime.app, pid=reading.pid):
                rows = await reading.run(statement)
        else:
            rows = await reading.run(statement)
    except TimeoutError as error:
        raise StatementFailed(too_slow(limits.seconds)) from error
    except psycopg.Error as error:
        raise failure(error, settings, sql=statement.sql) from error
    if layers.tripwire:
        await check_untouched(conn, reading.before, reading.after, statement)
    return rows


class _Reading:
    """One read. `before` and `after` are the states of its session, for the tripwire."""

    def __init__(
        self,
        conn: Connection,
        limits: _Limits,
        layers: Layers,
        search_path: str,
        *,
        hide: Hidden | None,
        claims: Mapping[str, Any] | None,
    ) -> None:
        self._conn = conn
        self._hide = hide
        self._limits = limits
        self._layers = layers
        self._search_path = search_path
        self._claims = claims
        self._start: tuple[str, ...] = ()
        self.before: dict[str, Any] | None = None
        self.after: dict[str, Any] | None = None

    def pid(self) -> int | None:
        """Return the server's process id; None before the server has given it."""
        return self.before["pid"] if self.before else None

    async def run(self, statement: Statement) -> Rows:
        rows = await self._run(statement)
        rows.cut_cells += sum(is_cut(cell) for row in rows.rows for cell in row)
        return rows

    async def _run(self, statement: Statement) -> Rows:
        if statement.kind == "SelectStmt" and self._layers.one_statement:
            try:
                return await self._by_cursor(statement.text)
            except psycopg.DataError as error:
                if not cannot_be_sent(error, self._conn):
                    raise
                await self._conn.rollback()
                return await self._by_cursor(statement.text, stored_encoding(self._conn))
        if statement.kind == "ExplainStmt" and self._layers.one_statement:
            return await self._plan(statement.text)
        return await self._directly(statement.sql)

    async def _begin(self) -> psycopg.AsyncCursor[Any] | None:
        """Queue the beginning of a read inside a pipeline, so that it costs no round trip of its own.

        Returns the cursor with the session's state, for `_take_state_before`; None where that is known.
        """
        seconds = self._limits.seconds if self._layers.timeouts else 0
        limits = {
            "statement_ms": str(int(seconds * 1000)), "lock_ms": str(_LOCK_MS), "idle_ms": str(int(seconds * 2000)),
            "transaction_ms": str(int((seconds + _TRANSACTION_GRACE) * 1000) if seconds else 0),
        }  # fmt: skip
        mode = "READ ONLY" if self._layers.read_only else "READ WRITE"
        await self._conn.execute(f"BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED {mode}".encode())
        await self._conn.execute(_QUERIES["reader_limits"], limits)
        claims = _settings_of(self._claims)
        if claims:
            await self._conn.execute(_QUERIES["reader_claims"], claims)
        self._start = (mode, *limits.values(), *claims.values())
        start, state = _states.get(self._conn, ((), None))
        known = start == self._start
        before = None if known else await self._conn.execute(_QUERIES["session_state"])
        if known:
            self.before = self._with_path(state)
        await self._conn.execute(LOOK_UP_IN, [self._search_path])
        return before

    async def _take_state_before(self, before: psycopg.AsyncCursor[Any] | None) -> None:
        """Take the session's state, and keep it: the pool resets the session, so each such read begins with this state."""
        if before is not None:
            state = await before.fetchone()
            _states[self._conn] = (self._start, state)
            self.before = self._with_path(state)

    def _with_path(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if state is None else {**state, "path": self._search_path}

    async def _end(self) -> tuple[psycopg.AsyncCursor[Any], psycopg.AsyncCursor[Any]]:
        """Queue the reset of the search path and the query of the session's state, for `_take_state_after`."""
        left = await self._conn.execute(LOOK_UP_IN_OURS)
        return left, await self._conn.execute(_QUERIES["session_state"])

    async def _take_state_after(self, left: psycopg.AsyncCursor[Any], after: psycopg.AsyncCursor[Any]) -> None:
        path, state = await left.fetchone(), await after.fetchone()
        self.after = {**state, "path": path["path"]} if path and state else None

    async def _by_cursor(self, sql: str, encoding: str = "") -> Rows:
        """Read the rows of a query through a cursor; with `encoding` its texts come as bytes in it."""
        conn = self._conn
        async with conn.pipeline():  # one round trip, and the extended protocol: one statement each
            before = await self._begin()
            await conn.execute(f"DECLARE agent_shape NO SCROLL CURSOR FOR {sql}".encode())
            shape = await conn.execute(b"FETCH FORWARD 0 FROM agent_shape")
        await self._take_state_before(before)
        columns = shape.description or ()
        result = Rows([column.name for column in columns])
        hidden = self._hide.places(result.columns) if self._hide else frozenset[int]()
        oids = [_TEXT if place in hidden else column.type_code for place, column in enumerate(columns)]
        cells = _Cells.of(oids, self._limits.cell(len(oids)), encoding, hidden)
        most = cells.most
        declared = f"DECLARE agent_read NO SCROLL CURSOR FOR {cells.query(sql)}".encode()
        async with conn.cursor(row_factory=tuple_row) as cursor:
            take_as_text(cursor)
            loaders = cells.loaders(cursor)
            while True:
                batch = max(1, min(_BATCH, self._limits.rows + 1 - len(result.rows)))
                async with conn.pipeline():
                    if declared:
                        await conn.execute(declared)
                    else:
                        await conn.execute(LOOK_UP_IN, [self._search_path])
                    await cursor.execute(f"FETCH FORWARD {batch} FROM agent_read".encode())
                    ended = await self._end()
                declared = b""
                rows = await cursor.fetchall()
                await self._take_state_after(*ended)
                most = self._add(result, [cells.loaded(row, loaders) for row in rows], most, more=len(rows) == batch)
                if result.truncated or len(rows) < batch:
                    return result

    def _add(self, result: Rows, rows: list[list[Any]], most: int, *, more: bool = False) -> int:
        """Add rows, cut the longest cells where all have too many bytes, and return how long a cell may be now."""
        left = self._limits.rows - len(result.rows)
        result.truncated = len(rows) > left
        rows, size, _ = fit_cells(rows[:left], self._limits.bytes, most=most, least=most)
        result.rows += rows
        result.bytes += size
        if result.bytes > self._limits.bytes:
            # If more rows may come, leave room for some, so that not every batch cuts all cells again.
            room = self._limits.bytes * 3 // 4 if more and not result.truncated else self._limits.bytes
            result.rows, result.bytes, most = fit_cells(result.rows, room, most=most, least=_LEAST_OF_MANY)
        while result.bytes > self._limits.bytes and len(result.rows) > 1:
            result.bytes -= size_of(result.rows.pop())
            result.truncated = True
        return most

    async def _plan(self, sql: str) -> Rows:
        """Read the lines of an EXPLAIN, which has no cursor: a PL/pgSQL block cuts each and sends it as a notice."""
        mark, most = f"m{secrets.token_hex(8)}", self._limits.cell(1)
        lines: list[Any] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.schema_name == mark:
                lines.append(_line(diagnostic.message_primary or "", int(diagnostic.message_hint or 0)))

        block = _SEND_LINES.format(mark=mark, most=most, lines=self._limits.rows + 1, sql=sql)
        self._conn.add_notice_handler(note)
        try:
            async with self._conn.pipeline():
                before = await self._begin()
            await self._take_state_before(before)
            async with self._conn.pipeline():
                await self._conn.execute(block.encode())
                ended = await self._end()
        finally:
            self._conn.remove_notice_handler(note)
        await self._take_state_after(*ended)
        result = Rows(["QUERY PLAN"])
        self._add(result, [[line] for line in lines], most)
        return result

    async def _directly(self, sql: str) -> Rows:
        """Read the rows of a statement that has no cursor, such as SHOW."""
        conn = self._conn
        async with conn.cursor(row_factory=tuple_row) as cursor:
            take_as_text(cursor)
            async with conn.pipeline():
                before = await self._begin()
            await self._take_state_before(before)
            if self._layers.one_statement:
                async with conn.pipeline():
                    await cursor.execute(sql.encode())
            else:
                await cursor.execute(sql.encode())
            async with conn.pipeline():
                ended = await self._end()
            await self._take_state_after(*ended)
            if cursor.description is None:
                return Rows([])
            result = Rows([column.name for column in cursor.description])
            most = self._limits.cell(len(cursor.description))
            cells = _Cells.of([column.type_code for column in cursor.description], most)
            rows = await cursor.fetchmany(self._limits.rows + 1)
            self._add(result, [cells.loaded(row, [None] * len(cells.oids)) for row in rows], most)
            return result


def _settings_of(claims: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the claims as PostgREST sets them: all in one setting, and single ones in a setting of their own."""
    if claims is None:
        return {}
    single = {name: str(claims.get(name) or "") for name in ("sub", "role", "email")}
    return {"claims": json.dumps(claims, ensure_ascii=False), **single}


def _line(line: str, length: int) -> Any:
    """Return a line of a plan that has `length` characters; a plan in JSON is one line, and is parsed."""
    if length > len(line):
        return f"{line}... ({length} characters)"
    with suppress(ValueError):
        return from_json(line) if line[:1] in {"[", "{"} else line
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """How a query's cells are fetched: short types as they are, the others as text of at most `most` characters.

    With an `encoding` text comes as bytes in it. A `hidden` cell only says whether there is a value.
    """

    oids: tuple[int, ...]
    most: int
    encoding: str
    short: frozenset[int]
    hidden: frozenset[int]

    @classmethod
    def of(cls, oids: Sequence[int], most: int, encoding: str = "", hidden: frozenset[int] = frozenset()) -> _Cells:
        short = _SHORT - _SHORT_TEXT if encoding else _SHORT
        return cls(oids=tuple(oids), most=most, encoding=encoding, short=short, hidden=hidden)

    def query(self, sql: str) -> str:
        """Return a query for the rows of `sql` with every value that may be long as text, cut where it is too long.

        `format` writes a value as the server would send it; OFFSET 0 keeps the planner from evaluating it twice.
        """
        if not self.oids:
            return sql
        names = [f"c{number}" for number in range(len(self.oids))]
        pairs = list(zip(names, self.oids, strict=True))
        expressions = [
            _HIDDEN.format(name=name) if place in self.hidden else self._as_text(name, oid)
            for place, (name, oid) in enumerate(pairs)
        ]
        texts = ", ".join(f"{text} AS {name}" for text, name in zip(expressions, names, strict=True))
        cells = ", ".join(name if oid in self.short or oid == _BYTEA else self._cut(name) for name, oid in pairs)
        return f"SELECT {cells} FROM (SELECT {texts} FROM ({sql}\n) AS rows ({', '.join(names)}) OFFSET 0) AS texts"

    def _as_text(self, name: str, oid: int) -> str:
        if oid in self.short:
            return name
        if oid == _BYTEA:
            digits = f"pg_catalog.encode(pg_catalog.substring({name}, 1, {_BYTES_SHOWN}), 'hex')"
            long = f"'... (' OPERATOR(pg_catalog.||) pg_catalog.octet_length({name}) OPERATOR(pg_catalog.||) ' bytes)'"
            longer = f"pg_catalog.octet_length({name}) OPERATOR(pg_catalog.>) {_BYTES_SHOWN}"
            more = f"CASE WHEN {longer} THEN {long} ELSE '' END"
            return f"'\\x' OPERATOR(pg_catalog.||) {digits} OPERATOR(pg_catalog.||) {more}"
        return (
            f"CASE WHEN pg_catalog.num_nulls({name}) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.format('%s', {name}) END"
        )

    def _cut(self, name: str) -> str:
        most = self.most
        longer = f"pg_catalog.octet_length({name}) OPERATOR(pg_catalog.>) {most} AND pg_catalog.length({name}) OPERATOR(pg_catalog.>) {most}"
        cut = (
            f"pg_catalog.\"left\"({name}, {most}) OPERATOR(pg_catalog.||) '... ('"
            f" OPERATOR(pg_catalog.||) pg_catalog.length({name}) OPERATOR(pg_catalog.||) ' characters)'"
        )
        cell = f"CASE WHEN {longer} THEN {cut} ELSE {name} END"
        return in_bytes(cell, self.encoding) if self.encoding else cell

    def loaders(self, cursor: psycopg.AsyncCursor[Any]) -> list[Loader | None]:
        """Return for each column what parses its text; None for a column that is fetched as it is."""
        transformer = Transformer(cursor)
        return [
            None if oid in self.short or oid == _BYTEA else transformer.get_loader(oid, Format.TEXT)
            for oid in self.oids
        ]

    def loaded(self, row: Sequence[Any], loaders: Sequence[Loader | None]) -> list[Any]:
        """Return the cells of one row as JSON."""
        return [self._loaded(value, oid, loader) for value, oid, loader in zip(row, self.oids, loaders, strict=True)]

    def _loaded(self, value: Any, oid: int, loader: Loader | None) -> Any:
        if loader is None or value is None:
            return shorten(plain(value, oid), self.most)[0]
        text = marked(value, self.encoding) if self.encoding else value
        cell = text if len(text) > self.most else plain(loader.load(text.encode()), oid)
        return shorten(unmarked(cell) if self.encoding else cell, self.most)[0]
