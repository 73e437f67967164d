"""A series of measurements on an even grid, with the hour of day of each place in local time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

import numpy as np

from agent.statistics.robust import Numbers

_HOUR, _DAY = 3_600.0, 86_400.0
_MOST_PLACES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """`values` at even distances of `step` seconds, NaN where nothing was measured.

    `hours` are the hours of day in local time (0 to 24, with fractions), `days` the local calendar days and `weekdays` theirs.
    `places` says where on the grid each measurement went, in ascending order, and `sources` which measurement that was.
    """

    start: float
    step: float
    values: Numbers
    hours: Numbers
    days: np.ndarray
    weekdays: np.ndarray
    places: np.ndarray
    sources: np.ndarray

    @property
    def per_hour(self) -> int:
        """Return how many places an hour has, at least one."""
        return max(1, round(_HOUR / self.step))

    @property
    def per_day(self) -> int:
        """Return how many places a day has, at least one."""
        return max(1, round(_DAY / self.step))


def grid_of(times: Sequence[float], values: Sequence[float], *, zone: tzinfo = UTC) -> Grid | None:
    """Put measurements at `times` (seconds since 1970, ascending or not) on an even grid; None if there are fewer than two.

    Values of one place are averaged; infinite values and times count as missing.
    """
    at, numbers = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    good = np.isfinite(at) & np.isfinite(numbers)
    order = np.argsort(at[good], kind="stable")
    sources = np.flatnonzero(good)[order]
    at, numbers = at[sources], numbers[sources]
    gaps = np.diff(at)
    if not (gaps > 0).any():
        return None
    step = max(float(np.median(gaps[gaps > 0])), float(at[-1] - at[0]) / _MOST_PLACES)
    places = np.round((at - at[0]) / step).astype(np.int64)
    count = int(places[-1]) + 1
    sums, numbers_there = np.zeros(count), np.zeros(count)
    np.add.at(sums, places, numbers)
    np.add.at(numbers_there, places, 1.0)
    evenly = np.full(count, np.nan)
    np.divide(sums, numbers_there, out=evenly, where=numbers_there > 0)
    local = at[0] + np.arange(count) * step
    local = local + _offsets(local, zone)
    days = np.floor(local / _DAY).astype(np.int64)
    return Grid(
        start=float(at[0]), step=step, values=evenly, hours=(local % _DAY) / _HOUR, days=days,
        weekdays=(days + 3) % 7, places=places, sources=sources,
    )  # fmt: skip


def _offsets(times: Numbers, zone: tzinfo) -> Numbers:
    """Return how many seconds local time is ahead of UTC at each of the ascending times."""
    hours = np.floor(times / _HOUR).astype(np.int64)
    first, where = np.unique(hours, return_inverse=True)
    offsets = []
    for hour in first:
        ahead = zone.utcoffset(datetime.fromtimestamp(int(hour) * int(_HOUR), tz=UTC).astimezone(zone))
        offsets.append(ahead.total_seconds() if ahead else 0.0)
    return np.asarray(offsets)[where]
