"""`/api/v1/integration`: the integration agents, how they are, and what they can be asked to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

import agent.integration.service as service
from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute

router = APIRouter(prefix="/api/v1/integration", tags=["integration"], route_class=IdempotentRoute)


class Agents(BaseModel):
    """The agents by name."""

    agents: dict[str, service.AgentDescription]


class AllMetrics(BaseModel):
    """What each agent did for your tenant."""

    timestamp: datetime
    agents: dict[str, service.AgentMetrics]


class HealthCheck(BaseModel):
    """What to check: basic (the agents), deep (their platforms too), or metrics (their figures beside)."""

    level: service.HealthLevel = "deep"


class Checked(BaseModel):
    """How the agents are; `metrics` only at that level."""

    level: service.HealthLevel
    status: service.Status
    metrics: dict[str, service.AgentMetrics] | None = None


class Synchronisation(BaseModel):
    """Data to bring from one platform to another."""

    source_platform: str = Field(min_length=1, max_length=100, examples=["backend"])
    target_platform: str = Field(min_length=1, max_length=100, examples=["frontend"])
    data: dict[str, Any]


class Broadcast(BaseModel):
    """An event for everybody on a channel."""

    channel: str = Field(min_length=1, max_length=164, examples=["lessons"])
    event: str = Field(min_length=1, max_length=200, examples=["lesson-ready"])
    data: Any = None


class Published(BaseModel):
    """What the realtime agent says of an event that it published."""

    channel: str
    event: str
    result: Any


class CleanedUp(BaseModel):
    """What each agent forgot."""

    agents: dict[str, Any]


@router.get("/status", **needs("viewer"))
async def status(runtime: Acting) -> service.Status:
    """Say how the agents are. No platform is called for it."""
    return await service.status(runtime=runtime)


@router.get("/agents", **needs("viewer"))
async def agents(runtime: Acting) -> Agents:
    """List the agents with what they can do."""
    return Agents(agents=await service.agents(runtime=runtime))


@router.get("/metrics", **needs("viewer"))
async def metrics(runtime: Acting) -> AllMetrics:
    """Return what each agent did for your tenant: requests, rates, latency, events, cache hits, circuits."""
    return AllMetrics(timestamp=datetime.now(UTC), agents=await service.metrics(runtime=runtime))


@router.post("/health/check", **needs("viewer"))
async def check_health(runtime: Acting, body: HealthCheck | None = None) -> Checked:
    """Check the agents, their platforms, or both with figures."""
    level = (body or HealthCheck()).level
    found = await service.status(deep=level != "basic", runtime=runtime)
    figures = await service.metrics(runtime=runtime) if level == "metrics" else None
    return Checked(level=level, status=found, metrics=figures)


@router.post("/sync/trigger", **needs("operator"))
async def trigger_sync(body: Synchronisation, runtime: Acting) -> service.Synchronised:
    """Bring data from one platform to another."""
    return await service.synchronise(body.source_platform, body.target_platform, body.data, runtime=runtime)


@router.post("/event/broadcast", **needs("operator"))
async def broadcast_event(body: Broadcast, runtime: Acting) -> Published:
    """Publish an event on a channel."""
    result = await service.broadcast(body.channel, body.event, body.data, runtime=runtime)
    return Published(channel=body.channel, event=body.event, result=result)


@router.post("/maintenance/cleanup", **needs("admin"))
async def clean_up(runtime: Acting) -> CleanedUp:
    """Let the agents forget what is old. Admins only."""
    return CleanedUp(agents=await service.clean_up(runtime=runtime))
