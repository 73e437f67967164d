"""Templates as rows: the draft is changed under a lock of its row, and a version is stored only if its plan runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.orchestration.saved_templates.design import Design, checked, read_design
from agent.runtime import Runtime
from agent.sync.payloads import checked_name

_MOST_TEMPLATES, _MOST_SHOWN, _MOST_NOTE = 1_000, 1_000, 500
_QUERIES = load_queries(__package__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A template in a list; `version` is the newest one that was saved, or None."""

    id: UUID
    name: str
    summary: str
    steps: int
    version: int | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTemplate:
    """A template with its draft."""

    id: UUID
    name: str
    draft: Design
    created_by: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a template in a list."""

    version: int
    note: str
    saved_by: str
    saved_at: datetime


async def create(name: str, design: Design, *, runtime: Runtime) -> UUID:
    """Begin a template. Raises `InvalidInput`, and `StateChanged` if the name is taken."""
    checked_name(name, what="The name of a template")
    if int((await runtime.one(_QUERIES["count"]) or {"n": 0})["n"]) >= _MOST_TEMPLATES:
        raise InvalidInput(f"There are {_MOST_TEMPLATES:,} templates: remove some first.")
    values = {"id": uuid4(), "name": name, "draft": _text(design), "user": runtime.user}
    if await runtime.one(_QUERIES["create"], **values) is None:
        raise StateChanged(f"There is a template {name[:100]!r} already: give this one another name.")
    seal_soon(runtime)
    return values["id"]  # type: ignore[return-value]  # it is the UUID of the line above


async def listed(*, runtime: Runtime) -> list[Listed]:
    """Return the templates, what was changed last first."""
    return [Listed(**row) for row in await runtime.all(_QUERIES["list"], limit=_MOST_SHOWN)]


async def get(template_id: UUID, *, runtime: Runtime) -> SavedTemplate:
    """Return a template. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["get"], id=template_id)
    if row is None:
        raise _nothing(template_id)
    return SavedTemplate(**{**row, "draft": read_design(row["draft"])})


async def named(name: str, *, runtime: Runtime) -> UUID | None:
    """Return the template of a name."""
    row = await runtime.one(_QUERIES["named"], name=name)
    return None if row is None else row["id"]


async def edit(template_id: UUID, change: Callable[[Design], Design], *, runtime: Runtime) -> Design:
    """Change a draft, one after the other if several do, and return it. Raises `NotFound`, and what `change` raises."""
    key = {"id": template_id, "tenant_id": runtime.tenant_id}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["lock"], key)
        if row is None:
            raise _nothing(template_id)
        made = change(read_design(row["draft"]))
        await conn.execute(_QUERIES["change"], {**key, "draft": _text(made), "user": runtime.user})
    return made


async def save(template_id: UUID, note: str = "", *, runtime: Runtime) -> int:
    """Store the draft as the next version, and return its number. Raises `InvalidInput` if its plan does not run."""
    key = {"id": template_id, "tenant_id": runtime.tenant_id}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["lock"], key)
        if row is None:
            raise _nothing(template_id)
        design = checked(read_design(row["draft"]))
        values = {**key, "definition": _text(design), "note": note.strip()[:_MOST_NOTE], "user": runtime.user}
        saved = await fetch_one(conn, _QUERIES["save"], values) or {}
    seal_soon(runtime)
    return int(saved["version"])


async def versions(template_id: UUID, *, runtime: Runtime) -> list[Version]:
    """Return the versions of a template, the newest first."""
    return [Version(**row) for row in await runtime.all(_QUERIES["versions"], id=template_id, limit=_MOST_SHOWN)]


async def version(template_id: UUID, number: int | None = None, *, runtime: Runtime) -> tuple[Version, Design]:
    """Return a version, or the newest. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["version"], id=template_id, version=number)
    if row is None:
        raise NotFound("There is no such version of this template: save one first.")
    definition = row.pop("definition")
    return Version(**row), read_design(definition)


async def remove(template_id: UUID, *, runtime: Runtime) -> None:
    """Delete a template with its versions; the audit log keeps what they were. Raises `NotFound`."""
    if not await runtime.execute(_QUERIES["remove"], id=template_id):
        raise _nothing(template_id)
    seal_soon(runtime)


def _text(design: Design) -> str:
    return json.dumps(design.as_json())


def _nothing(template_id: Any) -> NotFound:
    return NotFound(f"There is no template {str(template_id)[:60]!r}: the page Workflows lists them.")
