"""Runs DBOS in this process: its connection, its schedules, its supervisor, and the way from its threads to our event loop.

DBOS is one instance a process and knows workflows as functions of a module, so the runtime that they act with is set here once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError
from agent.jobs.maintenance import maintain
from agent.learning.auto_discover import auto_discovery
from agent.learning.background_learner import BackgroundLearner
from agent.monitoring.continuous_monitor import continuous_monitor
from agent.runtime import SCHEDULER, Runtime

if TYPE_CHECKING:
    from dbos import DBOSConfig

_QUERIES = load_queries(__package__)
# Jobs go on across versions of the agent; a change of a workflow's steps is made with `DBOS.patch`.
_VERSION = "1"
# Each kind of work has a queue, so that a long run of one holds up no other.
_QUEUES = ("maintenance", "learning")
_SCHEMA = "agents_jobs"
_BEAT_SECONDS = 5.0
_SILENCE = timedelta(seconds=20)
_KEPT = timedelta(days=2)
_log = structlog.get_logger(__name__)


class Jobs:
    """The durable jobs of this process. One instance at a time."""

    def __init__(self, runtime: Runtime, *, maintenance: str = "0 * * * * *", learning: str = "30 * * * * *") -> None:
        self._runtime = runtime
        self._schedules = {
            "maintenance": maintenance,
            **({"learning": learning} if runtime.settings.learn_minutes else {}),
        }
        self._beat: asyncio.Task[None] | None = None
        # A reused id would strand the work of the process that had it before.
        self.executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    async def start(self) -> None:
        """Connect, make the tables where they are missing, and begin to work."""
        _Acting.runtime, _Acting.loop = self._runtime, asyncio.get_running_loop()
        await self._note_alive()
        # No row is read before the tables refuse those that bring code.
        await asyncio.to_thread(self._make_tables)
        async with self._runtime.db.connection("agent_app") as conn:
            await conn.execute(_QUERIES["no_pickle"])
        await asyncio.to_thread(self._launch)
        SCHEDULER.put(self._runtime, self)
        self._beat = asyncio.create_task(self._supervise())

    def runs(self, name: str) -> bool:
        """Return whether the work `name` is scheduled here."""
        return name in self._schedules

    async def stop(self) -> None:
        """Finish what runs, for some seconds; the rest is taken over by others."""
        from dbos import DBOS  # start-up: it imports SQLAlchemy

        SCHEDULER.pop(self._runtime)
        if self._beat is not None:
            with suppress(TimeoutError):  # the end of a process waits for no supervisor
                async with asyncio.timeout(_BEAT_SECONDS):
                    await end_tasks(self._beat)
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=5)
        with suppress(AgentError, psycopg.Error):
            await self._execute("left")
            if not await alive_workers(self._runtime):  # the last process that ends by itself is not missed
                await continuous_monitor.leave(runtime=self._runtime)

    def _make_tables(self) -> None:
        from dbos import DBOS  # start-up: it imports SQLAlchemy

        for name in ("dbos", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.WARNING)
        DBOS.migrate(_url_of(self._runtime.db.conninfo("agent_app")), schema=_SCHEMA)

    def _launch(self) -> None:
        from dbos import DBOS  # start-up: it imports SQLAlchemy

        DBOS(config=self._config())
        workflows = _registered()
        DBOS.launch()
        for queue in _QUEUES:
            DBOS.register_queue(queue, worker_concurrency=2)
        DBOS.apply_schedules(
            [
                {
                    "schedule_name": name, "workflow_fn": workflows[name], "schedule": schedule,
                    "queue_name": name, "context": None,
                }
                for name, schedule in self._schedules.items()
            ]
        )  # fmt: skip

    def _config(self) -> DBOSConfig:
        from dbos import DBOSPortableJSONSerializer  # start-up: it imports SQLAlchemy

        return {
            "name": "learning-agent", "system_database_url": _url_of(self._runtime.db.conninfo("agent_app")),
            "dbos_system_schema": _SCHEMA, "application_version": _VERSION, "executor_id": self.executor_id,
            "serializer": DBOSPortableJSONSerializer(), "sys_db_pool_size": 4, "enable_otlp": False, "log_level": "WARNING",
            "scheduler_polling_interval_sec": 5.0, "run_migrations": False,
            "use_listen_notify": False,  # nothing here waits for its messages, and its listener ends 10 s late
        }  # fmt: skip

    async def _supervise(self) -> None:
        """Say that this process lives, and take over the jobs of those that are silent."""
        while True:
            try:
                await self._note_alive()
                await self._take_over()
            except (AgentError, psycopg.Error) as error:
                _log.warning("supervisor_waits", error=str(error))
            except Exception:  # DBOS raises its own errors and SQLAlchemy's; the next beat tries again
                _log.exception("supervisor_failed")
            await asyncio.sleep(_BEAT_SECONDS)

    async def _take_over(self) -> None:
        from dbos import DBOS  # start-up: it imports SQLAlchemy

        # One process at a time, or a second one would begin anew what the first one has taken over and runs.
        async with self._runtime.db.connection("agent_app") as conn, conn.transaction():
            supervisor = await fetch_one(conn, _QUERIES["be_supervisor"])
            if not (supervisor and supervisor["one"]):
                return
            alive = {row["executor_id"] for row in await fetch_all(conn, _QUERIES["alive"], {"silence": _SILENCE})}
            # Not DBOS's own async calls: they would give our event loop their threads, which end with them.
            pending = await asyncio.to_thread(
                DBOS.list_workflows, status="PENDING", load_input=False, load_output=False
            )
            for queue in _QUEUES:
                left = [job.workflow_id for job in pending if job.executor_id not in alive and job.name == queue]
                if left:
                    _log.warning("jobs_taken_over", count=len(left))
                    await asyncio.to_thread(DBOS.resume_workflows, left, queue_name=queue)
            await conn.execute(_QUERIES["forget_dead"])

    async def _note_alive(self) -> None:
        await self._execute("seen")

    async def _execute(self, query: str) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            await conn.execute(_QUERIES[query], {"executor_id": self.executor_id, "host": socket.gethostname()})


async def alive_workers(runtime: Runtime) -> list[dict[str, Any]]:
    """Return the processes that run jobs and were seen a short time ago."""
    async with runtime.db.connection("agent_app") as conn:
        return await fetch_all(conn, _QUERIES["alive"], {"silence": _SILENCE})


class _Acting:
    """What workflows act with: they are functions of this module, which DBOS calls in its own threads."""

    runtime: Runtime
    loop: asyncio.AbstractEventLoop


def _in_our_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` in the event loop that has the connections, and wait for it in this thread."""
    return asyncio.run_coroutine_threadsafe(work, _Acting.loop).result()


def _registered() -> dict[str, Any]:
    """Register the workflows with DBOS, which must exist first, and return them by the names of their schedules."""
    from dbos import DBOS  # start-up: it imports SQLAlchemy

    @DBOS.step(name="tenants")
    def tenants() -> list[str]:
        return list(_in_our_loop(_tenants()))

    @DBOS.step(name="maintain_tenant")
    def maintain_tenant(tenant_id: str) -> None:
        _in_our_loop(_maintain(tenant_id))

    @DBOS.step(name="forget_finished")
    def forget_finished() -> None:
        _forget_finished()

    @DBOS.workflow(name="maintenance")
    def maintenance(scheduled: datetime, context: Any) -> None:
        del scheduled, context
        for tenant_id in tenants():
            maintain_tenant(tenant_id)
        forget_finished()

    @DBOS.step(name="learn_tenant")
    def learn_tenant(tenant_id: str) -> None:
        _in_our_loop(_learn(tenant_id))

    @DBOS.workflow(name="learning")
    def learning(scheduled: datetime, context: Any) -> None:
        del scheduled, context
        for tenant_id in tenants():
            learn_tenant(tenant_id)

    return {"maintenance": maintenance, "learning": learning}


async def _tenants() -> list[str]:
    async with _Acting.runtime.db.connection("agent_app") as conn:
        return [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]


async def _maintain(tenant_id: str) -> None:
    try:
        await maintain(tenant_id, _Acting.runtime)
    except (AgentError, psycopg.Error) as error:  # the next tick tries again, and other tenants need not wait
        _log.warning("maintenance_failed", tenant_id=tenant_id, error=str(error))


async def _learn(tenant_id: str) -> None:
    runtime = _Acting.runtime.for_tenant(tenant_id)
    learner = BackgroundLearner(interval_hours=runtime.settings.learn_minutes / 60)
    try:
        await auto_discovery.refresh_if_changed(runtime=runtime)
        await learner.run_if_due(runtime=runtime)
    except (AgentError, psycopg.Error) as error:  # the run's row says it, too; the next tick looks again
        _log.warning("learning_failed", tenant_id=tenant_id, error=str(error))


async def _forget_dead() -> None:
    async with _Acting.runtime.db.connection("agent_app") as conn:
        await conn.execute(_QUERIES["forget_dead"])


def _forget_finished() -> None:
    """Delete jobs that ended some days ago, which DBOS keeps for ever, and processes that died long ago."""
    from dbos import DBOS  # start-up: it imports SQLAlchemy

    _in_our_loop(_forget_dead())
    before = (datetime.now().astimezone() - _KEPT).isoformat()
    old = DBOS.list_workflows(
        status=["SUCCESS", "ERROR", "CANCELLED"],
        completed_before=before,
        limit=1000,
        load_input=False,
        load_output=False,
    )
    if old:
        DBOS.delete_workflows([job.workflow_id for job in old], delete_children=True)


def _url_of(conninfo: str) -> str:
    """Return a connection string as the URL that SQLAlchemy understands."""
    parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    user, password = parts.pop("user", ""), parts.pop("password", "")
    database = parts.pop("dbname", "postgres")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
    return f"postgresql://{login}@/{quote(database, safe='')}?{urlencode(parts)}"
