"""An endpoint of the gateway as a value, and which one a request is for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

from limits import RateLimitItem, parse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from agent.approval.eligibility import AccessRole
from agent.integration.transformation import Transformation

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PREFIX = "/api/v1/integration/gateway"
_PATH = re.compile(r"(/(?!\.{1,2}(?:/|\Z))([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}))+\Z")
_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MOST_PATH = 300


class Options(BaseModel):
    """What an endpoint does with a request and its answer. `parameters` is the JSON schema of what its task is given, after `request`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str = Field("", max_length=500)
    rate_limit: str | None = Field(None, max_length=50, examples=["60/minute"])
    parameters: dict[str, Any] | None = None
    request: Transformation | None = None
    response: Transformation | None = None

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, value: str | None) -> str | None:
        if value is not None:
            parse(value)
        return value


class NewEndpoint(Options):
    """An endpoint to make. `/lessons/{lesson_id}` takes what stands in that place as a parameter of this name."""

    version: str = Field("v1", pattern=r"^v[1-9][0-9]{0,2}$")
    path: str = Field(max_length=_MOST_PATH, examples=["/lessons/{lesson_id}"])
    method: Method = "POST"
    agent: str = Field(max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
    task: str = Field(max_length=200, pattern=r"^[A-Za-z0-9_.:-]+$")
    role: AccessRole = "operator"

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        names = _PARAMETER.findall(value)
        if not _PATH.match(value) or len(names) != len(set(names)):
            raise ValueError("a path is like /lessons/{lesson_id}: letters, digits, . _ ~ - and each {name} once")
        return value

    @property
    def options(self) -> Options:
        """Return what is not its address and its task."""
        return Options(**{name: getattr(self, name) for name in Options.model_fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint that answers, or did until it was removed."""

    version: str
    path: str
    method: Method
    agent: str
    task: str
    options: Options
    role: AccessRole
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    successor: str | None = None
    removed_at: datetime | None = None
    created_by: str = ""
    created_at: datetime | None = None

    @property
    def name(self) -> str:
        """Return its method, version and path, as people write it."""
        return f"{self.method} /{self.version}{self.path}"

    @property
    def in_path(self) -> list[str]:
        """Return the names of the parameters that stand in its path."""
        return _PARAMETER.findall(self.path)

    def original_names(self) -> dict[str, str]:
        """Return how callers name what its task gets under another name."""
        renamed: Mapping[str, str] = self.options.request.rename if self.options.request else {}
        return {new: old for old, new in renamed.items()}

    def named_parameters(self) -> dict[str, Any]:
        """Return the schema of each parameter by the name that callers use."""
        properties = (self.options.parameters or {}).get("properties")
        renamed = self.original_names()
        if not isinstance(properties, dict):
            return {}
        return {renamed.get(str(name), str(name)): part for name, part in properties.items()}

    def typed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what stood in an address with the types that the schema names; what fits none stays text."""
        named = self.named_parameters()
        return {name: _typed(value, named.get(name)) for name, value in values.items()}

    def is_gone(self, now: datetime) -> bool:
        """Return whether it answers no more."""
        return self.removed_at is not None or (self.sunset_at is not None and self.sunset_at <= now)

    def headers(self) -> dict[str, str]:
        """Return what its answers say of its end: Deprecation (RFC 9745), Sunset (RFC 8594) and a link to its successor."""
        found: dict[str, str] = {}
        if self.deprecated_at is not None:
            found["Deprecation"] = f"@{int(self.deprecated_at.timestamp())}"
        if self.sunset_at is not None:
            found["Sunset"] = format_datetime(self.sunset_at.astimezone(UTC), usegmt=True)
        if self.successor is not None:
            found["Link"] = f'<{PREFIX}/{self.successor.lstrip("/")}>; rel="successor-version"'
        return found


def _typed(value: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(value, str) or not isinstance(kind, str):
        return value
    if kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    if kind in ("integer", "number") and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,18}", value):
        return float(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The endpoint of a request, what stands in its path, and its rate."""

    endpoint: Endpoint
    values: Mapping[str, str]
    rate: RateLimitItem | None


@dataclass(slots=True)
class _Node:
    """A part of paths: what can come after it, by its text or as a parameter, and what answers here."""

    fixed: dict[str, _Node] = field(default_factory=dict)
    other: _Node | None = None
    methods: dict[str, tuple[Endpoint, tuple[str, ...], RateLimitItem | None]] = field(default_factory=dict)


class Table:
    """Finds endpoints by version, path and method, in as many steps as the path has parts."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        self.endpoints = tuple(endpoints)
        for one in self.endpoints:
            node = self._root
            for part in (one.version, *one.path.strip("/").split("/")):
                if part.startswith("{"):
                    node.other = node.other or _Node()
                    node = node.other
                else:
                    node = node.fixed.setdefault(part, _Node())
            rate = None if one.options.rate_limit is None else parse(one.options.rate_limit)
            node.methods[one.method] = (one, tuple(_PARAMETER.findall(one.path)), rate)

    def find(self, version: str, path: str, method: str) -> Match | None:
        """Return the endpoint of a request. A part that is written out comes before a parameter."""
        found = self._node(version, path, method)
        if found is None:
            return None
        node, values = found
        endpoint, names, rate = node.methods[method]
        return Match(endpoint=endpoint, values=dict(zip(names, values, strict=True)), rate=rate)

    def methods_at(self, version: str, path: str) -> list[str]:
        """Return the methods that a path answers to."""
        return sorted({one.method for one in self.endpoints if self.find(version, path, one.method) is not None})

    def _node(self, version: str, path: str, method: str) -> tuple[_Node, tuple[str, ...]] | None:
        nodes: list[tuple[_Node, tuple[str, ...]]] = [(self._root, ())]
        for part in (version, *path.strip("/").split("/")):
            nodes = [
                step
                for node, values in nodes
                for step in (
                    *(((node.fixed[part], values),) if part in node.fixed else ()),
                    *(((node.other, (*values, part)),) if node.other is not None and part else ()),
                )
            ]
        return next(((node, values) for node, values in nodes if method in node.methods), None)
