"""What works beside the surface in every process that serves or works: jobs, messaging, alerts, plans, integration agents, and what synchronisation passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.integration import integration_manager
from agent.jobs import Jobs
from agent.messaging import AlertCourier, Courier
from agent.optimization.rollout import RolloutWatch
from agent.orchestration.worker import PlanWorker
from agent.runtime import Runtime
from agent.sync.outlets.relay import Relay
from agent.sync.own_events import publishing


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What runs: `jobs` is None where this process takes none."""

    courier: Courier
    jobs: Jobs | None
    plans: PlanWorker


@asynccontextmanager
async def background(runtime: Runtime, *, with_jobs: bool = True) -> AsyncIterator[Background]:
    """Start everything that works in the background, and end it in order: what runs is finished or left to another process."""
    courier = Courier(runtime)
    jobs = Jobs(runtime) if with_jobs else None
    joined = await integration_manager.initialize(runtime=runtime)
    plans = PlanWorker(runtime, integration_manager.coordinator.orchestrator) if joined else PlanWorker(runtime)
    beside = (courier, AlertCourier(runtime), Relay(runtime), publishing(runtime), plans, RolloutWatch(runtime))
    if jobs is not None:
        await jobs.start()
    for one in beside:
        one.start()
    try:
        yield Background(courier=courier, jobs=jobs, plans=plans)
    finally:
        for one in reversed(beside):
            await one.stop()
        await integration_manager.shutdown(runtime=runtime)
        if jobs is not None:
            await jobs.stop()
