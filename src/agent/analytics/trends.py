"""What was reached on each day beside what the present models expect of so many runs: the predicted band. Pure.

The band holds 90 % of such days if nothing changed: it is as wide as what the model does not know, and as what so few runs vary by
chance. Totals do not tell which agent ran which task type on a day, so the mix is that of all days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.analytics.effect_model import Predicted
from agent.analytics.figures import Totals, figures_of
from agent.statistics.intervals import Z90

_MOST_CELLS = 2_000


class Model(Protocol):
    """What predicts."""

    def predict(self, agent: str, task: str) -> Predicted:
        """Return the prediction for an agent on a task type."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """The mean of a value over a mix of agents and task types, how sure it is, and the variance of one value."""

    mean: float
    deviation: float
    spread: float

    def band(self, n: int, *, step: float = 0.0) -> tuple[float, float]:
        """Return within what the mean of `n` values is, with 90 %. `step` is that of a value, such as 1 for an outcome."""
        half = Z90 * math.sqrt(self.deviation**2 + self.spread / n) + step / (2 * n)
        return self.mean - half, self.mean + half


def by_day(
    days: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]], success: Model | None, slow: Model | None
) -> list[dict[str, Any]]:
    """Return each day's figures with what was expected of it, the newest first; null where no model can say it."""
    chance = _expected_success(cells, success) if success else None
    seconds = _expected_seconds(cells, slow) if slow else None
    sums: dict[Any, Totals] = {}
    logs: dict[Any, float] = {}
    for row in days:
        sums.setdefault(row["day"], Totals()).add(row)
        logs[row["day"]] = logs.get(row["day"], 0.0) + row["logs"]
    return [_day(day, sums[day], logs[day], chance, seconds) for day in sorted(sums, reverse=True)]


def _day(day: Any, totals: Totals, logs: float, chance: Expected | None, seconds: Expected | None) -> dict[str, Any]:
    rate = figures_of(totals).success_rate
    typical = math.exp(logs / totals.timed) if totals.timed else None
    expected = band = quick = None
    if chance and totals.known:
        low, high = chance.band(totals.known, step=1.0)
        expected, band = chance.mean, (max(low, 0.0), min(high, 1.0))
    if seconds and totals.timed:
        low, high = seconds.band(totals.timed)
        quick = (_amount(low), _amount(high))
    return {
        "day": str(day), "runs": totals.runs, "outcomes_known": totals.known, "success_rate": rate, "expected_success_rate": _short(expected),
        "success_band": _pair(band), "success_inside": _inside(rate, band), "typical_execution_time": _short(typical),
        "expected_execution_time": _short(_amount(seconds.mean)) if seconds and quick else None, "execution_time_band": _pair(quick),
        "execution_time_inside": _inside(typical, quick),
    }  # fmt: skip


def _expected_success(cells: Sequence[Mapping[str, Any]], model: Model) -> Expected | None:
    parts = []
    for row in _largest(cells, "known"):
        predicted = model.predict(row["agent_name"], row["task_type"])
        chance = predicted.chance
        parts.append((row["known"], chance, chance * (1 - chance) * predicted.deviation))
    mixed = _mixed(parts)
    # An outcome of the mix is one of a coin with the mix's chance.
    return None if mixed is None else Expected(mixed[0], mixed[1], mixed[0] * (1 - mixed[0]))


def _expected_seconds(cells: Sequence[Mapping[str, Any]], model: Model) -> Expected | None:
    parts, noise = [], 0.0
    for row in _largest(cells, "timed"):
        predicted = model.predict(row["agent_name"], row["task_type"])
        parts.append((row["timed"], predicted.linear, predicted.deviation))
        noise = predicted.noise
    mixed = _mixed(parts)
    if mixed is None:
        return None
    total = sum(weight for weight, _, _ in parts)
    between = sum(weight * (value - mixed[0]) ** 2 for weight, value, _ in parts) / total
    return Expected(mixed[0], mixed[1], noise + between)


def _largest(cells: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return sorted((row for row in cells if row[name]), key=lambda row: -row[name])[:_MOST_CELLS]


def _mixed(parts: Sequence[tuple[int, float, float]]) -> tuple[float, float] | None:
    """Return the mean of predictions by their weights, and its deviation; their errors are taken as one, since they share effects."""
    total = sum(weight for weight, _, _ in parts)
    if not total:
        return None
    return sum(w * value for w, value, _ in parts) / total, sum(w * deviation for w, _, deviation in parts) / total


def _inside(value: float | None, band: tuple[float, float] | None) -> bool | None:
    return None if value is None or band is None else band[0] <= value <= band[1]


def _amount(linear: float) -> float:
    return math.exp(max(-30.0, min(30.0, linear)))


def _pair(band: tuple[float, float] | None) -> list[float] | None:
    return None if band is None else [float(f"{one:.5g}") for one in band]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
