"""What the names in AGENT_DENY are of: which of them are of nothing, and what the others come to.

A name that is of nothing keeps nothing from a model, so it is to be noticed; and it makes no other structure of the same
catalogs.
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
class NoSuchName:
    """A part of AGENT_DENY that fits nothing; `nearest` is a table or column that was perhaps meant, or ''."""

    part: str
    nearest: str = ""

    @property
    def is_glob(self) -> bool:
        return any(character in self.part for character in "*?[")


async def names_of_nothing(*, runtime: Runtime) -> list[NoSuchName]:
    """The parts of AGENT_DENY that fit no table, view or column of the database. Raises `DatabaseUnavailable`."""
    deny = runtime.settings.deny
    return without_match(deny, await catalog.read_names(runtime)) if _parts(deny) else []


async def rules_of(runtime: Runtime) -> str:
    """A hash of what the settings make of the application's names: another one where another structure is kept."""
    deny = runtime.settings.deny
    rows = await catalog.read_names(runtime) if _parts(deny) else []
    return rules_in(runtime.settings, [row for row in rows if row["ours"]])


def without_match(deny: str, rows: Iterable[Row]) -> list[NoSuchName]:
    """The parts of the setting that fit none of these relations and their columns."""
    rows = list(rows)
    return [NoSuchName(part=part, nearest=_nearest(part, rows)) for part in _parts(deny) if not _fits(part, rows)]


def rules_in(settings: Settings, rows: Iterable[Row]) -> str:
    """The same of these relations."""
    rows = list(rows)
    fitting = sorted({part.lower() for part in _parts(settings.deny) if _fits(part, rows)})
    return hashlib.sha256(
        repr(
            (settings.app_schemas, fitting, settings.mask_personal, settings.secret_columns, settings.open_columns)
        ).encode()
    ).hexdigest()


def _parts(deny: str) -> list[str]:
    return [part.strip() for part in deny.split(",") if part.strip()]


def _fits(part: str, rows: Iterable[Row]) -> bool:
    one = DenyList.parse(part)
    return any(one.fits(row["schema"], row["name"], row["columns"]) for row in rows)


def _nearest(part: str, rows: Iterable[Row]) -> str:
    ours = [row for row in rows if row["ours"]]
    if "." not in part:
        names = [row["name"] for row in ours]
    else:
        names = [f"{row['schema']}.{row['name']}" for row in ours]
        names += [f"{row['name']}.{column}" for row in ours for column in row["columns"]]
    return next(iter(get_close_matches(part.lower(), names, 1, 0.7)), "")
