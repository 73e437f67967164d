"""Patterns: ten weak beginnings that nobody has proven here, and what campaigns found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.db import load_queries
from agent.optimization.ids import key_of, not_there
from agent.optimization.mining import as_json
from agent.optimization.records import Pattern
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_JSON = ("events", "parameters", "evidence")


async def seed(runtime: Runtime) -> None:
    """Make sure that the tenant has the ten patterns to begin with."""
    await runtime.one(_QUERIES["seed_patterns"])


async def get(pattern_id: str, *, runtime: Runtime) -> Pattern:
    """Return a pattern. Raises `NotFound`."""
    await seed(runtime)
    row = await runtime.one(_QUERIES["pattern"], pattern_id=key_of(pattern_id, "pattern"))
    if row is None:
        raise not_there(pattern_id, "pattern")
    return Pattern.from_row(row)


async def every(*, workflow_type: str | None = None, runtime: Runtime) -> list[Pattern]:
    """Return patterns, the surest first: all, or those of a workflow type and those of any."""
    await seed(runtime)
    return [Pattern.from_row(row) for row in await runtime.all(_QUERIES["patterns"], workflow_type=workflow_type)]


async def keep(found: Sequence[Mapping[str, Any]], campaign_id: str, *, runtime: Runtime) -> list[Pattern]:
    """Store what a campaign found. The same finding again becomes the same pattern, with its newest figures."""
    kept = []
    for one in found:
        values = dict(one) | {name: as_json(one[name]) for name in _JSON}
        row = await runtime.one(_QUERIES["save_pattern"], **values, campaign_id=campaign_id)
        kept += [Pattern.from_row(row)] if row else []
    return kept
