"""Generate series as a database monitor records them, with injected anomalies whose place and kind are known.

`series(seed)` is pure: a seed always gives the same 28 series. Odd seeds are for tuning a detector; even seeds are held
out and only measure it, so nobody chooses a threshold by them.

A series has one point every five minutes for nine days or more; some points are missing where the recipe has gaps. What
recurs belongs to the series and is no anomaly: busy hours, quiet weekends, a backup every night, growth, bursts of
errors, and the tail of a latency. Two kinds of anomalies are added to it:

- a *spike* is one to three points that are 5 robust deviations or more from what was expected (seldom more than 7);
- a *shift* is 5 to 48 points in a row that are all moved by 3 robust deviations and keep their noise.

A robust deviation is 1.4826 times the median absolute deviation of the clean values from their expected value. It is
taken on the scale on which the noise is even: the logarithm for latencies with a heavy tail, the square root for counts.
It is never less than one step of the metric, so that a near-constant series can have a spike too.

An anomaly stays within the bounds of its metric and never touches a gap; a latency with a heavy tail only goes up. The
three hours around an anomaly hold no other one. The first half of a series holds none, so that a detector can learn
from it, and neither do the last two hours. A third of the series holds none at all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Literal

STEP = timedelta(minutes=5)
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = 12  # points
DAY = 24 * HOUR
SPIKE = 5.0  # robust deviations
SHIFT = 3.0
APART = 3 * HOUR

Kind = Literal[
    "hourly", "weekly", "trend", "bursty", "heavy_tail", "gaps", "level_noise", "near_constant", "rate", "integer"
]
AnomalyKind = Literal["spike", "shift"]
_SPIKES: tuple[AnomalyKind, ...] = ("spike",) * 4
_SHIFTS: tuple[AnomalyKind, ...] = ("shift",) * 3
Scale = Literal["linear", "root", "log"]
Shape = Callable[[int], float]
ShapeOf = Callable[[random.Random], Shape]
NoiseOf = Callable[[random.Random, int], list[float]]


@dataclass(frozen=True)
class Anomaly:
    """What was injected: from the point at `start` to the point at `end`, both included.

    `size` is in robust deviations, and positive if the values went up. It is at least 5 for a spike and 3 for a shift.
    Where values are whole numbers, the rounding of a spike goes outwards.
    """

    start: datetime
    end: datetime
    kind: AnomalyKind
    size: float


@dataclass(frozen=True)
class Series:
    """One metric of one database: `times` ascend, `values` are as many, and `anomalies` is the whole truth about them.

    A point that is missing has neither time nor value.
    """

    name: str
    unit: str
    kinds: tuple[Kind, ...]
    times: tuple[datetime, ...]
    values: tuple[float, ...]
    anomalies: tuple[Anomaly, ...]


@dataclass(frozen=True)
class Recipe:
    """How a metric behaves: the level that its shape multiplies, its noise, its bounds and the share of missing points.

    `spread` multiplies the noise. On the linear scale it is a share of the level.
    """

    name: str
    unit: str
    kinds: tuple[Kind, ...]
    level: float
    shape: ShapeOf
    noise: NoiseOf
    spread: float
    scale: Scale = "linear"
    days: int = 9
    step: float = 0.01  # the least difference that the metric shows
    high: float = math.inf
    missing: float = 0.0


@dataclass(frozen=True)
class _Clean:
    # A series before anything is injected; `expected` is on the scale, and `there` is false for a missing point.
    expected: list[float]
    values: list[float]
    there: list[bool]
    deviation: float


def series(seed: int) -> list[Series]:
    """Return the 28 series of `seed`. Odd seeds are for tuning, even seeds are held out."""
    quiet = set(random.Random(f"quiet {seed}").sample(range(len(RECIPES)), len(RECIPES) // 3))
    return [_series(r, random.Random(f"{seed} {r.name}"), quiet=n in quiet) for n, r in enumerate(RECIPES)]


def _series(recipe: Recipe, rng: random.Random, *, quiet: bool) -> Series:
    clean = _clean(recipe, rng)
    values = list(clean.values)
    anomalies = [] if quiet else _inject(recipe, rng, clean, values)
    kept = [i for i, there in enumerate(clean.there) if there]
    return Series(
        name=recipe.name,
        unit=recipe.unit,
        kinds=recipe.kinds,
        times=tuple(START + i * STEP for i in kept),
        values=tuple(values[i] for i in kept),
        anomalies=tuple(sorted(anomalies, key=lambda anomaly: anomaly.start)),
    )


def _clean(recipe: Recipe, rng: random.Random) -> _Clean:
    count = recipe.days * DAY
    level = recipe.level * (rng.uniform(0.75, 1.35) if math.isinf(recipe.high) else 1.0)
    shape, spread = recipe.shape(rng), recipe.spread * (level if recipe.scale == "linear" else 1.0)
    expected = [_scaled(level * shape(i), recipe.scale) for i in range(count)]
    noise = recipe.noise(rng, count)
    values = [_shown(recipe, x + spread * e) for x, e in zip(expected, noise, strict=True)]
    residuals = [_scaled(v, recipe.scale) - x for v, x in zip(values, expected, strict=True)]
    return _Clean(expected, values, _there(rng, count, recipe.missing), _deviation(recipe, residuals, level))


def _deviation(recipe: Recipe, residuals: Sequence[float], level: float) -> float:
    centre = median(residuals)
    robust = 1.4826 * median(abs(r - centre) for r in residuals)
    return max(robust, _scaled(level + recipe.step, recipe.scale) - _scaled(level, recipe.scale))


def _there(rng: random.Random, count: int, missing: float) -> list[bool]:
    # Half of what is missing are single points, the other half are outages of half an hour to six hours.
    there = [True] * count
    for i in rng.sample(range(count), int(count * missing / 2)):
        there[i] = False
    lost = 0
    while lost < count * missing / 2:
        start, length = rng.randrange(count), rng.randint(HOUR // 2, 6 * HOUR)
        there[start : start + length] = [False] * len(there[start : start + length])
        lost += length
    return there


def _inject(recipe: Recipe, rng: random.Random, clean: _Clean, values: list[float]) -> list[Anomaly]:
    # Changes `values` in place.
    spikes, shifts = rng.randint(1, 4), rng.randint(0, 3)
    spikes, shifts = rng.randint(1, 4), rng.randint(0, 3)
    wanted: tuple[AnomalyKind, ...] = _SPIKES[:spikes] + _SHIFTS[:shifts]
    free = [i >= len(values) // 2 and i < len(values) - 2 * HOUR and clean.there[i] for i in range(len(values))]
    anomalies = []
    for kind in wanted:
        length = rng.choices([1, 2, 3], [6, 2, 1])[0] if kind == "spike" else rng.randint(5, 4 * HOUR)
        size = SPIKE + min(rng.expovariate(1.5), 4.0) if kind == "spike" else SHIFT
        starts = [i for i in range(len(values) - length) if all(free[i : i + length])]
        start = rng.choice(starts)
        span = range(start, start + length)
        ways = (1,) if recipe.scale == "log" else (1, -1)  # nobody minds that a latency fell
        size *= rng.choice([way for way in ways if _fits(recipe, clean, span, way * size)])
        for i in span:
            values[i] = _moved(recipe, clean, i, kind, size)
        free[max(0, start - APART) : span.stop + APART] = [False] * (span.stop + APART - max(0, start - APART))
        anomalies.append(Anomaly(START + start * STEP, START + (span.stop - 1) * STEP, kind, round(size, 3)))
    return anomalies


def _fits(recipe: Recipe, clean: _Clean, span: range, size: float) -> bool:
    reached = [clean.expected[i] + size * clean.deviation for i in span]
    least = -math.inf if recipe.scale == "log" else _scaled(0.0, recipe.scale)
    most = math.inf if math.isinf(recipe.high) else _scaled(recipe.high, recipe.scale)
    return all(least <= x <= most for x in reached)


def _moved(recipe: Recipe, clean: _Clean, i: int, kind: AnomalyKind, size: float) -> float:
    # A spike replaces the noise, so that its size is exact; a shift keeps it.
    if kind == "shift":
        return _shown(recipe, _scaled(clean.values[i], recipe.scale) + size * clean.deviation)
    value = _unscaled(clean.expected[i] + size * clean.deviation, recipe.scale)
    outwards = math.ceil if size > 0 else math.floor
    return _bounded(recipe, round(outwards(round(value / recipe.step, 6)) * recipe.step, 6))


def _shown(recipe: Recipe, scaled: float) -> float:
    return _bounded(recipe, round(round(_unscaled(scaled, recipe.scale) / recipe.step) * recipe.step, 6))


def _bounded(recipe: Recipe, value: float) -> float:
    return min(max(value, recipe.step if recipe.scale == "log" else 0.0), recipe.high)


def _scaled(value: float, scale: Scale) -> float:
    if scale == "log":
        return math.log(value)
    return 2 * math.sqrt(value + 3 / 8) if scale == "root" else value


def _unscaled(value: float, scale: Scale) -> float:
    if scale == "log":
        return math.exp(value)
    return max((max(value, 0.0) / 2) ** 2 - 3 / 8, 0.0) if scale == "root" else value


# Shapes: the expected value of a point, as a multiple of the level.


def flat(rng: random.Random) -> Shape:
    """Stay at the level."""
    return lambda i: 1.0


def busy_hours(depth: float) -> ShapeOf:
    """Rise over the working day and fall at night; `depth` is the share of the level between noon and night."""

    def of(rng: random.Random) -> Shape:
        peak = rng.uniform(11.0, 16.0)
        return lambda i: 1.0 + depth * math.cos(2 * math.pi * ((i % DAY) / HOUR - peak) / 24)

    return of


def office_week(depth: float, weekend: float) -> ShapeOf:
    """Have busy hours, and only `weekend` of them on Saturday and Sunday."""

    def of(rng: random.Random) -> Shape:
        day = busy_hours(depth)(rng)
        return lambda i: day(i) * (weekend if i // DAY % 7 >= 5 else 1.0)

    return of


def nightly_job(height: float) -> ShapeOf:
    """Stay at the level, but go to `height` levels for half an hour at the same time of every night."""

    def of(rng: random.Random) -> Shape:
        begins = rng.randrange(HOUR, 5 * HOUR)
        return lambda i: height if 0 <= i % DAY - begins < HOUR // 2 else 1.0

    return of


def growth(per_day: float, depth: float = 0.0) -> ShapeOf:
    """Grow by a share of the level every day, with busy hours of `depth` on top."""

    def of(rng: random.Random) -> Shape:
        day, pace = busy_hours(depth)(rng), per_day * rng.uniform(0.6, 1.4)
        return lambda i: day(i) + pace * i / DAY

    return of


def sawtooth(hours: int) -> ShapeOf:
    """Rise from a third of the level until a vacuum brings it back, every few hours."""

    def of(rng: random.Random) -> Shape:
        period, offset = hours * HOUR, rng.randrange(hours * HOUR)
        return lambda i: 0.33 + 1.34 * ((i + offset) % period) / period

    return of


# Noise: one number for each point, about one deviation wide.


def even(rng: random.Random, count: int) -> list[float]:
    """Return independent noise."""
    return [rng.gauss(0, 1) for _ in range(count)]


def lingering(rng: random.Random, count: int) -> list[float]:
    """Return noise that remembers half of the point before."""
    noise, last = [], 0.0
    for _ in range(count):
        last = 0.5 * last + rng.gauss(0, math.sqrt(0.75))
        noise.append(last)
    return noise


def bursts(rng: random.Random, count: int) -> list[float]:
    """Return noise with bursts of one to four points that are normal for the metric, about three a day."""
    noise = even(rng, count)
    for _ in range(3 * count // DAY):
        start, height = rng.randrange(count), rng.uniform(2.0, 3.5)
        for i in range(start, min(count, start + rng.randint(1, 4))):
            noise[i] = height + 0.3 * rng.gauss(0, 1)
    return noise


def rare_steps(rng: random.Random, count: int) -> list[float]:
    """Return zero nearly always, and one step up or down at one point in two hundred."""
    return [rng.choice((-1.0, 1.0)) if rng.random() < 0.005 else 0.0 for _ in range(count)]


RECIPES: tuple[Recipe, ...] = (
    Recipe("query_latency_p50", "ms", ("hourly", "level_noise"), 12.0, busy_hours(0.3), lingering, 0.06),
    Recipe("query_latency_p95", "ms", ("heavy_tail", "hourly"), 60.0, busy_hours(0.4), even, 0.35, "log"),
    Recipe("query_latency_max", "ms", ("heavy_tail",), 220.0, flat, even, 0.6, "log"),
    Recipe("commit_latency", "ms", ("level_noise", "gaps"), 3.5, flat, lingering, 0.08, missing=0.06),
    Recipe("lock_wait", "ms", ("heavy_tail", "weekly"), 25.0, office_week(0.5, 0.4), even, 0.45, "log", days=28),
    Recipe("replay_lag", "ms", ("heavy_tail", "gaps"), 90.0, nightly_job(8.0), even, 0.4, "log", missing=0.04),
    Recipe("checkpoint_time", "s", ("level_noise",), 40.0, flat, even, 0.1),
    Recipe("backup_reads", "MB/s", ("hourly", "level_noise"), 20.0, nightly_job(9.0), even, 0.07),
    Recipe("errors", "a step", ("bursty", "integer"), 2.0, flat, bursts, 1.0, "root", step=1),
    Recipe("deadlocks", "a step", ("bursty", "near_constant", "integer"), 0.2, flat, bursts, 0.7, "root", step=1),
    Recipe(
        "failed_logins", "a step", ("bursty", "hourly", "integer"), 6.0, busy_hours(0.6), bursts, 1.0, "root", step=1
    ),
    Recipe(
        "cancelled_statements",
        "a step",
        ("bursty", "gaps", "integer"),
        4.0,
        flat,
        bursts,
        1.0,
        "root",
        step=1,
        missing=0.08,
    ),
    Recipe(
        "timeouts", "a step", ("bursty", "weekly", "integer"), 5.0, office_week(0.4, 0.3), bursts, 1.0, "root", 28, 1
    ),
    Recipe("connections", "", ("hourly", "integer"), 45.0, busy_hours(0.5), even, 0.06, step=1),
    Recipe(
        "connections_pool", "", ("weekly", "integer"), 120.0, office_week(0.5, 0.35), lingering, 0.04, days=28, step=1
    ),
    Recipe("idle_in_transaction", "", ("integer", "hourly"), 9.0, busy_hours(0.3), even, 1.0, "root", step=1),
    Recipe("max_connections", "", ("near_constant", "integer"), 100.0, flat, rare_steps, 0.01, step=1),
    Recipe(
        "replication_slots", "", ("near_constant", "integer", "gaps"), 4.0, flat, rare_steps, 0.25, step=1, missing=0.05
    ),
    Recipe("orders_rows", "rows", ("trend", "integer"), 480_000.0, growth(0.004), even, 0.0008, step=1),
    Recipe(
        "events_rows",
        "rows",
        ("trend", "weekly", "integer"),
        2_600_000.0,
        growth(0.011, 0.01),
        lingering,
        0.002,
        days=28,
        step=1,
    ),
    Recipe("database_size", "MB", ("trend", "gaps"), 18_400.0, growth(0.006), even, 0.0006, missing=0.1),
    Recipe("dead_rows", "rows", ("hourly", "integer"), 30_000.0, sawtooth(6), even, 0.03, step=1),
    Recipe(
        "inserted_rows", "rows", ("weekly", "integer"), 3_200.0, office_week(0.6, 0.25), even, 0.07, days=28, step=1
    ),
    Recipe("transactions", "a second", ("hourly", "trend"), 310.0, growth(0.02, 0.35), even, 0.05),
    Recipe("cache_hit_rate", "", ("rate", "level_noise"), 0.965, flat, lingering, 0.003, step=0.0001, high=1.0),
    Recipe("cpu_share", "", ("rate", "hourly"), 0.38, busy_hours(0.3), even, 0.06, step=0.001, high=1.0),
    Recipe("rollback_share", "", ("rate", "gaps"), 0.04, flat, even, 0.12, step=0.0001, high=1.0, missing=0.05),
    Recipe(
        "disk_share", "", ("rate", "trend", "near_constant"), 0.52, growth(0.006), even, 0.0008, step=0.001, high=1.0
    ),
)
