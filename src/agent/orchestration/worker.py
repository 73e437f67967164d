"""Runs plans that were sent over HTTP or left by processes that died, and publishes events, in every process that serves or works.

It looks every second, and takes a plan only if its agents are known here. An agent acts for who asked for the plan, and shows them no
personal values: with which rights they asked, the row does not say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

import agent.orchestration.store as store
from agent import circuits
from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.orchestration.channel import MOST_TOGETHER, publish
from agent.orchestration.orchestrator import AgentOrchestrator
from agent.orchestration.schedules import begin_due
from agent.orchestration.sessions import end_idle
from agent.orchestration.standard import standard_orchestrator
from agent.repeating import Repeating
from agent.runtime import Runtime

_LOOK_SECONDS = 1.0
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


class PlanWorker:
    """Takes plans of every tenant until it is stopped."""

    def __init__(self, runtime: Runtime, build: Callable[[Runtime], AgentOrchestrator] = standard_orchestrator) -> None:
        self._runtime = runtime
        self._build = build
        self._running: set[asyncio.Task[None]] = set()
        self._repeating = Repeating("plan_worker", self._look, seconds=_LOOK_SECONDS)

    def start(self) -> None:
        """Begin to take plans."""
        self._repeating.start()

    async def stop(self) -> None:
        """Take no more. What runs is given up when the runtime closes, and another process goes on with it."""
        await self._repeating.stop()

    async def finish(self) -> None:
        """Wait until what was taken has ended; `stop` comes before it."""
        while self._running:
            await asyncio.wait(self._running)

    async def _look(self) -> None:
        """Publish what is new, and take what nobody runs, of each tenant."""
        async with self._runtime.db.connection("agent_app") as conn:
            tenants = [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]
        for tenant in tenants:
            runtime = self._runtime.for_tenant(tenant)
            while await publish(runtime=runtime) == MOST_TOGETHER:
                pass
            for run_id, asked_by in await store.lapsed(runtime=runtime):
                if len(self._running) >= self._runtime.settings.plan_slots:
                    return
                acting = self._runtime.for_tenant(tenant, user=asked_by, masked=True)
                task = await self._build(acting).take(run_id)
                if task is not None:
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)


async def upkeep(*, runtime: Runtime) -> None:
    """Begin plans whose time has come, forget what ended long ago, and end sessions that nobody uses."""
    await begin_due(runtime=runtime)
    await circuits.forget_old(days=runtime.settings.plan_days, runtime=runtime)
    await store.forget_old(days=runtime.settings.plan_days, runtime=runtime)
    await end_idle(runtime=runtime)
