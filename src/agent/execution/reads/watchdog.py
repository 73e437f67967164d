"""Ends a statement from outside when it does not end by itself: it is cancelled, then its session, then its connection.

A statement's own time limit is the server's business, and most end by it. This is for the rest: a statement that lifted its
limit, a server that does not answer.
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
# Seconds after the limit: when it is cancelled, when its session is ended, and when the connection is given up.
_CANCEL, _TERMINATE, _GIVE_UP = 0.05, 0.1, 0.2
_ending: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def watched(
    conn: Connection, seconds: float, *, database: Database, pid: Callable[[], int | None]
) -> AsyncIterator[None]:
    """Let what runs on `conn` inside the block take no longer than `seconds`. Raises `TimeoutError`.

    `pid` says which backend it is, as the server itself knows it: through a pooler the connection does not.
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
    _beside(conn.cancel_safe(timeout=1))
    await asyncio.sleep(_TERMINATE - _CANCEL)
    number = pid()
    if number is not None:
        _beside(database.terminate("agent_reader", number))
    await asyncio.sleep(_GIVE_UP - _TERMINATE)
    _log.error("statement_given_up", pid=number, seconds=seconds)
    with suppress(OSError), socket.socket(fileno=os.dup(conn.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _beside(work: Awaitable[None]) -> None:
    """Do something that nobody waits for, and that may fail: the statement may have ended meanwhile."""

    async def quietly() -> None:
        with suppress(psycopg.Error, OSError):
            await work

    task = asyncio.create_task(quietly())
    _ending.add(task)
    task.add_done_callback(_ending.discard)
