"""The OpenAPI document of a tenant's endpoints, made from the same values that requests are answered by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agent.integration.gateway.endpoints import PREFIX, Endpoint

_PROBLEM = {"description": "What went wrong, and the next step.", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}  # fmt: skip
_PROBLEM_SCHEMA = {
    "type": "object", "required": ["title", "status", "detail"],
    "properties": {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
}  # fmt: skip


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
        "components": {"schemas": {"Problem": _PROBLEM_SCHEMA}, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }  # fmt: skip


def _operation(one: Endpoint) -> dict[str, Any]:
    in_path, named, schema = one.in_path, one.named_parameters(), one.options.parameters or {"type": "object"}
    renamed = one.original_names()
    parameters = [{"name": name, "in": "path", "required": True, "schema": named.get(name, {"type": "string"})} for name in in_path]  # fmt: skip
    operation: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.options.summary or f"{one.agent}: {one.task}", "tags": [one.version], "x-role": one.role,
        "responses": {"200": {"description": "What the task gave.", "content": {"application/json": {"schema": {}}}}, "default": _PROBLEM},
    }  # fmt: skip
    rest = {name: part for name, part in named.items() if name not in in_path}
    required = [renamed.get(name, name) for name in schema.get("required", ()) if isinstance(name, str)]
    if one.method in ("GET", "DELETE"):
        parameters += [{"name": name, "in": "query", "required": name in required, "schema": part} for name, part in rest.items()]  # fmt: skip
    else:
        body = {**schema, "properties": rest, "required": [name for name in required if name not in in_path]}
        operation["requestBody"] = {
            "required": bool(body["required"]),
            "content": {"application/json": {"schema": body}},
        }
    if parameters:
        operation["parameters"] = parameters
    if one.deprecated_at is not None:
        operation["deprecated"] = True
    if one.sunset_at is not None:
        operation["x-sunset"] = one.sunset_at.isoformat()
    return operation


def _operation_id(one: Endpoint) -> str:
    """Return a name that no other endpoint has: `/levels/{level}` is levels_by_level, `/levels/level` is levels_level."""
    parts = one.path.replace("{", "by_").strip("/")
    return "_".join(filter(None, re.split(r"\W+", f"{one.method.lower()} {one.version} {parts}")))
