"""Runs an accepted read: as agent_reader, in a READ ONLY transaction, one statement, capped, rolled back, reset.

A query is read through a server-side cursor, so that rows beyond the caps are never fetched; EXPLAIN and SHOW, which
have no cursor, are prepared. Both are the extended protocol, which takes one statement only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog

from agent.db import Connection, load_queries
from agent.db.failures import statement_failure
from agent.errors import StatementFailed
from agent.execution.json_values import plain, shorten, size_of, take_as_text
from agent.execution.sql_parsing import Statement
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
# The watchdog outside the server leaves it this long to end the statement by itself.
_GRACE = 1.0
_CLEAN_UP = 5.0
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
            async with asyncio.timeout(seconds + _GRACE), _read_only(conn, seconds):
                if statement.kind == "SelectStmt":
                    return await _by_cursor(conn, statement.sql, limit, runtime.settings.max_result_bytes)
                return await _prepared(conn, statement.sql, limit, runtime.settings.max_result_bytes)
        except TimeoutError as error:
            await conn.close()
            raise StatementFailed(_too_slow(seconds)) from error
        except psycopg.Error as error:
            raise failure(error, seconds) from error


def failure(error: psycopg.Error, seconds: float) -> Exception:
    """A driver error as one of ours, with text for the model."""
    known = statement_failure(error)
    if known is not None:
        return known
    if isinstance(error, psycopg.errors.QueryCanceled):
        return StatementFailed(_too_slow(seconds))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StatementFailed("Somebody else holds a lock on these rows or tables; try again later.")
    parts = [error.diag.message_primary or str(error) or type(error).__name__]
    parts += [
        f"{name}: {text}"
        for name, text in (("Detail", error.diag.message_detail), ("Hint", error.diag.message_hint))
        if text
    ]
    return StatementFailed(f"The database refused the statement: {'. '.join(parts)}")


def _too_slow(seconds: float) -> str:
    return f"The statement ran longer than {seconds:g} s and was stopped. Read less: filter, aggregate or limit."


@asynccontextmanager
async def _read_only(conn: Connection, seconds: float) -> AsyncIterator[None]:
    limits = {
        "statement_ms": str(int(seconds * 1000)), "lock_ms": str(_LOCK_MS), "idle_ms": str(int(seconds * 2000)),
    }  # fmt: skip
    try:
        async with conn.pipeline():
            await conn.execute("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY")
            await conn.execute(_QUERIES["reader_limits"], limits)
        yield
    finally:
        await _reset(conn)


async def _reset(conn: Connection) -> None:
    """End the transaction and forget the session's state; a connection that does not let itself is closed."""
    try:
        async with asyncio.timeout(_CLEAN_UP):
            await conn.execute("ROLLBACK")
            await conn.execute("DISCARD ALL")
    except (psycopg.Error, TimeoutError) as error:
        _log.warning("reader_connection_closed", error=str(error))
        await conn.close()


async def _by_cursor(conn: Connection, sql: str, limit: int, most_bytes: int) -> Rows:
    async with conn.cursor(name="agent_read") as cursor:
        take_as_text(cursor)
        # The text passed the parser; without parameters the driver sends it as it is.
        await cursor.execute(sql)  # type: ignore[arg-type]  # not a literal: it is the statement that was assessed
        oids = [column.type_code for column in cursor.description or ()]
        result = Rows([column.name for column in cursor.description or ()])
        batch = min(_FIRST_BATCH, limit + 1)
        while not result.truncated:
            rows = await _fetch(cursor, batch)
            _add(result, rows, oids, limit=limit, most_bytes=most_bytes)
            if len(rows) < batch:
                break
            batch = _next_batch(result, limit, most_bytes)
        return result


async def _fetch(cursor: Any, size: int) -> list[tuple[Any, ...]]:
    cursor.row_factory = psycopg.rows.tuple_row
    rows: list[tuple[Any, ...]] = await cursor.fetchmany(size)
    return rows


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


async def _prepared(conn: Connection, sql: str, limit: int, most_bytes: int) -> Rows:
    async with conn.cursor() as cursor:
        take_as_text(cursor)
        await cursor.execute(sql, prepare=True)  # type: ignore[arg-type]  # not a literal: it is the statement that was assessed
        if cursor.description is None:
            return Rows([])
        result = Rows([column.name for column in cursor.description])
        oids = [column.type_code for column in cursor.description]
        _add(result, await _fetch(cursor, limit + 1), oids, limit=limit, most_bytes=most_bytes)
        return result
