"""`/console/integration`: the integration agents with their breakers, the gateway's endpoints, schemas with their versions, channels, the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import agent.integration.schemas.registry as schemas
import agent.integration.service as service
from agent.approval.eligibility import ACCESS_ROLES
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visit, Visitor, needs
from agent.integration import integration_manager
from agent.integration.schema_history import history

router = APIRouter(prefix=f"{ROOT}/integration", route_class=ConsoleRoute)
_GATEWAY, _CACHE, _REALTIME = "api_gateway", "database_sync", "realtime_update"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What agents say of themselves when they are asked; a part is None where its agent does not run, or may not be asked."""

    endpoints: list[dict[str, Any]] | None
    queues: dict[str, Any] | None
    channels: dict[str, dict[str, Any]] | None


@router.get("", dependencies=needs("viewer"))
async def show(request: Request, visit: Visitor, deep: Annotated[bool, Query()] = False) -> Response:  # noqa: FBT002  # a query parameter
    """Show how every agent is; with `deep`, after asking their platforms for a sign of life."""
    found = await service.status(deep=deep, runtime=visit.runtime)
    agents = await service.agents(runtime=visit.runtime)
    return await page(
        request, visit, "integration.html", found=found, deep=deep, agents=agents, metrics=await service.metrics(runtime=visit.runtime),
        parts=await _parts(visit, {name for name in agents if found.agents[name].error is None}), methods=_METHODS, roles=ACCESS_ROLES,
        schemas=await schemas.listed(limit=_MOST_SHOWN, runtime=visit.runtime), most=_MOST_SHOWN,
    )  # fmt: skip


@router.get("/schema", dependencies=needs("viewer"))
async def schema(
    request: Request, visit: Visitor, name: Annotated[str, Query(max_length=200)], platform: Annotated[str, Query(max_length=50)],
    version: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """Show a version of a schema with what it changed."""
    return await page(request, visit, "schema.html", found=await history(name, platform, version or None, runtime=visit.runtime))  # fmt: skip


@router.post("/endpoints", dependencies=needs("admin"))
async def create(request: Request, visit: Visitor, form: Form) -> Response:
    """Make an endpoint of the gateway."""
    agent, _, task = form.get("does", "").partition(" ")
    given = {name: form.get(name, "").strip() for name in ("version", "path", "method", "role", "summary", "rate_limit")}  # fmt: skip
    made = {"agent": agent, "task": task, **{name: value for name, value in given.items() if value}}
    await service.run_task(_GATEWAY, "create_endpoint", made, role=visit.identity.role, runtime=visit.runtime)
    return done(request, form, f"{made.get('method', '')} /{made.get('version', '')}{made.get('path', '')} answers now.")  # fmt: skip


@router.post("/endpoints/deprecate", dependencies=needs("admin"))
async def deprecate(request: Request, visit: Visitor, form: Form) -> Response:
    """Say that an endpoint should not be used any more, when it ends, and what takes its place."""
    given = {**_address(form), "successor": form.get("successor", "").strip() or None}
    if day := form.get("sunset", "").strip():
        given["sunset_at"] = f"{day}T00:00:00Z"
    await service.run_task(_GATEWAY, "deprecate_endpoint", given, role=visit.identity.role, runtime=visit.runtime)
    return done(request, form, "Its answers say from now on that it ends.")


@router.post("/endpoints/remove", dependencies=needs("admin"))
async def remove(request: Request, visit: Visitor, form: Form) -> Response:
    """End an endpoint: whoever calls it learns that it is gone."""
    await service.run_task(_GATEWAY, "remove_endpoint", _address(form), role=visit.identity.role, runtime=visit.runtime)
    return done(request, form, "It answers no more.")


def _address(form: dict[str, str]) -> dict[str, Any]:
    return {name: form.get(name, "") for name in ("version", "path", "method")}


async def _parts(visit: Visit, running: set[str]) -> Parts:
    async def asked(agent: str, task: str, *, may: bool = True) -> dict[str, Any] | None:
        if agent not in running or not may:
            return None
        found: dict[str, Any] = await integration_manager.execute(agent, task, runtime=visit.runtime)
        return found

    endpoints = await asked(_GATEWAY, "list_endpoints")
    channels = await asked(_REALTIME, "list_channels", may=visit.identity.allows("operator"))
    return Parts(
        endpoints=None if endpoints is None else endpoints["endpoints"], queues=await asked(_CACHE, "queues"),
        channels=None if channels is None else dict(sorted(channels["channels"].items())[:_MOST_SHOWN]),
    )  # fmt: skip
