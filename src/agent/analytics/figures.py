"""Figures of runs: what totals say about an agent, a task type or a day, each with from how many runs. Pure.

A figure that nothing measured is None. A rate stands beside its interval, and beside the runs whose outcome nobody has told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from agent.statistics.intervals import quantile_of_counts, share_interval

_SUMS = (
    "runs", "known", "succeeded", "timed", "seconds", "costed", "cost_usd", "tokens", "tokened", "cpu", "cpus", "memory", "memories",
)  # fmt: skip


@dataclass
class Totals:
    """Sums over runs. They can be added up."""

    runs: int = 0
    known: int = 0
    succeeded: int = 0
    timed: int = 0
    seconds: float = 0.0
    costed: int = 0
    cost_usd: float = 0.0
    tokens: float = 0.0
    tokened: int = 0
    cpu: float = 0.0
    cpus: int = 0
    memory: float = 0.0
    memories: int = 0
    latencies: dict[str, int] = field(default_factory=dict)
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, row: Mapping[str, Any]) -> Self:
        """Add the sums of a row."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + row[name])
        for place, count in row["latencies"].items():
            self.latencies[place] = self.latencies.get(place, 0) + count
        self.first_at = min(self.first_at or row["first_at"], row["first_at"])
        self.last_at = max(self.last_at or row["last_at"], row["last_at"])
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the runs of something say. Times are seconds, rates are shares from 0 to 1, intervals hold 90 %."""

    runs: int
    outcomes_known: int
    outcomes_missing: int
    successes: int
    success_rate: float | None
    success_interval: tuple[float, float] | None
    avg_execution_time: float | None
    p50_execution_time: float | None
    p95_execution_time: float | None
    p99_execution_time: float | None
    throughput_per_hour: float | None
    cost_usd: float | None
    avg_tokens: float | None
    resource_cpu: float | None
    resource_memory: float | None
    first_run: datetime | None
    last_updated: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a dictionary."""
        return asdict(self)


def figures_of(totals: Totals) -> Figures:
    """Return what totals say."""
    hours = None
    if totals.first_at and totals.last_at:
        hours = max((totals.last_at - totals.first_at).total_seconds() / 3600, 1.0)
    interval = share_interval(totals.succeeded, totals.known)
    p50, p95, p99 = (_rounded(quantile_of_counts(totals.latencies, share)) for share in (0.5, 0.95, 0.99))
    return Figures(
        runs=totals.runs, outcomes_known=totals.known, outcomes_missing=totals.runs - totals.known, successes=totals.succeeded,
        success_rate=_mean(totals.succeeded, totals.known),
        success_interval=None if interval is None else (round(interval[0], 4), round(interval[1], 4)),
        avg_execution_time=_mean(totals.seconds, totals.timed), p50_execution_time=p50, p95_execution_time=p95, p99_execution_time=p99,
        throughput_per_hour=_mean(totals.runs, hours or 0), cost_usd=round(totals.cost_usd, 6) if totals.costed else None,
        avg_tokens=_mean(totals.tokens, totals.tokened), resource_cpu=_mean(totals.cpu, totals.cpus),
        resource_memory=_mean(totals.memory, totals.memories), first_run=totals.first_at, last_updated=totals.last_at,
    )  # fmt: skip


def grouped(rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], Any]) -> dict[Any, Totals]:
    """Return the totals of rows by a key, in the order in which the keys come first."""
    found: dict[Any, Totals] = {}
    for row in rows:
        found.setdefault(key(row), Totals()).add(row)
    return found


def latest_first(days: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of each day, the newest first."""
    by_day = grouped(days, lambda row: row["day"])
    return [{"day": str(day), **figures_of(totals).as_dict()} for day, totals in sorted(by_day.items(), reverse=True)]


def as_json(value: Any) -> str:
    """Return a report as JSON, with times as texts."""
    return json.dumps(value, default=str, allow_nan=False)


def _mean(total: float, count: float) -> float | None:
    return _rounded(total / count) if count else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
