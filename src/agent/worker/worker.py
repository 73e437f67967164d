"""The worker: it takes due work from `agents.open_work`, whoever left it there, and goes on with it.

A notification wakes it and a poll is the backstop. A piece of work that is taken moves into the future; if its worker dies,
another one finds it due again. What makes an action happen once is its own row, not the worker: two workers at the same work
cannot repeat it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog

from agent.chat import chat
from agent.concurrency import background, end_tasks
from agent.db import load_queries
from agent.db.database import connect
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError, AgentStopped, InvalidInput, NotFound, OperatorError, ThreadBusy
from agent.execution.controls import controls
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.runtime import Runtime
from agent.worker.server_threads import resume_on_server

_QUERIES = load_queries(__package__)
_CHANNEL = "agents_open_work"
_HOLD = timedelta(seconds=20)
_RENEW_SECONDS = 6.0
_POLL_SECONDS = 5.0
_BUSY = timedelta(seconds=5)
_LATER = timedelta(seconds=15)
_MOST_ATTEMPTS = 8
_RECONNECT_SECONDS = 2.0
_AFTER_LEASE_SECONDS = 0.2
_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Work:
    """A piece of work that this worker holds until `held_until`, which each renewal moves."""

    tenant_id: str
    kind: str
    subject: str
    attempts: int
    held_until: datetime

    @property
    def key(self) -> dict[str, Any]:
        return {"tenant": self.tenant_id, "kind": self.kind, "subject": self.subject}


class _Held(Exception):
    """Another run holds the thread, for `seconds` if its process is dead."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Worker:
    """Works until it is stopped. `runtime` gives the connections; each piece of work runs for its own tenant and asker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = self._draining = False

    async def run(self) -> None:
        """Work until `stop` or `drain`. A database that is away is waited for."""
        listener = asyncio.create_task(self._listen())
        try:
            while not self._stopping:
                self._wake.clear()
                pause = await self._step()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), timeout=pause)
        finally:
            await end_tasks(listener)
            await self._finish()

    def stop(self) -> None:
        """Take no more work; `run` returns when what is held is finished, or is handed over after a few seconds."""
        self._stopping, self._draining = True, False
        self._wake.set()

    def drain(self) -> None:
        """Take no more work; `run` returns when what is held is finished, however long that takes. `stop` cuts it short."""
        self._stopping = self._draining = True
        self._wake.set()

    async def _step(self) -> float:
        """Begin what is due and fits, and return the seconds until the next look."""
        free = self._runtime.settings.worker_slots - len(self._tasks)
        if free <= 0:
            return _POLL_SECONDS
        try:
            async with self._runtime.db.connection("agent_app") as conn:
                rows = await fetch_all(conn, _QUERIES["take_work"], {"hold": _HOLD, "slots": free})
                due = await fetch_one(conn, _QUERIES["next_work"])
        except (AgentError, psycopg.Error) as error:
            _log.warning("worker_waits_for_database", error=str(error))
            return _RECONNECT_SECONDS
        for row in rows:
            held = row.pop("ready_at")
            task = asyncio.create_task(self._work(Work(**row, held_until=held)))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        seconds = due["seconds"] if due else None
        return _POLL_SECONDS if seconds is None else min(max(seconds, 0.05), _POLL_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _work(self, work: Work) -> None:
        renewal = asyncio.create_task(self._renew(work))
        wait: timedelta | None = None
        try:
            await self._carry_on(work)
        except _Held as held:
            wait = timedelta(seconds=held.seconds + _AFTER_LEASE_SECONDS)
        except (AgentStopped, ThreadBusy) as error:
            _log.info("work_waits", kind=work.kind, subject=work.subject, reason=type(error).__name__)
            wait = _BUSY
        except (NotFound, InvalidInput) as error:  # nothing to go on with, or not in this database
            _log.info("work_dropped", kind=work.kind, subject=work.subject, error=str(error))
        except (AgentError, psycopg.Error) as error:
            _log.warning("work_failed", kind=work.kind, subject=work.subject, error=str(error))
            wait = _LATER if work.attempts < _MOST_ATTEMPTS or isinstance(error, OperatorError) else None
        except asyncio.CancelledError:  # this process ends: another worker goes on at once
            await asyncio.shield(self._settle(work, timedelta()))
            raise
        except Exception:  # the edge of a task: one piece of work must not stop the worker
            _log.exception("work_crashed", kind=work.kind, subject=work.subject)
            wait = _LATER if work.attempts < _MOST_ATTEMPTS else None
        finally:
            background(end_tasks(renewal), self._ending)
        await self._settle(work, wait)

    async def _carry_on(self, work: Work) -> None:
        runtime = self._runtime.for_tenant(work.tenant_id)
        switches = await controls.state(runtime=runtime)
        if switches.stopped or (switches.read_only and await self._would_write(work, runtime)):
            raise AgentStopped
        if work.kind == "approval":
            await safe_executor.execute_one_left_over(int(work.subject), runtime=runtime)
            return
        thread = await runtime.one(_QUERIES["thread"], thread_id=work.subject)
        if thread is None:
            raise NotFound(f"There is no thread {work.subject!r}.")
        if thread["held_seconds"]:
            raise _Held(thread["held_seconds"])
        if not await resume_on_server(work.subject, runtime=runtime):
            async for _ in chat.resume(work.subject, runtime=runtime):
                pass
        _log.info("turn_went_on", thread_id=work.subject, attempts=work.attempts)

    async def _would_write(self, work: Work, runtime: Runtime) -> bool:
        """Return whether the work carries out something that is approved."""
        if work.kind == "approval":
            return True
        return any(one.thread_id == work.subject for one in await approvals.approved_waiting(runtime=runtime))

    async def _renew(self, work: Work) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            row = await self._execute("hold_work", {**work.key, "hold": _HOLD, "held_until": work.held_until})
            work.held_until = row["ready_at"] if row else work.held_until

    async def _settle(self, work: Work, wait: timedelta | None) -> None:
        if wait is not None:
            await self._execute("postpone_work", {**work.key, "wait": wait})
        else:
            await self._execute("finish_work", {**work.key, "held_until": work.held_until})

    async def _execute(self, query: str, values: dict[str, Any]) -> dict[str, Any] | None:
        try:
            async with self._runtime.db.connection("agent_app") as conn:
                return await fetch_one(conn, _QUERIES[query], values)
        except (AgentError, psycopg.Error) as error:  # the work is due again by itself
            _log.warning("work_not_noted", query=query, error=str(error))
            return None

    async def _listen(self) -> None:
        """Wake this worker at each notification. While there is no connection, the poll finds the work."""
        while True:
            try:
                conn = await connect(self._runtime.db.conninfo("agent_app"))
                async with conn:
                    await conn.execute(f"LISTEN {_CHANNEL}")
                    self._wake.set()
                    async for _ in conn.notifies():
                        self._wake.set()
            except (AgentError, psycopg.Error) as error:
                _log.info("worker_listens_again", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _finish(self) -> None:
        """Give what is held some seconds, or in a drain all that it needs; what is not finished then is handed over."""
        while self._draining and self._tasks:  # whatever ends wakes it, and `stop` does
            self._wake.clear()
            await self._wake.wait()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=_BUSY.total_seconds())
            with chat.handing_over(self._runtime):
                for task in pending:
                    task.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
