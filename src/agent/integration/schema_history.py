"""How a registered schema came to be what it is: its versions, and the lines that one of them changed."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import agent.integration.schemas.registry as registry
from agent.errors import NotFound
from agent.integration.schemas.registry import SchemaVersion
from agent.runtime import Runtime

_MOST_LINES, _AROUND = 3_000, 3
Line = tuple[Literal["same", "gone", "new", "left out"], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaHistory:
    """The versions of a schema (the newest first), one of them, and its lines compared with the version before it.

    `lines` is None if the two are too long to be compared line by line.
    """

    versions: Sequence[SchemaVersion]
    shown: SchemaVersion
    before: SchemaVersion | None
    lines: Sequence[Line] | None


async def history(name: str, platform: str, version: str | None = None, *, runtime: Runtime) -> SchemaHistory:
    """Return the history of a schema at a version, or at the newest. Raises `NotFound`."""
    known = await registry.versions(name, platform, runtime=runtime)
    shown = next((one for one in reversed(known) if version in (None, one.version)), None)
    if shown is None:
        raise NotFound(f"There is no version {str(version)[:100]!r} of a schema {name[:100]!r} of {platform[:50]}: the page Integration lists them.")  # fmt: skip
    before = next((one for one in reversed(known) if one.number < shown.number), None)
    lines = await asyncio.to_thread(changed_lines, None if before is None else before.definition, shown.definition)
    return SchemaHistory(versions=known[::-1], shown=shown, before=before, lines=lines)


def changed_lines(before: Any, after: Any) -> list[Line] | None:
    """Return what changed between two definitions, with some lines around it; all lines of the later one if there is no earlier one."""
    new = _lines(after)
    old = new if before is None else _lines(before)
    if max(len(old), len(new)) > _MOST_LINES:
        return None
    if before is None:
        return [("same", line) for line in new]
    found: list[Line] = []
    for line in list(difflib.unified_diff(old, new, n=_AROUND, lineterm=""))[2:]:
        kinds: dict[str, Literal["same", "gone", "new", "left out"]] = {"-": "gone", "+": "new", "@": "left out"}
        kind = kinds.get(line[:1], "same")
        found.append((kind, "…" if kind == "left out" else line[1:]))
    return found


def _lines(definition: Any) -> list[str]:
    text = definition if isinstance(definition, str) else json.dumps(definition, indent=2, ensure_ascii=False, sort_keys=True)  # fmt: skip
    return [line[:1_000] for line in text.splitlines()]
