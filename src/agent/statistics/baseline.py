"""What a series was expected to be at each moment, from what came before: seasons of the day and the week, and a moving level.

    values -> the scale on which their noise is even -> season of earlier days + level of the last day -> expected value
                                                                                                       -> spread of the noise

Every expectation uses earlier days and hours only, so that a judgement today is the one that was made then. Which season and
which level are used is decided each day by how well they did in the days before. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.statistics.robust import Numbers, deviation
from agent.statistics.series import Grid

_DAYS_OF_SEASON = 28
_DAYS_OF_CHOICE = 4
_DAYS_OF_SPREAD = 7
_HOURS_OF_PATIENCE = 3
_FAILED = 1.5  # deviations, for as long as the patience lasts
_LEAST_DAYS_OF_WEEK = 7
_LEVEL_HOURS = 24
_SHORT_HOURS = 2
_LEVELS = 4
_BETTER = 0.93  # how much smaller the error of a less steady expectation must be


@dataclass(frozen=True, slots=True)
class Scale:
    """A transformation of values: the power `lam` of Box and Cox after adding `offset`; 1 leaves values as they are."""

    lam: float
    offset: float = 0.0

    def apply(self, values: Numbers) -> Numbers:
        """Return the values on the scale."""
        if self.lam == 1.0:
            return values
        moved = np.maximum(values + self.offset, self.offset or 1e-12)
        return np.log(moved) if self.lam == 0.0 else (moved**self.lam - 1.0) / self.lam

    def back(self, values: Numbers) -> Numbers:
        """Return numbers on the scale as values again."""
        if self.lam == 1.0:
            return values
        moved = np.exp(values) if self.lam == 0.0 else np.maximum(values * self.lam + 1.0, 0.0) ** (1.0 / self.lam)
        return np.asarray(moved - self.offset)


def scale_of(values: Numbers) -> Scale:
    """Return the scale on which the differences of neighbours are most even: linear, root or logarithm."""
    known = values[np.isfinite(values)]
    if known.size < 50 or known.min() < 0 or (known == 0).mean() > 0.5:
        return Scale(1.0)
    positive = known[known > 0]
    offset = 0.0 if positive.size == known.size else float(np.quantile(positive, 0.01)) / 2
    logs = float(np.mean(np.log(known + offset)))
    best, cost = Scale(1.0), _unevenness(known, Scale(1.0), logs)
    for lam in (0.5, 0.0):
        scale = Scale(lam, offset)
        found = _unevenness(known, scale, logs)
        if found < cost - 0.02:
            best, cost = scale, found
    return best


def _unevenness(values: Numbers, scale: Scale, logs: float) -> float:
    """Return the profile cost of Box and Cox for the differences of neighbours, with squares that wild ones do not rule."""
    steps = np.diff(scale.apply(values))
    spread = deviation(steps)
    if spread <= 0.0:
        return np.inf
    wild = np.minimum(np.abs(steps) / spread, 6.0)
    return float(np.log(spread) + 0.5 * np.log(np.mean(wild**2)) - (scale.lam - 1.0) * logs)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a series: its places, the places of the days that it is compared with, and the deviations on them.

    Both are in units of the usual deviation and by the day's own way to expect, which may differ from that of the days before.
    """

    here: np.ndarray
    past: np.ndarray
    z: Numbers
    z_past: Numbers


@dataclass(frozen=True, slots=True)
class Expected:
    """What was expected at each place of a grid and how far values usually are from it, on the scale; NaN where nothing is known."""

    scale: Scale
    seen: Numbers
    values: Numbers
    spread: Numbers
    days: tuple[Day, ...]


def expected_of(grid: Grid, *, least: float = 0.0) -> Expected:
    """Return what was expected at each place. Deviations below `least`, in the unit of the values, are never unusual."""
    scale = scale_of(grid.values)
    seen = scale.apply(grid.values)
    seasons = _Seasons(grid, seen)
    candidates = seasons.candidates()
    values, spread = np.full(seen.size, np.nan), np.full(seen.size, np.nan)
    chosen: list[tuple[np.ndarray, np.ndarray, Numbers, Numbers]] = []
    for number, (_, here) in enumerate(seasons.days):
        past = seasons.past(number)
        if not past.size:
            continue
        best = _best(np.abs(seen[past] - candidates[:, past]), seasons.order(number, len(candidates)))
        values[here] = candidates[best][here]
        before = seasons.before(number)
        of_slot = _spread(seasons, seen - candidates[best], before)
        spread[here] = of_slot[seasons.slots[here]]
        chosen.append((here, before, candidates[best][before], of_slot[seasons.slots[before]]))
    seasons.follow_unknown(values, spread, candidates)
    spread = np.maximum(spread, _floor(grid, scale, values, least))
    days = tuple(
        Day(here, before, (seen[here] - values[here]) / spread[here],
            (seen[before] - old) / np.maximum(wide, _floor_of(scale, _floor_step(grid, least), old)))
        for here, before, old, wide in chosen
    )  # fmt: skip
    return Expected(scale, seen, values, spread, days)


class _Seasons:
    """The seasons of a series, each learned anew at every midnight from the days before."""

    def __init__(self, grid: Grid, seen: Numbers) -> None:
        self.grid, self.seen = grid, seen
        self.slots = np.minimum((grid.hours * 3_600 / grid.step).astype(np.int64), grid.per_day - 1)
        self.weekend = grid.weekdays >= 5
        first = np.unique(grid.days)
        self.week_begins = 0
        self.days = [(int(day), np.flatnonzero(grid.days == day)) for day in first]

    def past(self, number: int) -> np.ndarray:
        """Return the places by which a day's expectation is chosen: the days just before, or the last ones of its kind.

        The first days are none of them where there are others: nothing was known on them.
        """
        days = [day for day, _ in self.days]
        earlier = [n for n in range(number) if days[number] - days[n] <= _DAYS_OF_SEASON]
        recent = [n for n in earlier if days[number] - days[n] <= _DAYS_OF_CHOICE]
        if alike := self._alike(number):
            recent = alike
        recent = [n for n in recent if n > 1] or [n for n in recent if n > 0]
        return np.concatenate([self.days[n][1] for n in recent]) if recent else np.zeros(0, dtype=np.int64)

    def before(self, number: int) -> np.ndarray:
        """Return the places of the days that show how far values usually are from what is expected."""
        first = max(number - _DAYS_OF_SPREAD, min(2, number - 1))
        return np.concatenate([self.days[n][1] for n in range(first, number)])

    def _alike(self, number: int) -> list[int]:
        """Return the known days of a weekend's kind before it; none for a working day."""
        day = self.days[number][0]
        weekends = [n for n in range(number) if _is_weekend(self.days[n][0])]
        known = [n for n in weekends if self.days[n][0] > self.days[weekends[0]][0] + 1]
        return [n for n in known if day - self.days[n][0] <= 2 * 7] if _is_weekend(day) else []

    def order(self, number: int, count: int) -> list[int]:
        """Return the order of preference of a day's expectations: where a kind of days begins, those that know weekends first."""
        day = self.days[number][0]
        turns = _is_weekend(day - 1) != _is_weekend(day) or (_is_weekend(day) and not self._alike(number))
        by_week = self.week_begins if turns else 0
        return [*range(by_week, count), *range(by_week)]

    def follow_unknown(self, values: Numbers, spread: Numbers, candidates: Numbers) -> None:
        """On the first days of a kind, judge nothing at first, and then by what did best in the hours before, if much better.

        Whoever has seen no weekend cannot know that it is quiet.
        """
        seen_kinds: set[int] = set()
        for number, (day, here) in enumerate(self.days):
            known = _kind(day) in seen_kinds or number < 2
            seen_kinds.add(_kind(day))
            if known:
                continue
            size = self.grid.per_hour
            wrong = (self.seen[here] - values[here]) / np.maximum(spread[here], 1e-12)
            failed = False
            for start in range(0, here.size, size):
                hour, before = here[start : start + size], here[max(start - _HOURS_OF_PATIENCE * size, 0) : start]
                if start < _HOURS_OF_PATIENCE * size:
                    values[hour] = np.nan
                    continue
                failed = failed or abs(_median(wrong[start - before.size : start])) > _FAILED
                if failed:
                    errors = np.abs(self.seen[before] - candidates[:, before])
                    best = _best(errors, list(range(len(candidates))))
                    values[hour] = candidates[best][hour]
                    spread[hour] = 2 * np.fmax(spread[hour], deviation(errors[best]))

    def candidates(self) -> Numbers:
        """Return the expectations to choose from, the steadiest ones first: each season with each level.

        The seasons are none, of the day (in hours, in finer times), and the same of working days and weekends apart.
        """
        nears = (None, 2, 0) if self.grid.per_hour > 1 else (None,)
        seasons = [(False, near) for near in nears]
        if len(self.days) > _LEAST_DAYS_OF_WEEK:
            seasons += [(True, near) for near in nears]
        self.week_begins = _LEVELS * (1 + len(nears)) if len(seasons) > len(nears) else 0
        found = np.full((_LEVELS * (1 + len(seasons)), self.seen.size), np.nan)
        for number, (day, here) in enumerate(self.days):
            window = np.arange(max(int(here[0]) - 2 * self.grid.per_day, 0), int(here[-1]) + 1)
            past = np.flatnonzero((self.grid.days < day) & (self.grid.days >= day - _DAYS_OF_SEASON))
            for row, season in enumerate([None, *seasons]):
                of_window = np.zeros(window.size)
                if number and season:
                    of_window = self._season_of(past, window, by_week=season[0], near=season[1])
                levels = _levels(self.grid.per_hour, self.seen[window] - of_window)
                found[row * _LEVELS : (row + 1) * _LEVELS, here] = (levels + of_window)[:, -here.size :]
        return found

    def _season_of(self, past: np.ndarray, window: np.ndarray, *, by_week: bool, near: int | None) -> Numbers:
        """Return the season of the places of a window, learned from the places `past`."""
        if not by_week:
            return self._shape(past, self.seen[past] - self._day_medians(past), window, near)
        flat = self.seen[past] - self._line(past)
        season = np.zeros(window.size)
        for weekend in (False, True):
            of_kind, learned = self.weekend[window] == weekend, self.weekend[past] == weekend
            if not of_kind.any():
                continue
            if (learned & np.isfinite(flat)).sum() < 24:
                learned = np.ones(past.size, dtype=bool)
            season[of_kind] = self._shape(past[learned], flat[learned], window[of_kind], near)
        return season

    def _day_medians(self, past: np.ndarray) -> Numbers:
        days, where = np.unique(self.grid.days[past], return_inverse=True)
        return np.asarray([_median(self.seen[past][where == n]) for n in range(days.size)])[where]

    def _line(self, past: np.ndarray) -> Numbers:
        """Return the straight line through the medians of the working days."""
        days, where = np.unique(self.grid.days[past], return_inverse=True)
        medians = np.asarray([_median(self.seen[past][where == n]) for n in range(days.size)])
        working = ((days + 3) % 7 < 5) & np.isfinite(medians)
        if working.sum() < 2:
            return np.full(past.size, _median(medians))
        slope, start = _line_through(days[working].astype(float), medians[working])
        return (start + slope * days.astype(float))[where]

    def _shape(self, past: np.ndarray, flat: Numbers, here: np.ndarray, near: int | None) -> Numbers:
        """Return the season of the places `here`: hourly medians joined smoothly, or medians of times of day and `near` ones."""
        hours = self.slots[past] // self.grid.per_hour
        medians = np.asarray([_median(flat[hours == n]) for n in range(24)])
        if not np.isfinite(medians).any():
            return np.zeros(here.size)
        medians = np.where(np.isfinite(medians), medians, _median(medians))
        smooth = np.asarray(_circular(medians, self.grid.hours)[here], dtype=np.float64)
        if near is None:
            return smooth
        table = _by_slot(self.slots[past], flat, self.grid.per_day)
        around = np.concatenate([np.roll(table, move, axis=1) for move in range(-near, near + 1)])
        fine = _column_medians(around)[self.slots[here]]
        return np.asarray(np.where(np.isfinite(fine), fine, smooth), dtype=np.float64)


def _levels(size: int, flat: Numbers) -> Numbers:
    """Return levels from what came before each hour of `size` places: the last day's, two lines through it, the last hours'."""
    blocks = -(-flat.size // size)
    padded = np.full(blocks * size, np.nan)
    padded[blocks * size - flat.size :] = flat
    hourly = _column_medians(padded.reshape(blocks, size).T)
    inside = np.tile((np.arange(size) + 0.5) / size, blocks)
    rows = [np.repeat(_moving(hourly, _LEVEL_HOURS), size)]
    for hours in (2 * _LEVEL_HOURS, _LEVEL_HOURS):
        level, slope = _moving_line(hourly, hours)
        rows.append(np.repeat(level, size) + np.repeat(slope, size) * inside)
    rows.append(np.repeat(_moving(hourly, _SHORT_HOURS), size))
    return np.asarray(rows)[:, blocks * size - flat.size :]


def _moving(hourly: Numbers, hours: int) -> Numbers:
    """Return for each hour the median of the `hours` before it."""
    return _column_medians(_before(hourly, hours).T)


def _moving_line(hourly: Numbers, hours: int) -> tuple[Numbers, Numbers]:
    """Return the line through the medians of two halves of the hours before each hour: where it is when the hour begins, its slope."""
    window = _before(hourly, hours)
    older, newer = _column_medians(window[:, : hours // 2].T), _column_medians(window[:, hours // 2 :].T)
    slope = (newer - older) / (hours / 2)
    return newer + slope * (hours / 4), slope


def _before(hourly: Numbers, hours: int) -> Numbers:
    padded = np.concatenate([np.full(hours, np.nan), hourly])
    return np.lib.stride_tricks.sliding_window_view(padded, hours)[: hourly.size]


def _best(errors: Numbers, order: list[int]) -> int:
    """Return the number of the expectation with the least errors; of nearly equal ones the first of the order."""
    best, least = order[0], np.inf
    for number in order:
        known = errors[number][np.isfinite(errors[number])]
        wrong = float(np.mean(np.minimum(known, 4 * np.median(known)))) if known.size else np.inf
        if wrong < least * _BETTER:
            best, least = number, wrong
    return best


def _spread(seasons: _Seasons, residuals: Numbers, before: np.ndarray) -> Numbers:
    """Return the usual deviation of each time of day: that of the days before, and more where it is wilder."""
    known, per_day = residuals[before], seasons.grid.per_day
    if np.isfinite(known).sum() < 24:
        return np.full(per_day, np.nan)
    whole = deviation(known)
    table = np.abs(_by_slot(seasons.slots[before], known, per_day))
    near = np.concatenate([np.roll(table, 1, axis=1), table, np.roll(table, -1, axis=1)])
    around, own = _column_medians(near) * 1.4826, _column_medians(table) * 1.4826
    # A few values of one time of day are too few to say that it is calmer; much wilder is believed.
    of_slot = np.where((np.isfinite(near).sum(axis=0) >= 9) & (around > 2 * whole), around, whole)
    return np.where((np.isfinite(table).sum(axis=0) >= 2) & (own > 3 * whole), np.fmax(own, of_slot), of_slot)


def _is_weekend(day: int) -> bool:
    return (day + 3) % 7 >= 5


def _kind(day: int) -> int:
    """Return 0 for working days, 1 for weekends."""
    return int(_is_weekend(day))


def _floor(grid: Grid, scale: Scale, values: Numbers, least: float) -> Numbers:
    """Return the least spread at each place, on the scale."""
    return _floor_of(scale, _floor_step(grid, least), values)


def _floor_step(grid: Grid, least: float) -> float:
    """Return the least spread in the unit of the values: one step of the metric, and a fifth of what is too small to matter."""
    known = np.unique(grid.values[np.isfinite(grid.values)])
    steps = np.diff(known)
    step = float(np.quantile(steps, 0.05)) if steps.size else 0.0
    return max(step, least / 5, 1e-9 * max(float(np.abs(known).max(initial=0.0)), 1e-9))


def _floor_of(scale: Scale, step: float, values: Numbers) -> Numbers:
    if scale.lam == 1.0:
        return np.full(values.size, step)
    base = np.maximum(scale.back(np.nan_to_num(values)), 0.0)
    return scale.apply(base + step) - scale.apply(base)


def _by_slot(slots: np.ndarray, values: Numbers, per_day: int) -> Numbers:
    """Return values as a table with a column for each time of day; NaN where nothing is."""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    row = np.arange(ordered.size) - np.searchsorted(ordered, ordered)
    table = np.full((int(row.max(initial=0)) + 1, per_day), np.nan)
    table[row, ordered] = values[order]
    return table


def _column_medians(table: Numbers) -> Numbers:
    """Return the median of each column, NaN where it has no number; faster than numpy's own for many columns."""
    ordered = np.sort(table, axis=0)  # NaN last
    count = np.isfinite(ordered).sum(axis=0)
    columns = np.arange(table.shape[1])
    low, high = np.maximum((count - 1) // 2, 0), np.maximum(count // 2, 0)
    high = np.minimum(high, np.maximum(count - 1, 0))
    medians = (ordered[low, columns] + ordered[high, columns]) / 2
    return np.where(count > 0, medians, np.nan)


def _circular(medians: Numbers, hours: Numbers) -> Numbers:
    """Return hourly medians as a smooth curve through the middles of the hours."""
    middles = np.arange(-1, 25) + 0.5
    return np.asarray(np.interp(hours, middles, np.concatenate([medians[-1:], medians, medians[:1]])))


def _line_through(x: Numbers, y: Numbers) -> tuple[float, float]:
    """Return slope and start of the line of Theil and Sen."""
    first, second = np.triu_indices(x.size, 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    return slope, float(np.median(y - slope * x))


def _median(values: Numbers) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
