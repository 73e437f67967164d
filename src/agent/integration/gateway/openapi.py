"""The OpenAPI document of a tenant's endpoints, made from the same values that requests are answered by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agent.integration.gateway.endpoints import PREFIX, Endpoint

_IN_PATH = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PROBLEM = {"description": "What went wrong, and the next step.", "content": {"application/problem+json": {"schema": {"type": "object"}}}}  # fmt: skip


def document(endpoints: Iterable[Endpoint], *, now: datetime | None = None) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document of the endpoints that answer now."""
    at = now or datetime.now(UTC)
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        if not one.is_gone(at):
            paths.setdefault(f"/{one.version}{one.path}", {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Endpoints of the gateway", "version": str(len(paths)), "description": "Made at run time; each answers what an agent's task gives."},
        "servers": [{"url": PREFIX}],
        "security": [{"bearer": []}],
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }  # fmt: skip


def _operation(one: Endpoint) -> dict[str, Any]:
    in_path = _IN_PATH.findall(one.path)
    schema = one.options.parameters or {"type": "object"}
    properties = schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else {}
    renamed = {new: old for old, new in (one.options.request.rename if one.options.request else {}).items()}
    named = {renamed.get(name, name): part for name, part in properties.items()}
    parameters = [{"name": name, "in": "path", "required": True, "schema": named.get(name, {"type": "string"})} for name in in_path]  # fmt: skip
    operation: dict[str, Any] = {
        "operationId": "_".join(filter(None, re.split(r"\W+", f"{one.method.lower()} {one.version} {one.path}"))),
        "summary": one.options.summary or f"{one.agent}: {one.task}", "tags": [one.version], "x-role": one.role,
        "responses": {"200": {"description": "What the task gave.", "content": {"application/json": {"schema": {}}}}, "default": _PROBLEM},
    }  # fmt: skip
    rest = {name: part for name, part in named.items() if name not in in_path}
    required = [renamed.get(name, name) for name in schema.get("required", ()) if isinstance(name, str)]
    if one.method in ("GET", "DELETE"):
        parameters += [{"name": name, "in": "query", "required": name in required, "schema": part} for name, part in rest.items()]  # fmt: skip
    else:
        body = {**schema, "properties": rest, "required": [name for name in required if name not in in_path]}
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    if parameters:
        operation["parameters"] = parameters
    if one.deprecated_at is not None:
        operation["deprecated"] = True
    if one.sunset_at is not None:
        operation["x-sunset"] = one.sunset_at.isoformat()
    return operation
