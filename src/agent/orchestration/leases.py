"""Keeps the plans of this process: a lease for each, renewed every second. It also learns here what was cancelled or taken over.

A process that dies renews nothing; when its leases are over, another one takes its plans (`AgentOrchestrator.recover`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog

from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.errors import AgentError
from agent.runtime import Cache, Runtime

BEAT_SECONDS = 1.0
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A plan that this process runs. `cancel` is called with the reason, `lose` when another process has taken it."""

    epoch: int
    cancel: Callable[[str], None]
    pause: Callable[[bool], None]
    lose: Callable[[], None]
    task: asyncio.Task[None]


class Leases:
    """The plans that this process runs for one tenant."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._held: dict[UUID, Held] = {}
        self._now = asyncio.Event()
        self._beat: asyncio.Task[None] | None = None

    def hold(self, run_id: UUID, held: Held) -> None:
        """Keep a plan until `drop`."""
        self._held[run_id] = held
        if self._beat is None:
            self._beat = asyncio.create_task(self._keep())

    def drop(self, run_id: UUID, epoch: int) -> None:
        """Keep a plan no longer, unless this process has taken it anew meanwhile."""
        held = self._held.get(run_id)
        if held is not None and held.epoch == epoch:
            del self._held[run_id]

    def look_now(self) -> None:
        """Look at once whether something was cancelled."""
        self._now.set()

    async def close(self) -> None:
        """Stop every plan as a crash would, and give the leases up, so that others go on at once."""
        held, self._held = dict(self._held), {}
        await end_tasks(*(one.task for one in held.values()), *([self._beat] if self._beat else []))
        if held:
            try:
                epochs = [one.epoch for one in held.values()]
                await self._runtime.execute(_QUERIES["release"], ids=list(held), epochs=epochs)
            except (AgentError, psycopg.Error) as error:  # then they are over some seconds later
                _log.warning("leases_not_released", error=str(error))

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), BEAT_SECONDS)
            self._now.clear()
            held = dict(self._held)
            if not held:
                continue
            try:
                rows = await self._runtime.all(_QUERIES["beat"], ids=list(held), lease=lease_of(self._runtime))
            except (
                AgentError,
                psycopg.Error,
            ) as error:  # the next beat tries again; rows cannot be written meanwhile either
                _log.warning("leases_wait", error=str(error))
                continue
            except Exception:  # the edge of a loop that must survive
                _log.exception("leases_failed")
                continue
            self._compare(held, {row["id"]: (row["epoch"], row["cancel_reason"], row["paused"]) for row in rows})

    def _compare(self, held: dict[UUID, Held], rows: dict[UUID, tuple[int, str | None, bool]]) -> None:
        for run_id, one in held.items():
            if self._held.get(run_id) is not one:
                continue  # it ended while the rows were read
            epoch, reason, paused = rows.get(run_id, (None, None, False))
            if epoch != one.epoch:
                one.lose()
            elif reason is not None:
                one.cancel(reason)
            else:
                one.pause(paused)


def lease_of(runtime: Runtime) -> timedelta:
    """Return for how long a plan belongs to a process that says nothing more."""
    return timedelta(seconds=runtime.settings.plan_lease_seconds)


_LEASES: Cache[Leases] = Cache()


def leases_of(runtime: Runtime) -> Leases:
    """Return the leases of the runtime's tenant in this process. They end when the runtime closes."""
    found = _LEASES.get(runtime, runtime.tenant_id)
    if found is None:
        found = _LEASES.put(runtime, Leases(runtime), runtime.tenant_id)
        runtime.at_close.append(found.close)
    return found
