"""Runs an accepted read: as agent_reader, in a READ ONLY transaction, one statement, capped.

The transaction is never committed: the pool rolls it back and wipes the session before anybody else has it.

A query is read through a server-side cursor, so that rows beyond the caps are never fetched; EXPLAIN and SHOW have
no cursor. Both ways are the extended protocol, which takes one statement only.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from agent.db import Connection, load_queries
from agent.errors import StatementFailed
from agent.execution.json_values import plain, shorten, size_of, take_as_text
from agent.execution.sessions import failure, too_slow
from agent.execution.sql_parsing import Statement
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
# The watchdog outside the server leaves it this long to end the statement by itself.
_GRACE = 1.0
_FIRST_BATCH = 25
_LOCK_MS = 3_000


@dataclass(slots=True)
class Rows:
    """What a statement returned: JSON-compatible cells. `truncated` says that rows or parts of cells are missing."""

    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    truncated: bool = False
    bytes: int = 0


async def read(statement: Statement, *, runtime: Runtime, max_rows: int | None = None) -> Rows:
    """Run an accepted read. Raises `StatementFailed` with text for the model, `DatabaseUnavailable`.

    When the calling task is cancelled the statement is cancelled on the server too.
    """
    limit = min(max_rows or runtime.settings.max_rows, runtime.settings.max_rows)
    seconds = runtime.settings.statement_timeout
    async with runtime.app.connection("agent_reader") as conn:
        try:
            async with asyncio.timeout(seconds + _GRACE):
                if statement.kind == "SelectStmt":
                    return await _by_cursor(conn, statement.sql, limit, runtime)
                return await _directly(conn, statement.sql, limit, runtime)
        except TimeoutError as error:
            await conn.close()
            raise StatementFailed(too_slow(seconds)) from error
        except psycopg.Error as error:
            raise failure(error, seconds) from error


async def _begin(conn: Connection, runtime: Runtime) -> None:
    """Queue the beginning of a read: inside a pipeline, so that it costs no round trip of its own."""
    seconds = runtime.settings.statement_timeout
    limits = {
        "statement_ms": str(int(seconds * 1000)), "lock_ms": str(_LOCK_MS), "idle_ms": str(int(seconds * 2000)),
    }  # fmt: skip
    await conn.execute("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY")
    await conn.execute(_QUERIES["reader_limits"], limits)


async def _by_cursor(conn: Connection, sql: str, limit: int, runtime: Runtime) -> Rows:
    batch, most_bytes = min(_FIRST_BATCH, limit + 1), runtime.settings.max_result_bytes
    async with conn.cursor(row_factory=tuple_row) as cursor:
        take_as_text(cursor)
        async with conn.pipeline():  # one round trip, and the extended protocol: one statement each
            await _begin(conn, runtime)
            await conn.execute(f"DECLARE agent_read NO SCROLL CURSOR FOR {sql}".encode())
            await cursor.execute(_fetch(batch))
        oids = [column.type_code for column in cursor.description or ()]
        result = Rows([column.name for column in cursor.description or ()])
        while True:
            rows = await cursor.fetchall()
            _add(result, rows, oids, limit=limit, most_bytes=most_bytes)
            if result.truncated or len(rows) < batch:
                return result
            batch = _next_batch(result, limit, most_bytes)
            await cursor.execute(_fetch(batch))


def _fetch(size: int) -> bytes:
    return f"FETCH FORWARD {size} FROM agent_read".encode()


def _next_batch(result: Rows, limit: int, most_bytes: int) -> int:
    mean = max(1, result.bytes // max(1, len(result.rows)))
    return max(1, min(limit + 1 - len(result.rows), (most_bytes - result.bytes) // mean + 1))


def _add(result: Rows, rows: list[tuple[Any, ...]], oids: list[int], *, limit: int, most_bytes: int) -> None:
    for row in rows:
        if len(result.rows) >= limit:
            result.truncated = True
            return
        cells, cut = _cells(row, oids, most_bytes)
        size = size_of(cells)
        if result.bytes + size > most_bytes and result.rows:
            result.truncated = True
            return
        result.rows.append(cells)
        result.bytes += size
        if cut or result.bytes >= most_bytes:
            result.truncated = True


def _cells(row: tuple[Any, ...], oids: list[int], most_bytes: int) -> tuple[list[Any], bool]:
    pairs = [shorten(plain(value, oid), most_bytes // 4) for value, oid in zip(row, oids, strict=True)]
    return [value for value, _ in pairs], any(cut for _, cut in pairs)


async def _directly(conn: Connection, sql: str, limit: int, runtime: Runtime) -> Rows:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        take_as_text(cursor)
        async with conn.pipeline():
            await _begin(conn, runtime)
            await cursor.execute(sql.encode())
        if cursor.description is None:
            return Rows([])
        result = Rows([column.name for column in cursor.description])
        oids = [column.type_code for column in cursor.description]
        rows = await cursor.fetchmany(limit + 1)
        _add(result, rows, oids, limit=limit, most_bytes=runtime.settings.max_result_bytes)
        return result
