"""`/console/integration`: the integration agents: how they are, their circuit breakers, what they did, what they can do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import agent.integration.service as service
from agent.console.rendering import ConsoleRoute, page
from agent.console.visits import ROOT, Visitor, needs

router = APIRouter(prefix=f"{ROOT}/integration", route_class=ConsoleRoute)


@router.get("", dependencies=needs("viewer"))
async def show(request: Request, visit: Visitor, deep: Annotated[bool, Query()] = False) -> Response:  # noqa: FBT002  # a query parameter
    """Show how every agent is; with `deep`, after asking their platforms for a sign of life."""
    return await page(
        request, visit, "integration.html", found=await service.status(deep=deep, runtime=visit.runtime), deep=deep,
        agents=await service.agents(runtime=visit.runtime), metrics=await service.metrics(runtime=visit.runtime),
    )  # fmt: skip
