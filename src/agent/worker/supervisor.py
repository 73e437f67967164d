"""Runs as many worker processes as the waiting work needs: `agent worker --autoscale`.

A process says on its standard output that it works. On its standard input it is told to drain: it takes nothing more, and ends when what
it holds is done. Where that input ends, also because this process was killed, it ends at once and hands over what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import psycopg
import structlog

import agent.orchestration.store as plans
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.database import POOL_SIZES
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError
from agent.runtime import Runtime
from agent.worker.scaling import Bounds, Load, affordable, looked
from agent.worker.supervised import DRAIN

_QUERIES = load_queries(__package__)
_LOOK_SECONDS = 2.0
_END_SECONDS = 20.0
_FIRST_PAUSE, _LAST_PAUSE = 1.0, 30.0
# The most connections of a worker: its pools, those of its scheduled jobs, and those that listen.
CONNECTIONS = sum(POOL_SIZES.values()) + 8
Kind = Literal["started", "working", "drains", "ended", "died", "bounded"]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something changed: a process (`pid`) started, works, drains, ended or died; or the server has connections for `processes` only."""

    kind: Kind
    processes: int
    waiting: int
    pid: int | None = None


class _Child:
    """A worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.works = self.drains = False

    def drain(self) -> None:
        """Let it take nothing more."""
        self.drains = True
        if self.process.stdin is not None:
            self.process.stdin.write(DRAIN)

    async def end(self) -> None:
        """Let it hand over what it holds, and wait until it has ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


class Supervisor:
    """Keeps worker processes until it is stopped. `command` runs one; `tell` is called with each change."""

    def __init__(
        self,
        command: Sequence[str],
        bounds: Bounds,
        *,
        runtime: Runtime,
        tell: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self._command, self._bounds, self._runtime, self._tell = tuple(command), bounds, runtime, tell
        self._children: list[_Child] = []
        self._watching: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._load, self._waiting = Load(), 0
        self._deaths, self._not_before = 0, 0.0

    async def run(self) -> None:
        """Work until `stop`; then every process has ended."""
        limit, others = await self._connections()
        most = affordable(most=self._bounds.most, limit=limit, others=others, each=CONNECTIONS)
        bounds = Bounds(
            least=min(self._bounds.least, most), most=most, waiting=self._bounds.waiting, quiet_seconds=self._bounds.quiet_seconds
        )  # fmt: skip
        if most < self._bounds.most:
            self._say("bounded", processes=most)
        wanted = bounds.least
        try:
            while not self._stopped.is_set():
                await self._keep(wanted, most)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), _LOOK_SECONDS)
                wanted = await self._look(wanted, bounds)
        finally:
            await asyncio.gather(*(child.end() for child in self._children))
            await end_tasks(*self._watching)

    def stop(self) -> None:
        """End every process, and then `run`."""
        self._stopped.set()

    async def _look(self, wanted: int, bounds: Bounds) -> int:
        """Return how many processes there should be. A database that is away changes nothing."""
        try:
            self._waiting = await self._count_waiting()
            self._load, after = looked(self._load, bounds, processes=wanted, waiting=self._waiting, now=monotonic())
            if after > wanted:
                limit, held = await self._connections()
                if limit - held < CONNECTIONS:  # others took them meanwhile
                    return wanted
        except (AgentError, psycopg.Error) as error:
            _log.warning("autoscale_waits_for_database", error=str(error))
            return wanted
        return after

    async def _keep(self, wanted: int, most: int) -> None:
        """Start processes until there are `wanted`, or drain the newest. One that drains still has its connections."""
        active = [child for child in self._children if not child.drains]
        for child in active[wanted:]:
            child.drain()
            self._say("drains", pid=child.process.pid)
        room = min(wanted - len(active), most - len(self._children))
        if room > 0 and monotonic() >= self._not_before:
            for _ in range(room):
                await self._begin()

    async def _begin(self) -> None:
        pipe = asyncio.subprocess.PIPE
        # A session of its own: Ctrl-C reaches this process only, which ends the others.
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, start_new_session=True)
        child = _Child(process)
        self._children.append(child)
        self._say("started", pid=process.pid)
        task = asyncio.create_task(self._watch(child))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, child: _Child) -> None:
        """Note that a process works, and how it ended. One that ends unasked is replaced, after growing pauses if none works."""
        assert child.process.stdout is not None  # noqa: S101  # it is a pipe
        while await child.process.stdout.readline():
            if not child.works:
                child.works, self._deaths = True, 0
                self._say("working", pid=child.process.pid)
        await child.process.wait()
        self._children.remove(child)
        if child.drains or self._stopped.is_set():
            self._say("ended", pid=child.process.pid)
            return
        if not child.works:
            self._not_before = monotonic() + min(_FIRST_PAUSE * 2 ** min(self._deaths, 10), _LAST_PAUSE)
            self._deaths += 1
        _log.warning("worker_process_died", pid=child.process.pid, code=child.process.returncode)
        self._say("died", pid=child.process.pid)

    async def _count_waiting(self) -> int:
        """Return how many turns, actions, plans and jobs nobody works on."""
        async with self._runtime.db.connection("agent_app") as conn:
            row = await fetch_one(conn, _QUERIES["waiting"])
            tenants = [one["tenant_id"] for one in await fetch_all(conn, _QUERIES["tenants"])]
            try:
                jobs = await fetch_one(conn, _QUERIES["waiting_jobs"])
            except psycopg.errors.UndefinedTable:  # no process has run jobs yet
                jobs = None
        found: int = sum(part["waiting"] for part in (row, jobs) if part)
        return found + sum([len(await plans.lapsed(runtime=self._runtime.for_tenant(tenant))) for tenant in tenants])

    async def _connections(self) -> tuple[int, int]:
        """Return how many connections the server has for us and others, and how many are in use."""
        async with self._runtime.db.connection("agent_app") as conn:
            row = await fetch_one(conn, _QUERIES["connections"])
        return (row["most"], row["used"]) if row else (0, 0)

    def _say(self, kind: Kind, *, pid: int | None = None, processes: int | None = None) -> None:
        count = len([child for child in self._children if not child.drains]) if processes is None else processes
        self._tell(Change(kind=kind, processes=count, waiting=self._waiting, pid=pid))
