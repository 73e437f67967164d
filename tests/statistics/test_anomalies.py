"""What is unusual in a series: spikes and shifts are found, and nothing that recurs, drifts, is missing or is told in local time."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.statistics.anomalies import Direction, find_episodes
from agent.statistics.robust import deviation, median, quantile

STEP, DAY = 300.0, 288
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def busy_days(
    days: int, *, start: float = MONDAY, zone: ZoneInfo | None = None, noise: float = 1.0
) -> tuple[list[float], list[float]]:
    """Values that rise at noon and have a job at three each night, by local time."""
    rng = random.Random(days)
    times = [start + n * STEP for n in range(days * DAY)]
    values = []
    for at in times:
        local = datetime.fromtimestamp(at, tz=zone or UTC)
        hour = local.hour + local.minute / 60
        values.append(
            100 - 40 * math.cos(hour / 24 * math.tau) + (200 if 3 <= hour < 3.25 else 0) + rng.gauss(0, noise)
        )
    return times, values


def test_a_spike_is_found_at_once_and_a_shift_after_some_points_each_as_one_episode() -> None:
    times, values = busy_days(9)
    spike, shift = 6 * DAY + 100, 8 * DAY + 30
    values[spike] += 8
    for place in range(shift, shift + 30):
        values[place] += 4
    found = find_episodes(times, values)
    assert (found[0].first, found[0].direction) == (spike, "up")
    assert len(found) == 2
    assert shift <= found[1].first <= shift + 5
    assert found[1].last >= shift + 29
    assert find_episodes(times[: spike + 1], values[: spike + 1])[0].open
    assert not find_episodes(times[: spike + 20], values[: spike + 20])[0].open


@pytest.mark.parametrize("direction", ["up", "down"])
def test_only_the_direction_that_matters_and_nothing_too_small_to_matter(direction: Direction) -> None:
    times, values = busy_days(7)
    values[4 * DAY + 150] += 9
    values[6 * DAY + 150] -= 9
    found = find_episodes(times, values, direction=direction)
    assert [one.direction for one in found] == [direction]
    assert find_episodes(times, values, least=20) == []


def test_a_job_each_night_and_summer_time_are_no_news_in_local_time() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 23, tzinfo=berlin).timestamp()  # the clocks change on the 29th
    times, values = busy_days(12, start=start, zone=berlin)
    assert find_episodes(times, values, zone=berlin) == []
    assert find_episodes(times, values) != []  # what would be said without the zone


def test_gaps_disorder_and_values_that_are_no_numbers_change_nothing() -> None:
    times, values = busy_days(8)
    values[6 * DAY + 100] += 9
    kept = [n for n in range(len(times)) if n % 7 and not 3 * DAY + 120 < n < 3 * DAY + 210]
    at, numbers = [times[n] for n in kept], [values[n] for n in kept]
    order = list(range(len(at)))
    random.Random(1).shuffle(order)
    at, numbers = [at[n] for n in order] + [math.nan, MONDAY], [numbers[n] for n in order] + [1.0, math.inf]
    found = find_episodes(at, numbers)
    assert [at[one.first] for one in found] == [times[6 * DAY + 100]]


def test_a_quiet_weekend_that_was_never_seen_is_no_news() -> None:
    times, values = busy_days(7)
    values = [value * (0.3 if n >= 5 * DAY else 1) for n, value in enumerate(values)]
    assert find_episodes(times, values) == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 5).map(float)),
        min_size=0,
        max_size=400,
    ),
    st.floats(min_value=1e-3, max_value=1e6),
)
def test_no_series_breaks_it(values: list[float], step: float) -> None:
    found = find_episodes([MONDAY + n * step for n in range(len(values))], values)
    assert all(0 <= one.first <= one.last < len(values) for one in found)


def test_constant_and_empty_series_say_nothing() -> None:
    assert find_episodes([], []) == []
    assert find_episodes([MONDAY] * 50, [1.0] * 50) == []
    assert find_episodes([MONDAY + n * STEP for n in range(2_000)], [7.0] * 2_000) == []


def test_robust_quantities() -> None:
    assert (quantile([], 0.5), median([3, math.nan, 1, math.inf, 2])) == (None, 2.0)
    assert deviation([]) == 0.0
    assert deviation([-1, 1, -1, 1, 1e9]) == pytest.approx(1.4826)
