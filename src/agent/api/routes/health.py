"""`/health`, `/status` and `/metrics`: whether the service works, for people, probes and Prometheus.

They need no key and tell nothing about the data. A figure that nothing measures yet is null.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from agent.analytics import AnalyticsService
from agent.api.measures import Measures, memory_bytes
from agent.errors import AgentError
from agent.jobs.jobs import alive_workers
from agent.monitoring.continuous_monitor import continuous_monitor
from agent.runtime import Runtime

router = APIRouter(tags=["health"])
_PATIENCE_SECONDS = 5.0
_EVERYBODY: dict[str, Any] = {"x-role": "everybody"}
Database = Literal["connected", "unreachable"]


class Part(BaseModel):
    """One part that a deep look asked: whether it answered, in how many milliseconds, and what is wrong."""

    status: Literal["healthy", "unhealthy"]
    milliseconds: float
    detail: str | None = None


class Health(BaseModel):
    """Whether the service works. `parts` is there for `level=deep`."""

    status: Literal["healthy", "degraded", "unhealthy"]
    service: str
    database: Database
    agents_registered: int | None = None
    ml_models: dict[str, str] | None = None
    timestamp: datetime
    parts: dict[str, Part] | None = None


class Performance(BaseModel):
    """Figures of the last minute in this process; null where there was no request."""

    queries_per_sec: float
    avg_latency_ms: float | None
    success_rate: float | None = Field(description="Percent of the requests that were no fault of the server.")


class Status(BaseModel):
    """What the service does at the moment."""

    learning_system: Literal["operational", "unreachable"]
    database: Database
    agents_registered: int | None = None
    performance: Performance
    ml_models: dict[str, str] | None = None
    workers: int | None = None
    environment: str | None = None


class Metrics(BaseModel):
    """The same figures as the Prometheus text, in short; null where nothing measures them yet."""

    queries_per_sec: float
    prediction_accuracy: float | None = Field(
        None, description="Share of the outcomes of runs that the model of success had not seen and told right."
    )
    training_time: float | None = Field(None, description="Seconds of the last training.")
    agent_response_time: float | None = Field(description="Mean seconds of a request in the last minute.")
    memory_usage_mb: float
    cpu_usage_percent: float


@router.get("/health", openapi_extra=_EVERYBODY)
async def health(
    request: Request,
    level: Annotated[
        Literal["basic", "deep"], Query(description="deep also asks model, embedder, workers and monitor.")
    ] = "basic",
) -> Health:
    """Say whether the service answers and reaches its database."""
    runtime: Runtime = request.app.state.runtime
    database = await _asked(_database(runtime))
    parts = {"database": database}
    if level == "deep":
        names = ("model", "embedder", "workers", "monitor")
        asked = await asyncio.gather(
            *(_asked(work) for work in (_model(runtime), _embedder(runtime), _workers(runtime), _monitor(runtime)))
        )
        parts |= dict(zip(names, asked, strict=True))
    well = all(part.status == "healthy" for part in parts.values())
    reached = database.status == "healthy"
    return Health(
        status="healthy" if well else "degraded" if reached else "unhealthy", service="learning-agent",
        database="connected" if reached else "unreachable", timestamp=datetime.now(UTC),
        parts=parts if level == "deep" else None, **(await _learning(runtime) if reached else {}),
    )  # fmt: skip


@router.get("/status", openapi_extra=_EVERYBODY)
async def status(request: Request) -> Status:
    """Say what the service does: its database, its workers, and its requests of the last minute."""
    runtime: Runtime = request.app.state.runtime
    measures: Measures = request.app.state.measures
    reached = (await _asked(_database(runtime))).status == "healthy"
    rate, seconds, good = measures.recent()
    return Status(
        learning_system="operational" if reached else "unreachable", database="connected" if reached else "unreachable",
        performance=Performance(
            queries_per_sec=round(rate, 3), avg_latency_ms=None if seconds is None else round(seconds * 1000, 3),
            success_rate=None if good is None else round(100 * good, 2),
        ),
        workers=len(await alive_workers(runtime)) if reached else None, environment=runtime.settings.environment or None,
        **(await _learning(runtime) if reached else {}),
    )  # fmt: skip


@router.get(
    "/metrics", response_model=Metrics, openapi_extra=_EVERYBODY,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def metrics(request: Request, accept: Annotated[str, Header()] = "*/*") -> Any:
    """Return figures of this process: JSON, or Prometheus's text where Accept names text/plain or openmetrics."""
    measures: Measures = request.app.state.measures
    if "text/plain" in accept or "openmetrics" in accept:
        return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)
    rate, seconds, _ = measures.recent()
    try:
        trained = await AnalyticsService(request.app.state.runtime).last_training()
    except AgentError:  # the figures of this process need no database
        trained = {"accuracy": None, "seconds": None}
    return Metrics(
        queries_per_sec=round(rate, 3), prediction_accuracy=trained["accuracy"], training_time=trained["seconds"], agent_response_time=seconds, memory_usage_mb=round(memory_bytes() / 1e6, 2),
        cpu_usage_percent=measures.cpu_percent(),
    )  # fmt: skip


async def _learning(runtime: Runtime) -> dict[str, Any]:
    """Return how many agents are registered, and which learning parts are at work."""
    service = AnalyticsService(runtime)
    return {"agents_registered": await service.count_agents(), "ml_models": await service.parts()}


async def _asked(work: Awaitable[str | None]) -> Part:
    """Ask one part, with patience of some seconds. The error's own sentence stays in the log of that part."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            wrong = await work
    except (AgentError, TimeoutError) as error:
        wrong = type(error).__name__
    milliseconds = round((time.monotonic() - began) * 1000, 2)
    return Part(status="unhealthy" if wrong else "healthy", milliseconds=milliseconds, detail=wrong)


async def _database(runtime: Runtime) -> str | None:
    async with runtime.connection() as conn:
        await conn.execute("select 1")
    return None


async def _model(runtime: Runtime) -> str | None:
    """Say whether a model is set up; asking it costs money, so it is not called."""
    runtime.chat_client()
    return None


async def _embedder(runtime: Runtime) -> str | None:
    await runtime.embedder.embed(["health"])
    return None


async def _workers(runtime: Runtime) -> str | None:
    return None if await alive_workers(runtime) else "No worker was seen: start `agent worker` or `agent serve`."


async def _monitor(runtime: Runtime) -> str | None:
    """Say whether the monitor has stopped."""
    health = await continuous_monitor.health(runtime=runtime)
    return f"{health.problem} `agent serve` or `agent monitor`." if health.problem else None
