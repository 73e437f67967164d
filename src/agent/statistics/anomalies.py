"""Finds what is unusual in a series: a spike at once, a shift of its level after some points, and nothing that recurs. Pure.

Each place is judged by residuals in units of their usual spread, alone and as means of the last points (several scales). The
mean of more points has less noise, so that it shows a smaller change. An episode opens at once and closes after some quiet
points: the debounce.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

import numpy as np

from agent.statistics.baseline import Expected, expected_of
from agent.statistics.robust import Numbers, deviation
from agent.statistics.series import Grid, grid_of

Direction = Literal["up", "down", "both"]

# For means of so many last points: how far they must be from what was expected, in their own usual deviations, and in those
# of single points, since neighbours may be alike.
_LIMITS = {1: (4.3, 0.0), 5: (5.2, 2.3), 12: (5.7, 2.1)}
_CLIPPED = 8.0
_QUIET = 8
_LEAST_DAYS = 4.0
_MOST_EPISODES = 8  # in the days that are compared with
_TAIL_REACH, _TAIL_RANK, _TAIL_MARGIN = 3.4, 3, 1.25
_SPARSE = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Something unusual, from the first point that is to the last one, as places in the given series.

    `score` is the most that a scale found, as a multiple of what is allowed; `value` and `expected` are those of its widest point.
    """

    first: int
    last: int
    direction: Literal["up", "down"]
    score: float
    value: float
    expected: float
    open: bool


def find_episodes(
    times: Sequence[float], values: Sequence[float], *, zone: tzinfo = UTC, direction: Direction = "both", least: float = 0.0,
) -> list[Episode]:  # fmt: skip
    """Return the unusual episodes of a series in their order. `times` are seconds since 1970.

    Nothing is unusual before four days of the series are known, nor what deviates by less than `least`.
    """
    grid = grid_of(times, values, zone=zone)
    if grid is None or grid.values.size < 30:
        return []
    expected = expected_of(grid, least=least)
    scores = _scores(grid, expected)
    if direction != "both":
        scores = np.where((scores > 0) == (direction == "up"), scores, 0.0)
    return _episodes(grid, expected, scores)


def _scores(grid: Grid, expected: Expected) -> Numbers:
    """Return for each scale and place how far the mean of the last points is, as a share of what is allowed (1: unusual)."""
    scores = np.zeros((len(_LIMITS), grid.values.size))
    unusual = np.zeros(grid.values.size, dtype=bool)
    for day in expected.days:
        # What was unusual must not make more of it usual, unless it is often.
        rare = _count(unusual[day.past]) <= _MOST_EPISODES
        past = np.where(unusual[day.past] & rare, np.nan, day.z_past)
        for row, (width, limits) in enumerate(_LIMITS.items()):
            scores[row, day.here] = _shares(past, day.z, width, *limits)
        scores[:, : int(_LEAST_DAYS * grid.per_day)] = 0.0  # what comes in the days of learning is usual
        unusual[day.here] = _spans(np.abs(scores[:, day.here]).max(axis=0) >= 1.0)
    return scores


def _shares(past: Numbers, here: Numbers, width: int, limit: float, least: float) -> Numbers:
    """Return the means of a day as shares of what is allowed, which the days before have shown."""
    both = np.concatenate([past, here])
    means = _trailing_means(np.clip(both, -_CLIPPED, _CLIPPED) if width > 1 else both, width)
    known = means[: past.size][np.isfinite(means[: past.size])]
    if known.size < 24:
        return np.zeros(here.size)
    usual = deviation(known)
    allowed = max(limit * max(usual, 1.0 / np.sqrt(width)), least, _tail(np.abs(known)))
    if usual == 0.0 and width > 1:  # it seldom moves at all: a short burst of small steps says little
        allowed *= _SPARSE
    return np.asarray(np.nan_to_num(means[past.size :] / allowed, nan=0.0, posinf=0.0, neginf=0.0))


def _spans(unusual: np.ndarray) -> np.ndarray:
    """Return the unusual points with those just before them, by which the means noticed them, and just after."""
    places = np.flatnonzero(unusual)
    spans = np.zeros(unusual.size, dtype=bool)
    for move in range(-max(_LIMITS), 2):
        spans[np.clip(places + move, 0, unusual.size - 1)] = True
    return spans


def _count(unusual: np.ndarray) -> int:
    """Return how many runs of unusual points there are."""
    return int((np.diff(unusual.astype(np.int8), prepend=0) == 1).sum())


def _tail(sizes: Numbers) -> float:
    """Return how large a mean seldom is: if its tail goes on as from 95 to 99 percent, or some more than it was."""
    near, far = np.quantile(sizes, [0.95, 0.99])
    was = float(np.sort(sizes)[-_TAIL_RANK:][0])
    return max(float(near + (far - near) * _TAIL_REACH), was * _TAIL_MARGIN)


def _trailing_means(z: Numbers, width: int) -> Numbers:
    """Return the mean of each place and those before it; NaN where the place is missing or too many before it are."""
    if width == 1:
        return z
    padded = np.concatenate([np.full(width - 1, np.nan), z])
    window = np.lib.stride_tricks.sliding_window_view(padded, width)
    there = np.isfinite(window)
    count = there.sum(axis=1)
    sums = np.where(there, window, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        means = sums / np.maximum(count, 1)
    return np.where((count >= width - width // 4) & np.isfinite(z), means, np.nan)


def _episodes(grid: Grid, expected: Expected, scores: Numbers) -> list[Episode]:
    strongest = np.abs(scores).max(axis=0)
    unusual = np.flatnonzero(strongest >= 1.0)
    if not unusual.size:
        return []
    known = np.cumsum(np.isfinite(expected.seen))
    starts = [0, *(n for n in range(1, unusual.size) if known[unusual[n]] - known[unusual[n - 1]] > _QUIET)]
    ends = [*(n - 1 for n in starts[1:]), unusual.size - 1]
    spans = [(int(unusual[first]), int(unusual[last])) for first, last in zip(starts, ends, strict=True)]
    return [_episode(grid, expected, scores, span, open=bool(known[-1] - known[span[1]] < _QUIET)) for span in spans]


def _episode(grid: Grid, expected: Expected, scores: Numbers, span: tuple[int, int], *, open: bool) -> Episode:  # noqa: A002  # as the field
    first, last = span
    part = scores[:, first : last + 1]
    widest = first + int(np.abs(part).max(axis=0).argmax())
    score = part.flat[np.abs(part).argmax()]
    places = grid.sources[np.searchsorted(grid.places, [first, last])]
    return Episode(
        first=int(places[0]),
        last=int(places[1]),
        direction="up" if score > 0 else "down",
        score=float(abs(score)),
        value=float(grid.values[widest]),
        expected=float(expected.scale.back(expected.values[widest : widest + 1])[0]),
        open=open,
    )
