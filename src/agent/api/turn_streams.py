"""Runs turns apart from the connections that watch them, so that a client can leave, come back and read on.

Each turn's events are numbered and kept while it runs and for some time after. `Last-Event-ID` names the thread's stream and
the last number that a client has seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import uuid4

import structlog

from agent.chat import ChatEvent, chat
from agent.concurrency import end_tasks
from agent.errors import AgentError, ProcessEnds, TurnStopped
from agent.runtime import Runtime

_KEEP_SECONDS = 120.0
_MOST_EVENTS = 20_000
_FINISH_SECONDS = 5.0
_FREE_SECONDS = 5.0  # longer than a run needs to free its thread
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class TurnStream:
    """The events of one turn so far. `error` is what ended it early; `done` says that no more come.

    `at_stop` is the error of a turn whose task is cancelled.
    """

    owner: str
    thread_id: str
    id: str = field(default_factory=lambda: uuid4().hex)
    events: list[ChatEvent] = field(default_factory=list)
    dropped: int = 0
    error: AgentError | None = None
    at_stop: AgentError = field(default_factory=TurnStopped)
    done: bool = False
    ended_at: float | None = None
    task: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: ChatEvent) -> None:
        """Add an event and wake who waits for it; the oldest events go when there are too many."""
        self.events.append(event)
        if len(self.events) > _MOST_EVENTS:
            del self.events[: _MOST_EVENTS // 2]
            self.dropped += _MOST_EVENTS // 2
        self._wake()

    def finish(self, error: AgentError | None = None) -> None:
        """Say that no more events come."""
        self.error, self.done, self.ended_at = error, True, time.monotonic()
        self._wake()

    async def read(self, after: int = 0, *, pause: float | None = None) -> AsyncIterator[tuple[int, ChatEvent | None]]:
        """Yield the events after number `after`, with their numbers, until the turn ends. Raises the turn's error.

        Where nothing comes for `pause` seconds, yield None instead of an event.
        """
        while True:
            changed = self._changed
            while (place := max(after - self.dropped, 0)) < len(self.events):
                after = self.dropped + place + 1
                yield after, self.events[place]
            if self.done:
                break
            if changed is self._changed and not await _is_set(changed, pause):
                yield after, None
        if self.error is not None:
            raise self.error

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class TurnStreams:
    """The turns that this process runs, and those that ended a short time ago."""

    def __init__(self) -> None:
        self._streams: dict[str, TurnStream] = {}
        self._leaving = False

    def start(self, owner: str, thread_id: str, events: Callable[[], AsyncIterator[ChatEvent]]) -> TurnStream:
        """Run a turn in a task of its own, and return its stream. Raises `ProcessEnds` after `leave`."""
        if self._leaving:
            raise ProcessEnds
        self._forget_old()
        stream = TurnStream(owner=owner, thread_id=thread_id)
        stream.task = asyncio.create_task(_fill(stream, events()))
        self._streams[stream.id] = stream
        return stream

    def get(self, stream_id: str, *, owner: str) -> TurnStream | None:
        """Return a stream of `owner`, or None."""
        stream = self._streams.get(stream_id)
        return stream if stream is not None and stream.owner == owner else None

    def running(self, thread_id: str, *, owner: str) -> TurnStream | None:
        """Return the stream of the turn that runs on a thread of `owner` in this process, or None."""
        return next(
            (s for s in self._streams.values() if s.owner == owner and s.thread_id == thread_id and not s.done), None
        )

    async def cancel(self, stream: TurnStream) -> None:
        """Stop a turn. Its thread is free afterwards."""
        if stream.task is not None:
            await end_tasks(stream.task, again=_FREE_SECONDS)

    async def leave(self, runtime: Runtime) -> None:
        """Begin no more turns, give those that run some seconds, and hand the others over to another process."""
        self._leaving = True
        running = {stream.task: stream for stream in self._streams.values() if stream.task and not stream.done}
        if not running:
            return
        _, pending = await asyncio.wait(running, timeout=_FINISH_SECONDS)
        with chat.handing_over(runtime):
            for task in pending:
                stream = running[task]
                stream.at_stop = ProcessEnds(
                    f"This process ends, and another one goes on with the turn: read thread {stream.thread_id!r} in a moment."
                )
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key in [k for k, s in self._streams.items() if s.ended_at is not None and now - s.ended_at > _KEEP_SECONDS]:
            del self._streams[key]


async def _is_set(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, at most for `seconds`, and return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def _fill(stream: TurnStream, events: AsyncIterator[ChatEvent]) -> None:
    error: AgentError | None = None
    try:
        async for event in events:
            stream.add(event)
    except AgentError as failure:
        error = failure
    except asyncio.CancelledError:
        error = stream.at_stop
        await _close(events)
        raise
    except Exception:  # the edge of a task: whoever reads the stream must be told
        _log.exception("turn_crashed", thread_id=stream.thread_id)
        error = AgentError("This is a fault of the server; its log says more.")
    finally:
        stream.finish(error)


async def _close(events: AsyncIterator[ChatEvent]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await asyncio.shield(close())
