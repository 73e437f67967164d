"""The continuous monitor: runs by itself every few minutes, in a script as well as in `agent serve`.

    from agent.monitoring.continuous_monitor import continuous_monitor
    await continuous_monitor.start()

In `agent serve` and `agent worker` the durable jobs call it, so that of any number of processes one does each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

import psycopg
import structlog

from agent.db import load_queries
from agent.errors import AgentError, InvalidInput
from agent.monitoring.checks.registry import CHECKS
from agent.monitoring.cycle import Cycle, is_cancelled, recent_runs, run_cycle
from agent.monitoring.records import AlertDict, Check, MonitorRun
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__)
_MISSED_RUNS = 3
_GRACE = timedelta(minutes=2)
_STOP_SECONDS = 5.0
_log = structlog.get_logger(__name__)

Receiver = Callable[[list[AlertDict]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorHealth:
    """When the monitor ran last, and what is wrong with that ('' for nothing)."""

    last_run: datetime | None
    every: timedelta | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A loop that `start` began, and the event that ends it."""

    task: asyncio.Task[None]
    stopping: asyncio.Event


class ContinuousMonitor:
    """Watches the application and the agent, every `interval_minutes`. It holds no connection."""

    def __init__(self, interval_minutes: float = 5, *, checks: Sequence[Check] = CHECKS) -> None:
        if not 0 < interval_minutes <= 1_440:
            raise InvalidInput("The monitor runs every 0 to 1440 minutes: give `interval_minutes` such a number.")
        self._every = timedelta(minutes=interval_minutes)
        self._checks = checks
        self._receivers: list[Receiver] = []
        self._tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Running] = WeakKeyDictionary()

    def on_alerts(self, receiver: Receiver) -> None:
        """Call `receiver` with the alerts that each run of this object opens: dictionaries with `message` and `severity`."""
        self._receivers.append(receiver)

    async def start(self, *, runtime: Runtime | None = None) -> None:
        """Begin to watch, and return at once. The second call in an event loop has no effect."""
        loop = asyncio.get_running_loop()
        running = self._tasks.get(loop)
        if running is None or running.task.done():
            runtime, stopping = runtime or await current_runtime(), asyncio.Event()
            self._tasks[loop] = _Running(task=loop.create_task(self._run(runtime, stopping)), stopping=stopping)

    async def stop(self, *, runtime: Runtime | None = None) -> None:
        """End what `start` began; the monitor is then not missed."""
        running = self._tasks.pop(asyncio.get_running_loop(), None)
        if running is None:
            return
        running.stopping.set()
        _, late = await asyncio.wait({running.task}, timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        await self.leave(runtime=runtime or await current_runtime())

    async def leave(self, *, runtime: Runtime) -> None:
        """Note that nobody is to watch any more, so that nobody is missed."""
        await runtime.execute(_QUERIES["leave"], database_id=runtime.database_id)

    async def run_once(self, *, runtime: Runtime | None = None) -> MonitorRun:
        """Look once, now. While another monitor runs, nothing is done, and the run's status is 'skipped'."""
        return (await self._cycle(runtime or await current_runtime(), every=None, least=timedelta())).run

    async def run_scheduled(self, every: timedelta, *, runtime: Runtime) -> MonitorRun:
        """Look if nobody has done so for most of `every`. Schedulers call this."""
        return (await self._cycle(runtime, every=every, least=every * 0.8)).run

    async def runs(self, limit: int = 20, *, runtime: Runtime | None = None) -> list[MonitorRun]:
        """Return the newest runs."""
        return await recent_runs(limit, runtime=runtime or await current_runtime())

    async def health(self, *, runtime: Runtime | None = None) -> MonitorHealth:
        """Return whether the monitor runs as often as it should."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["health"], database_id=runtime.database_id, grace=_GRACE)
        if row is None:
            return MonitorHealth(last_run=None, every=None)
        configured = timedelta(minutes=runtime.settings.monitor_minutes)
        every = row["every"] or (configured if row["expected"] and configured else None)
        return MonitorHealth(last_run=row["last"], every=every, problem=_problem(row["last"], every, row["now"]))

    async def _cycle(self, runtime: Runtime, *, every: timedelta | None, least: timedelta) -> Cycle:
        cycle = await run_cycle(self._checks, runtime=runtime, every=every, least=least)
        if cycle.opened:
            for receiver in self._receivers:
                try:
                    await receiver([alert.as_dict() for alert in cycle.opened])
                except Exception:  # somebody else's code must not end the monitor
                    _log.exception("alert_receiver_failed")
        return cycle

    async def _run(self, runtime: Runtime, stopping: asyncio.Event) -> None:
        """Look at once and then again and again. A database that is away is waited for; the clock of the wall plays no part.

        The driver turns a cancellation into an error of the statement, so that it must be asked for.
        """
        while not (stopping.is_set() or is_cancelled()):
            try:
                await self._cycle(runtime, every=self._every, least=self._every * 0.5)
            except (AgentError, psycopg.Error) as error:
                _log.warning("monitor_waits", error=str(error))
            except Exception:  # the edge of a loop that must survive
                _log.exception("monitor_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._every.total_seconds())


def _problem(last: datetime | None, every: timedelta | None, now: datetime) -> str:
    """Say that the monitor has stopped, if it has; '' if it runs or nobody expects it to."""
    if every is None or (last is not None and now - last <= max(every * _MISSED_RUNS, _GRACE)):
        return ""
    since = "has not finished a run yet" if last is None else f"has not run since {last:%Y-%m-%d %H:%M} UTC"
    return f"The monitor should run every {every.total_seconds() / 60:g} minutes and {since}: nobody watches. Start"


continuous_monitor = ContinuousMonitor()
