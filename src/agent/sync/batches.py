"""Collects what is published to a batched channel, and appends it together when there is enough of it or after its time.

Each publisher waits until its own event is stored, so nothing that was said to be published can be lost with the process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from agent.runtime import Cache, Runtime
from agent.sync.channels import Rules
from agent.sync.events import NewEvent, append
from agent.sync.records import Event
from agent.sync.wakeups import wakeups_of


@dataclass
class _Batch:
    events: list[NewEvent] = field(default_factory=list)
    stored: asyncio.Future[list[Event]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    full: asyncio.Event = field(default_factory=asyncio.Event)


class Batches:
    """The batches that one process collects, one for each channel of a tenant; they are stored in the order of their beginning."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, UUID], _Batch] = {}
        self._last: dict[tuple[str, UUID], asyncio.Task[None]] = {}

    async def add(self, key: UUID, event: NewEvent, rules: Rules, *, runtime: Runtime) -> Event:
        """Add an event to the channel's batch, and return it when the batch is stored."""
        name = (runtime.tenant_id, key)
        batch = self._open.get(name)
        if batch is None:
            batch = self._open[name] = _Batch()
            task = asyncio.create_task(self._flush(name, batch, rules, runtime, before=self._last.get(name)))
            self._last[name] = task
            task.add_done_callback(partial(self._ended, name))
        place = len(batch.events)
        batch.events.append(event)
        if len(batch.events) >= rules.batch_size:
            self._open.pop(name, None)
            batch.full.set()
        return (await asyncio.shield(batch.stored))[place]

    async def close(self) -> None:
        """Store what was collected."""
        for batch in list(self._open.values()):
            batch.full.set()
        await asyncio.gather(*self._last.values(), return_exceptions=True)

    def _ended(self, name: tuple[str, UUID], task: asyncio.Task[None]) -> None:
        if self._last.get(name) is task:
            del self._last[name]

    async def _flush(
        self,
        name: tuple[str, UUID],
        batch: _Batch,
        rules: Rules,
        runtime: Runtime,
        *,
        before: asyncio.Task[None] | None,
    ) -> None:
        try:
            async with asyncio.timeout(rules.batch_ms / 1000):
                await batch.full.wait()
        except TimeoutError:
            pass
        if self._open.get(name) is batch:
            del self._open[name]
        if before is not None:
            await asyncio.wait([before])
        try:
            batch.stored.set_result(await append(name[1], batch.events, runtime=runtime))
            wakeups_of(runtime).announce()
        except Exception as error:  # whatever it is, each publisher gets it
            batch.stored.set_exception(error)


_BATCHES: Cache[Batches] = Cache()


def batches_of(runtime: Runtime) -> Batches:
    """Return the batches of a runtime's connections."""
    known = _BATCHES.get(runtime)
    if known is None:
        known = _BATCHES.put(runtime, Batches())
        runtime.at_close.append(known.close)
    return known
