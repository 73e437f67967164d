"""Schemas at the boundaries of the layer: data of a bound name is refused where it does not fit, before anything is done with it.

bind -> a row -> each process reads a tenant's bindings once a second -> what crosses the boundary under that name is checked
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Literal, get_args

import agent.integration.schemas.registry as registry
from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.integration.events import Platform, platform_of
from agent.integration.schemas.documents import SchemaDocument, problems_of
from agent.runtime import Cache, Runtime
from agent.sync.payloads import checked_name

Boundary = Literal["event", "record", "component", "sync"]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
_QUERIES = load_queries(__package__)
_MOST_BINDINGS, _MOST_TOLD, _KNOWN_SECONDS = 1_000, 5, 1.0
_Version = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What must fit a schema. `current` is the version that it must fit now: `version`, or the newest."""

    boundary: Boundary
    subject: str
    schema_name: str
    platform: Platform
    version: str | None
    current: str | None
    number: int | None
    created_by: str
    created_at: datetime


@dataclass(slots=True)
class _Known:
    """The bindings of a tenant, as this process read them at a time, and the schemas that it needed of them."""

    at: float
    bindings: Mapping[tuple[Boundary, str], Binding]
    documents: dict[_Version, SchemaDocument] = field(default_factory=dict)


_KNOWN: Cache[_Known] = Cache()


async def bind(
    boundary: str, subject: str, *, schema_name: str, platform: str, version: str | None = None, runtime: Runtime
) -> None:
    """Demand that what crosses a boundary under a name fits a schema: a version of it, or its newest. Raises `InvalidInput` and `NotFound`."""
    where, name = _boundary(boundary), _subject(boundary, subject)
    found = await registry.version_of(schema_name, platform, version, runtime=runtime)
    present = await bindings(runtime=runtime)
    if len(present) >= _MOST_BINDINGS and (where, name) not in {(one.boundary, one.subject) for one in present}:
        raise InvalidInput(f"{_MOST_BINDINGS:,} names are bound to schemas: unbind one first.")
    values = {"name": found.schema_name, "platform": found.platform, "version": version, "user": runtime.user}
    await runtime.execute(_QUERIES["bind"], boundary=where, subject=name, **values)
    _KNOWN.pop(runtime, runtime.tenant_id)


async def unbind(boundary: str, subject: str, *, runtime: Runtime) -> None:
    """Demand no schema of a name any more. Raises `NotFound`."""
    where, name = _boundary(boundary), _subject(boundary, subject)
    if not await runtime.execute(_QUERIES["unbind"], boundary=where, subject=name):
        raise NotFound(f"The {where} {name!r} is bound to no schema.")
    _KNOWN.pop(runtime, runtime.tenant_id)


async def bindings(*, runtime: Runtime) -> list[Binding]:
    """Return what must fit a schema, of the runtime's tenant."""
    rows = await runtime.all(_QUERIES["bindings"], limit=_MOST_BINDINGS)
    return [Binding(schema_name=row.pop("name"), **row) for row in rows]


@dataclass(frozen=True, slots=True)
class Demand:
    """A schema that data must fit."""

    bound: Binding
    document: SchemaDocument

    async def check(self, data: Any) -> None:
        """Raise `InvalidInput`, with places and reasons, if data does not fit."""
        problems = await asyncio.to_thread(problems_of, self.document, data)
        if problems:
            one = self.bound
            raise InvalidInput(
                f"The {one.boundary} {one.subject[:100]!r} does not fit the schema {one.schema_name} {one.current} of {one.platform}, to which it is "
                f"bound: {'; '.join(problems[:_MOST_TOLD])}. Correct the data, or ask an admin to unbind it."
            )


async def demanded(boundary: Boundary, subject: str, *, runtime: Runtime) -> Demand | None:
    """Return what data of a name must fit, or None. Ask before a transaction begins: it may read from the database."""
    known = _KNOWN.get(runtime, runtime.tenant_id)
    if known is None or monotonic() - known.at > _KNOWN_SECONDS:
        known = _KNOWN.put(runtime, await _read(known, runtime), runtime.tenant_id)
    bound = known.bindings.get((boundary, subject))
    return None if bound is None else Demand(bound, await _document(bound, known, runtime))


async def check(boundary: Boundary, subject: str, data: Any, *, runtime: Runtime) -> None:
    """Raise `InvalidInput` if data does not fit the schema that its name is bound to."""
    demand = await demanded(boundary, subject, runtime=runtime)
    if demand is not None:
        await demand.check(data)


async def check_event(event: str, text: str, *, runtime: Runtime) -> None:
    """Raise `InvalidInput` if the data of an event, as JSON or as plain text, does not fit the schema that the event is bound to."""
    demand = await demanded("event", event, runtime=runtime)
    if demand is not None:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = text
        await demand.check(data)


async def _read(before: _Known | None, runtime: Runtime) -> _Known:
    at = monotonic()
    found = {(one.boundary, one.subject): one for one in await bindings(runtime=runtime)}
    used = {_version(one) for one in found.values()}
    kept = {} if before is None else {key: one for key, one in before.documents.items() if key in used}
    return _Known(at, found, kept)


async def _document(bound: Binding, known: _Known, runtime: Runtime) -> SchemaDocument:
    key = _version(bound)
    if key not in known.documents:
        found = await registry.version_of(bound.schema_name, bound.platform, bound.current, runtime=runtime)
        known.documents[key] = await registry.document_of(found.schema_type, found.definition, found.options, runtime=runtime)  # fmt: skip
    return known.documents[key]


def _version(bound: Binding) -> _Version:
    return (bound.schema_name, bound.platform, bound.number or 0)


def _boundary(name: str) -> Boundary:
    for boundary in BOUNDARIES:
        if name == boundary:
            return boundary
    raise InvalidInput(f"There is no boundary {name[:100]!r}: use one of {', '.join(BOUNDARIES)}.")


def _subject(boundary: str, subject: str) -> str:
    if boundary == "sync":
        return platform_of(subject)
    return checked_name(subject, what="What is bound")
