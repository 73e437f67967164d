"""`/api/agents`: sessions of learners with their agents, as plans."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.orchestration import sessions

router = APIRouter(prefix="/api/agents", tags=["agents"], route_class=IdempotentRoute)


@router.post("", **needs("operator"))
async def act(body: sessions.AgentRequest, runtime: Acting) -> dict[str, Any]:
    """Start, use or end a learner's session: eight actions, each carried out as a plan."""
    return await sessions.act(body, runtime=runtime)
