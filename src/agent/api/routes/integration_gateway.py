"""`/api/v1/integration/gateway`: the endpoints that were made at run time, and their OpenAPI document; `/agents/.../tasks`: any task of an agent."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

import agent.integration.service as service
from agent.api.callers import Acting, Caller, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.problems import problem_response
from agent.errors import InvalidInput
from agent.integration import integration_manager

router = APIRouter(prefix="/api/v1/integration", tags=["integration"], route_class=IdempotentRoute)
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_Name = Annotated[str, Path(min_length=1, max_length=200)]


@router.post("/agents/{agent}/tasks/{task}", **needs("operator"))
async def run_task(agent: _Name, task: _Name, caller: Caller, runtime: Acting, parameters: Annotated[dict[str, Any], Body(default_factory=dict)]) -> dict[str, Any]:  # fmt: skip
    """Let an agent do one of its tasks, and return what it gave as `result`."""
    return {"result": await service.run_task(agent, task, parameters, role=caller.role, runtime=runtime)}


@router.get("/gateway/openapi.json", **needs("viewer"))
async def describe(runtime: Acting) -> dict[str, Any]:
    """Return the OpenAPI document of your tenant's endpoints, as they are now."""
    found: dict[str, Any] = await integration_manager.execute("api_gateway", "openapi", runtime=runtime)
    return found


@router.api_route("/gateway/{version}/{path:path}", methods=_METHODS, include_in_schema=False)
async def answer(version: str, path: str, request: Request, caller: Caller, runtime: Acting) -> Response:
    """Answer a request for an endpoint of the gateway."""
    match = await service.find_endpoint(version, path, request.method, runtime=runtime)
    caller.require(match.endpoint.role)
    found = await service.answer(match, await _given(request), role=caller.role, runtime=runtime)
    if found.gone:
        return problem_response(410, f"{match.endpoint.name} is gone: use its successor, or the newest version.", headers=found.headers)  # fmt: skip
    if found.retry_after is not None:
        headers = {**found.headers, "Retry-After": str(found.retry_after)}
        return problem_response(429, f"{match.endpoint.name} takes {match.endpoint.options.rate_limit}: wait a moment.", headers=headers)  # fmt: skip
    return JSONResponse(found.result, headers=dict(found.headers))


async def _given(request: Request) -> dict[str, Any]:
    """Return the parameters of a request: those of its query, and those of its body. Raises `InvalidInput`."""
    given: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    if not body:
        return given
    try:
        more = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON: send an object.") from None
    if not isinstance(more, dict):
        raise InvalidInput("The body must be a JSON object.")
    return {**given, **more}
