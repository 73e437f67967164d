"""Merges patterns into one configuration: each is a constraint, and where two differ the higher lower bound wins. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.optimization.records import Pattern
from agent.statistics.intervals import Z90


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A configuration, the patterns in it, and which values gave way."""

    config: Mapping[str, Any]
    patterns: Sequence[Pattern]
    conflicts: Sequence[Mapping[str, Any]]
    confidence: float


def lower_bound(pattern: Pattern) -> float:
    """Return what a pattern's lift is at least; one that is unproven here has none, and stands behind all that are proven."""
    if pattern.lift is None or pattern.lift_error is None:
        return -1.0 + pattern.confidence_score
    return pattern.lift - Z90 * pattern.lift_error


def merged(patterns: Sequence[Pattern], *, preferred: Collection[str] = (), most: int | None = None) -> Merged:
    """Return the configuration that patterns add up to. Preferred ones come first when only some are taken."""
    usable = [one for one in patterns if one.parameters and one.status != "refuted"]
    usable.sort(key=lambda one: (one.pattern_id not in preferred, -lower_bound(one), one.pattern_key))
    taken = usable[:most] if most is not None else usable
    holds: dict[str, Pattern] = {}
    conflicts: list[Mapping[str, Any]] = []
    for pattern in sorted(taken, key=lambda one: (-lower_bound(one), one.pattern_key)):
        for name, value in pattern.parameters.items():
            first = holds.setdefault(name, pattern)
            if first is not pattern and first.parameters[name] != value:
                conflicts.append({
                    "parameter": name, "kept": first.parameters[name], "by": first.pattern_id, "dropped": value, "of": pattern.pattern_id,
                })  # fmt: skip
    parts = list({one.pattern_id: one for one in holds.values()}.values())
    return Merged(
        config={name: pattern.parameters[name] for name, pattern in sorted(holds.items())}, patterns=parts, conflicts=conflicts,
        confidence=min((one.confidence_score for one in parts), default=0.0),
    )  # fmt: skip
