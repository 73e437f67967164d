"""`/health`, `/status` and `/metrics`: whether the service works, for people, probes and Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from agent.errors import AgentError
from agent.runtime import Runtime

router = APIRouter(tags=["health"])


@router.get("/health", openapi_extra={"x-role": "everybody"})
async def health(request: Request) -> dict[str, Any]:
    """Say whether the service answers and reaches its database. Needs no key and tells nothing about the data."""
    runtime: Runtime = request.app.state.runtime
    try:
        async with runtime.connection() as conn:
            await conn.execute("select 1")
        database = "connected"
    except AgentError:
        database = "unreachable"
    return {
        "status": "healthy" if database == "connected" else "unhealthy", "service": "learning-agent", "database": database,
        "agents_registered": None, "ml_models": None, "timestamp": datetime.now(UTC).isoformat(),
    }  # fmt: skip
