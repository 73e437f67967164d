"""`/api/monitoring`: whether the monitor runs, how its last runs went, and a run at once."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.monitoring import alerts
from agent.monitoring.continuous_monitor import MonitorHealth, continuous_monitor
from agent.monitoring.records import MonitorRun

router = APIRouter(prefix="/api/monitoring", tags=["monitoring"], route_class=IdempotentRoute)


class Monitoring(BaseModel):
    """Whether the monitor runs, how its last runs went, how many alerts are open, and the worst severity of them."""

    health: MonitorHealth
    runs: list[MonitorRun]
    open_alerts: int
    worst: str


@router.get("", **needs("viewer"))
async def get_monitoring(runtime: Acting) -> Monitoring:
    """Return how the monitor does."""
    found = await alerts.list_alerts(limit=1_000, runtime=runtime)
    return Monitoring(
        health=await continuous_monitor.health(runtime=runtime), runs=await continuous_monitor.runs(runtime=runtime),
        open_alerts=len(found), worst=alerts.worst(found),
    )  # fmt: skip


@router.post("/runs", **needs("operator"))
async def run_now(runtime: Acting) -> MonitorRun:
    """Look once, now. While another monitor looks, nothing is done, and the status is `skipped`."""
    return await continuous_monitor.run_once(runtime=runtime)
