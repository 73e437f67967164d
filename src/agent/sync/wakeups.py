"""Wakes readers after events have committed: in this process at once, in others by one notification for all that is new.

NOTIFY makes all commits of a database wait for each other. So the first event after a pause carries the notification in its own
transaction, and what follows within some milliseconds is told of together, apart from the publishing transactions.
It can get lost with its process, so every reader also looks from time to time.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import psycopg
import structlog

from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.database import connect
from agent.errors import AgentError
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)
_CHANNEL = "agents_sync"
_RECONNECT_SECONDS = 1.0
_READ_AT_ONCE = 4
_PAUSE_SECONDS = 0.025
_log = structlog.get_logger(__name__)


class Wakeups:
    """The wake-ups of one process's connections."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        # A thousand readers that are woken together wait here in their order, and leave connections to everybody else.
        self.turns = asyncio.Semaphore(_READ_AT_ONCE)
        self._waiting: set[asyncio.Event] = set()
        self._dirty = False
        self._told_at = 0.0
        self._sender: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    def may_wake(self) -> bool:
        """Return whether the next event is to carry the notification itself: nobody was told anything just now."""
        now = time.monotonic()
        if self._dirty or now - self._told_at < _PAUSE_SECONDS:
            return False
        self._told_at = now
        return True

    def announce(self, *, told: bool = False) -> None:
        """Say that events have committed. Unless other processes were `told`, the notification follows; many are one."""
        self._wake()
        if told:
            return
        self._dirty = True
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until something is new, or for `seconds`. `event` came from `watch`."""
        # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        event.clear()

    def watch(self) -> asyncio.Event:
        """Return an event that is set when something is new, until `unwatch`."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Forget an event of `watch`."""
        self._waiting.discard(event)

    async def close(self) -> None:
        """Send what is due, and end."""
        if self._sender is not None:
            with suppress(asyncio.CancelledError):
                await self._sender
        if self._listener is not None:
            await end_tasks(self._listener)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def _send(self) -> None:
        while self._dirty:
            # What comes meanwhile goes with it.
            await asyncio.sleep(max(0.0, self._told_at + _PAUSE_SECONDS - time.monotonic()))
            self._dirty, self._told_at = False, time.monotonic()
            try:
                async with self._runtime.connection() as conn:  # of whatever tenant: one that is set is not set again
                    await conn.execute(_QUERIES["notify"], {"channel": _CHANNEL})
            except (AgentError, psycopg.Error) as error:  # readers look by themselves
                _log.info("sync_notification_lost", error=type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                async with await connect(self._runtime.db.conninfo("agent_app")) as conn:
                    await conn.execute(f"LISTEN {_CHANNEL}")
                    self._wake()
                    async for _ in conn.notifies():
                        self._wake()
            except (AgentError, psycopg.Error) as error:
                _log.info("sync_listens_again", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)


_WAKEUPS: Cache[Wakeups] = Cache()


def wakeups_of(runtime: Runtime) -> Wakeups:
    """Return the wake-ups of a runtime's connections; those of every tenant are the same."""
    known = _WAKEUPS.get(runtime)
    if known is None:
        known = _WAKEUPS.put(runtime, Wakeups(runtime))
        runtime.at_close.append(known.close)
    return known
