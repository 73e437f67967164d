"""Tells open pages that something has changed: `/console/live`, server-sent events.

One listener for each process is woken by the database at once when a request or its execution changes. Everything else is looked
for every two seconds, for each tenant that somebody watches; for who looks at a run of a plan (or the list of them), what happens to it
twice a second. An event holds numbers only; the page then fetches itself again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

import psycopg
import structlog
from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse
from sse_starlette.event import ServerSentEvent
from starlette.responses import Response

from agent.concurrency import end_tasks
from agent.console.rendering import ConsoleRoute
from agent.console.visits import ROOT, Visitor, needs, visit_of
from agent.db.database import connect
from agent.errors import AgentError, NotAuthenticated
from agent.operations.overview import heads
from agent.orchestration import inspection
from agent.runtime import Runtime

router = APIRouter(prefix=ROOT, route_class=ConsoleRoute)
_CHANNEL = "agents_messages"  # every change of a request and of its execution
_LOOK_SECONDS, _PLAN_SECONDS = 2.0, 0.5
_CHECK_SECONDS = 10.0
_RECONNECT_SECONDS = 2.0
_SEND_TIMEOUT = 30.0
_log = structlog.get_logger(__name__)


class LiveHub:
    """Wakes who watches. It begins to listen with the first one, and ends with the runtime."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Event] = set()
        self._listener: asyncio.Task[None] | None = None

    async def watch(self, runtime: Runtime, *, seconds: float = _LOOK_SECONDS) -> AsyncIterator[bool]:
        """Yield whenever there may be something new: True where the database said so, False where time has passed."""
        woken = asyncio.Event()
        self._watchers.add(woken)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(runtime))
            runtime.at_close.append(self._close)
        try:
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        await woken.wait()
                    woken.clear()
                    yield True
                except TimeoutError:
                    yield False
        finally:
            self._watchers.discard(woken)

    async def _close(self) -> None:
        if self._listener is not None:
            await end_tasks(self._listener)

    async def _listen(self, runtime: Runtime) -> None:
        while True:
            with suppress(AgentError, psycopg.Error):
                async with await connect(runtime.db.conninfo("agent_app")) as conn:
                    await conn.execute(f"LISTEN {_CHANNEL}")
                    self._wake()
                    async for _ in conn.notifies():
                        self._wake()
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.set()


@router.get("/live", dependencies=needs("viewer"))
async def live(request: Request, visit: Visitor, *, watch: Annotated[UUID | Literal["plans", ""], Query()] = "", seen: Annotated[str, Query(max_length=200)] = "") -> Response:  # fmt: skip
    """Say what is new, as long as the reader stays and may. `watch` names a run of a plan, or all of them, which the page shows as of `seen`."""
    look = partial(_look, watch, visit.runtime)
    return EventSourceResponse(_events(request, visit.runtime, look, seen), send_timeout=_SEND_TIMEOUT, ping=20)


async def _look(watch: UUID | Literal["plans", ""], runtime: Runtime) -> str:
    """Return a text that is another one after something happened to what is watched."""
    if watch == "":
        return ""
    return await inspection.mark(None if watch == "plans" else watch, runtime=runtime)


async def _events(request: Request, runtime: Runtime, look: Callable[[], Awaitable[str]], seen: str) -> AsyncIterator[ServerSentEvent]:  # fmt: skip
    hub: LiveHub = request.app.state.live
    leaving: asyncio.Event = request.app.state.leaving
    loop = asyncio.get_running_loop()
    now, checked = await heads(runtime=runtime), loop.time()
    yield _event("hello", now.waiting, now.alerts, now.mark)
    async for woken in hub.watch(runtime, seconds=_PLAN_SECONDS if seen else _LOOK_SECONDS):
        if leaving.is_set():
            return
        try:
            if loop.time() - checked > _CHECK_SECONDS:
                await _still_here(request)
                checked = loop.time()
            before, now = now, await heads(runtime=runtime)
            earlier, seen = seen, await look()
        except NotAuthenticated:
            yield ServerSentEvent(data="", event="over")
            return
        except AgentError as error:
            _log.info("live_waits", error=type(error).__name__)
            continue
        if woken or now.mark != before.mark or seen != earlier:
            yield _event("news", now.waiting, now.alerts, now.mark)


async def _still_here(request: Request) -> None:
    """Raise `NotAuthenticated` if who watches is not signed in any more."""
    request.state.visit = None
    await visit_of(request)


def _event(name: str, waiting: int, alerts: int, mark: str) -> ServerSentEvent:
    return ServerSentEvent(data=json.dumps({"waiting": waiting, "alerts": alerts}), event=name, id=mark)
