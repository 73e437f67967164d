"""Checks the names in AGENT_DENY against the database: which match nothing, and what the others deny.

A name that matches nothing protects nothing, so an operator should learn of it. It does not change the structure either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from agent.learning.discovery import catalog
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime
from agent.settings import Settings

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedName:
    """A part of AGENT_DENY that matches nothing; `nearest` is a similar table or column, or ''."""

    part: str
    nearest: str = ""

    @property
    def is_glob(self) -> bool:
        """Whether the part is a pattern, not a plain name."""
        return any(character in self.part for character in "*?[")


async def unmatched_names(*, runtime: Runtime) -> list[UnmatchedName]:
    """Return the parts of AGENT_DENY that match no table, view or column. Raises `DatabaseUnavailable`."""
    deny = runtime.settings.deny
    return without_match(deny, await catalog.read_names(runtime)) if _parts(deny) else []


async def rules_of(runtime: Runtime) -> str:
    """Return a hash of the settings as they apply to the application's names; it changes when other parts would be kept."""
    deny = runtime.settings.deny
    rows = await catalog.read_names(runtime) if _parts(deny) else []
    return rules_in(runtime.settings, [row for row in rows if row["ours"]])


def without_match(deny: str, rows: Iterable[Row]) -> list[UnmatchedName]:
    """Return the parts of the setting that match none of these relations and their columns."""
    rows = list(rows)
    return [UnmatchedName(part=part, nearest=_nearest(part, rows)) for part in _parts(deny) if not _fits(part, rows)]


def rules_in(settings: Settings, rows: Iterable[Row]) -> str:
    """Return the hash of `rules_of` for these relations."""
    rows = list(rows)
    matching = sorted({part.lower() for part in _parts(settings.deny) if _fits(part, rows)})
    return hashlib.sha256(
        repr(
            (settings.app_schemas, matching, settings.mask_personal, settings.secret_columns, settings.open_columns)
        ).encode()
    ).hexdigest()


def _parts(deny: str) -> list[str]:
    return [part.strip() for part in deny.split(",") if part.strip()]


def _fits(part: str, rows: Iterable[Row]) -> bool:
    deny = DenyList.parse(part)
    return any(deny.fits(row["schema"], row["name"], row["columns"]) for row in rows)


def _nearest(part: str, rows: Iterable[Row]) -> str:
    ours = [row for row in rows if row["ours"]]
    if "." not in part:
        names = [row["name"] for row in ours]
    else:
        names = [f"{row['schema']}.{row['name']}" for row in ours]
        names += [f"{row['name']}.{column}" for row in ours for column in row["columns"]]
    return next(iter(get_close_matches(part.lower(), names, 1, 0.7)), "")
