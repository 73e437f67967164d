"""The API gateway agent: makes endpoints, answers their requests with the tasks of other agents, and describes them.

request -> endpoint of the tenant -> role, rate -> transformation, schema -> the agent's task -> transformation -> answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

import agent.integration.gateway.rates as rates
import agent.integration.gateway.store as store
from agent.errors import InvalidInput, NotFound
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.events import IntegrationEvent
from agent.integration.gateway.endpoints import Endpoint, Match, NewEndpoint
from agent.integration.gateway.openapi import document
from agent.integration.parameters import read
from agent.integration.schemas.json_schema import JsonSchema
from agent.runtime import Runtime

_FORGET_DAYS = 30
Execute = Callable[..., Awaitable[Any]]


class Address(BaseModel):
    """Where an endpoint is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: str = Field("v1", max_length=10)
    path: str = Field(max_length=300, pattern=r"^[^\x00]*$")
    method: str = Field("POST", max_length=10)


class Deprecation(Address):
    """From when an endpoint should not be used (default: now), when it ends, and what takes its place, such as v2/lessons."""

    deprecated_at: AwareDatetime | None = None
    sunset_at: AwareDatetime | None = None
    successor: str | None = Field(None, max_length=300, pattern=r"^/?[A-Za-z0-9._~{}/-]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request gets. `gone` is true where the endpoint was, and is no more; `retry_after` where too many came."""

    result: Any = None
    headers: Mapping[str, str]
    gone: bool = False
    retry_after: int | None = None


class APIGatewayAgent(BaseIntegrationAgent):
    """See the module."""

    name = "api_gateway"
    summary = "Endpoints that are made, versioned, deprecated and removed while the server runs."
    capabilities = ("dynamic endpoints", "versioning", "rate limits", "OpenAPI", "deprecation", "transformation")
    admin_tasks = frozenset({"create_endpoint", "deprecate_endpoint", "remove_endpoint", "cleanup"})

    async def initialize(self) -> None:
        """Begin to count requests."""
        self._rates = rates.Rates()

    def tasks(self) -> Mapping[str, Task]:
        """Return what the agent can do."""
        return {
            "create_endpoint": self._create, "deprecate_endpoint": self._deprecate, "remove_endpoint": self._remove,
            "list_endpoints": self._list, "openapi": self._openapi, "cleanup": self._clean_up,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Do nothing: endpoints change by tasks only."""

    async def find(self, version: str, path: str, method: str, *, runtime: Runtime) -> Match:
        """Return the endpoint that a request is for. Raises `NotFound`, which names the methods that the path answers to."""
        table = await store.table(runtime=runtime)
        found = table.find(version, path, method)
        if found is None:
            methods = ", ".join(table.methods_at(version, path))
            hint = f"it answers to {methods}" if methods else "GET /api/v1/integration/gateway/openapi.json lists what there is"  # fmt: skip
            raise NotFound(f"No endpoint answers at {method} /{version[:10]}/{path[:200]}: {hint}.")
        return found

    async def answer(self, match: Match, given: Mapping[str, Any], *, execute: Execute, runtime: Runtime) -> Answer:
        """Answer a request whose caller may make it. Raises `InvalidInput` for what does not fit, and whatever the task raises."""
        endpoint = match.endpoint
        headers = endpoint.headers()
        if endpoint.is_gone(datetime.now(UTC)):
            return Answer(headers=headers, gone=True)
        if match.rate is not None:
            wait = await self._rates.retry_after(f"{endpoint.name}/{runtime.user}", match.rate, runtime=runtime)
            if wait is not None:
                return Answer(headers=headers, retry_after=max(1, ceil(wait)))
        asked = endpoint.typed(given) if endpoint.method in ("GET", "DELETE") else given
        parameters = {**asked, **endpoint.typed(match.values)}
        if endpoint.options.request is not None:
            parameters = endpoint.options.request.apply(parameters)
        _check(endpoint, parameters)
        result = await execute(endpoint.agent, endpoint.task, parameters, runtime=runtime)
        if endpoint.options.response is not None and isinstance(result, Mapping):
            result = endpoint.options.response.apply(result)
        return Answer(result=result, headers=headers)

    async def _create(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        new = read(NewEndpoint, parameters)
        if new.agent == self.name:
            raise InvalidInput("An endpoint cannot call the gateway itself: name another agent.")
        if new.parameters is not None:
            await asyncio.to_thread(JsonSchema.read, new.parameters)
        await store.create(new, runtime=runtime)
        await self.emit("endpoint_created", {"version": new.version, "path": new.path, "method": new.method}, runtime=runtime)  # fmt: skip
        return {"version": new.version, "path": new.path, "method": new.method, "role": new.role}

    async def _deprecate(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Deprecation, parameters)
        if given.sunset_at is not None and given.deprecated_at is not None and given.sunset_at < given.deprecated_at:
            raise InvalidInput("An endpoint cannot end before it is deprecated: correct sunset_at.")
        await store.deprecate(
            given.version, given.path, given.method.upper(), deprecated_at=given.deprecated_at, sunset_at=given.sunset_at,
            successor=given.successor, runtime=runtime,
        )  # fmt: skip
        return {"deprecated": True}

    async def _remove(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Address, parameters)
        await store.remove(given.version, given.path, given.method.upper(), runtime=runtime)
        return {"removed": True}

    async def _list(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        table = await store.table(runtime=runtime)
        return {"endpoints": [_described(one) for one in table.endpoints]}

    async def _openapi(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return document((await store.table(runtime=runtime)).endpoints)

    async def _clean_up(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return {
            "endpoints": await store.forget(days=_FORGET_DAYS, runtime=runtime),
            "rates": await rates.forget(runtime=runtime),
        }


def _check(endpoint: Endpoint, parameters: dict[str, Any]) -> None:
    """Raise `InvalidInput` for parameters that do not fit the endpoint's schema."""
    if endpoint.options.parameters is None:
        return
    problems = JsonSchema.known(endpoint.options.parameters).problems(parameters)
    if problems:
        raise InvalidInput(f"The request does not fit {endpoint.name}: {'; '.join(problems[:5])}.")


def _described(one: Endpoint) -> dict[str, Any]:
    return {
        "version": one.version, "path": one.path, "method": one.method, "agent": one.agent, "task": one.task, "role": one.role,
        "deprecated_at": _time(one.deprecated_at), "sunset_at": _time(one.sunset_at), "successor": one.successor, "removed_at": _time(one.removed_at),
        "created_by": one.created_by, "created_at": _time(one.created_at), **one.options.model_dump(mode="json", exclude_defaults=True),
    }  # fmt: skip


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
