"""Ends a statement that does not end by itself: cancels it, then ends its session, then closes its connection.

The server ends most statements at their time limit. The watchdog is for the others: a statement that lifted its limit, a
server that does not answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psycopg
import structlog

from agent.db import Connection, Database

_log = structlog.get_logger(__name__)
# Seconds after the limit: when the statement is cancelled, its session ended, and the connection given up.
_CANCEL, _TERMINATE, _GIVE_UP = 0.05, 0.1, 0.2
_ending: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def watched(
    conn: Connection, seconds: float, *, database: Database, pid: Callable[[], int | None]
) -> AsyncIterator[None]:
    """Limit what runs on `conn` inside the block to `seconds`. Raises `TimeoutError`.

    `pid` returns the server's process id as the server reports it: through a pooler the connection does not know it.
    """
    late = asyncio.Event()
    watchdog = asyncio.create_task(_end(conn, seconds, late, database, pid))
    try:
        yield
    except psycopg.OperationalError as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        watchdog.cancel()


async def _end(
    conn: Connection, seconds: float, late: asyncio.Event, database: Database, pid: Callable[[], int | None]
) -> None:
    await asyncio.sleep(seconds + _CANCEL)
    late.set()
    _in_background(conn.cancel_safe(timeout=1))
    await asyncio.sleep(_TERMINATE - _CANCEL)
    number = pid()
    if number is not None:
        _in_background(database.terminate("agent_reader", number))
    await asyncio.sleep(_GIVE_UP - _TERMINATE)
    _log.error("statement_given_up", pid=number, seconds=seconds)
    with suppress(OSError), socket.socket(fileno=os.dup(conn.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _in_background(work: Awaitable[None]) -> None:
    """Run `work` without waiting for it; it may fail, because the statement may have ended meanwhile."""

    async def quietly() -> None:
        with suppress(psycopg.Error, OSError):
            await work

    task = asyncio.create_task(quietly())
    _ending.add(task)
    task.add_done_callback(_ending.discard)
