"""Says how the agent does over a range of time, what is new since somebody looked, and what needs attention first.

It counts and never shows a text, so nothing is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from agent.concurrency import gather_or_cancel
from agent.db import load_queries
from agent.execution.log import executions
from agent.monitoring import alerts
from agent.monitoring.records import Alert
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__, "overview.sql")
Range = Literal["24h", "7d", "30d", "90d"]
# For each range: how long it is, and how many stretches of time it is shown in.
RANGES: dict[Range, tuple[timedelta, int]] = {
    "24h": (timedelta(hours=24), 24), "7d": (timedelta(days=7), 28), "30d": (timedelta(days=30), 30), "90d": (timedelta(days=90), 45),
}  # fmt: skip
_MOST_ALERTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What moves when something happens. `mark` is another text after every new request, execution, turn and alert."""

    waiting: int
    running: int
    alerts: int
    stopped: bool
    read_only: bool
    reason: str
    changed_by: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Numbers over time: `values[i]` is that of the stretch that begins at `starts[i]`; None where nothing was measured."""

    name: str
    unit: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The figures of a range. Shares are from 0 to 1; None where nothing was measured."""

    starts: tuple[datetime, ...]
    until: datetime
    turns: int
    failed_share: float | None
    median_seconds: float | None
    slow_seconds: float | None
    tokens: int
    cost_usd: float | None
    executions: int
    asked: int
    memories: int
    series: dict[str, tuple[Series, ...]]
    alerts: tuple[Alert, ...]
    unknown: int


async def heads(*, runtime: Runtime | None = None) -> Heads:
    """Return what is new now."""
    runtime = runtime or await current_runtime()
    row = await runtime.one(_QUERIES["heads"], database_id=runtime.database_id) or {}
    moving = ("waiting", "execution", "running", "turn", "alerts", "alert", "stopped", "read_only")
    return Heads(
        waiting=row["waiting"], running=row["running"], alerts=row["alerts"], stopped=bool(row["stopped"]),
        read_only=bool(row["read_only"]), reason=row["reason"] or "", changed_by=row["changed_by"] or "",
        mark="/".join(str(row[name]) for name in moving),
    )  # fmt: skip


async def overview(over: Range = "24h", *, now: datetime | None = None, runtime: Runtime | None = None) -> Overview:
    """Return the figures of the last day, week, month or quarter."""
    runtime = runtime or await current_runtime()
    length, count = RANGES[over]
    until = now or datetime.now(UTC)
    since = until - length
    seconds = length.total_seconds() / count
    values = {"database_id": runtime.database_id, "since": since}

    async def over_time(name: str) -> list[dict[str, Any] | None]:
        return _placed(await runtime.all(_QUERIES[name], **values, seconds=seconds), count)

    (turns, acts, added), (row, wrong, unknown) = await gather_or_cancel(
        gather_or_cancel(
            over_time("turns_over_time"), over_time("executions_over_time"), over_time("memories_over_time")
        ),
        gather_or_cancel(
            runtime.one(_QUERIES["turns_in_all"], **values),
            alerts.newest_alerts(_MOST_ALERTS, runtime=runtime),
            executions.unknown(runtime=runtime),
        ),
    )
    total = row or {}
    return Overview(
        starts=tuple(since + timedelta(seconds=seconds * place) for place in range(count)), until=until,
        turns=total["turns"], failed_share=total["failed"] / total["turns"] if total["turns"] else None,
        median_seconds=_number(total["median_seconds"]), slow_seconds=_number(total["slow_seconds"]), tokens=total["tokens"],
        cost_usd=total["cost_usd"], executions=_sum(acts, "executions"), asked=_sum(acts, "asked"), memories=_sum(added, "memories"),
        series={
            "turns": (_series("answered", "questions", turns, lambda row: row["turns"] - row["failed"]), _series("failed", "questions", turns, lambda row: row["failed"])),
            "latency": (_times("median", turns, "median_seconds"), _times("95th percentile", turns, "slow_seconds")),
            "tokens": (_series("tokens", "tokens", turns, lambda row: row["tokens"]),),
            "executions": (_series("done", "actions", acts, lambda row: row["executions"] - row["failed"]), _series("failed", "actions", acts, lambda row: row["failed"])),
            "memories": (_series("added", "memories", added, lambda row: row["memories"]),),
        },
        alerts=tuple(wrong),
        unknown=unknown,
    )  # fmt: skip


def _placed(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any] | None]:
    """Return the row of each stretch of time; what happened at the very end belongs to the last one."""
    by_place = {min(row["place"], count - 1): row for row in rows}
    return [by_place.get(place) for place in range(count)]


def _sum(rows: Sequence[dict[str, Any] | None], name: str) -> int:
    return sum(row[name] for row in rows if row)


def _series(name: str, unit: str, rows: Sequence[dict[str, Any] | None], value: Any) -> Series:
    return Series(name=name, unit=unit, values=tuple(float(value(row)) if row else 0.0 for row in rows))


def _times(name: str, rows: Sequence[dict[str, Any] | None], key: str) -> Series:
    return Series(name=name, unit="seconds", values=tuple(_number(row[key]) if row else None for row in rows))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
