"""Days beside the band that was predicted for them, and orders of agents that do better than other orders of the same ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from scipy.stats import permutation_test

from agent.analytics import AnalyticsService, coordination
from agent.errors import InvalidInput, NotFound
from agent.runtime import Runtime
from agent.statistics.permutation import Contrast, compared
from agent.testing.served import served

DAYS, EACH = 28, 40


async def test_nine_of_ten_days_are_inside_of_their_band_and_a_bad_day_is_not(runtime: Runtime) -> None:
    chance, service = random.Random(3), AnalyticsService(runtime)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rates = {("a", "easy"): 0.9, ("a", "hard"): 0.6, ("b", "easy"): 0.8, ("b", "hard"): 0.4}
    runs = []
    for back in range(1, DAYS + 1):
        for _ in range(EACH):
            pair = chance.choice(list(rates))
            bad = back == 5 and pair[0] == "a"
            runs.append(
                {
                    "agent_name": pair[0], "task_type": pair[1], "task_id": str(uuid4()), "success": chance.random() < (0.1 if bad else rates[pair]),
                    "execution_time": chance.lognormvariate({"easy": 0, "hard": 1}[pair[1]] + 2 * bad, 0.4),
                    "timestamp": (today - timedelta(days=back) + timedelta(hours=1)).isoformat(),
                }
            )  # fmt: skip
    assert (await service.trend())["days"] == []
    await service.log_runs(runs)
    await service.train()
    found = await service.trend(agent_name="a")
    bad_day = str((today - timedelta(days=5)).date())
    days = {one["day"]: one for one in found["days"]}
    assert list(days) == sorted(days, reverse=True)
    assert len(days) == DAYS
    assert (days[bad_day]["success_inside"], days[bad_day]["execution_time_inside"]) == (False, False)
    for name in ("success_inside", "execution_time_inside"):
        assert sum(one[name] for day, one in days.items() if day != bad_day) >= 0.8 * (DAYS - 1), name
    low, high = days[bad_day]["success_band"]
    assert 0 < low < days[bad_day]["expected_success_rate"] < high < 1
    assert high - low < 0.6
    since = str(today.date() - timedelta(days=9))
    for narrowed, kinds in (({}, {"easy", "hard"}), ({"task_type": "hard"}, {"hard"})):
        shown = (await service.trend(**narrowed, days=10))["days"]
        newest = [run for run in runs if run["timestamp"] >= since and run["task_type"] in kinds]
        assert sum(one["runs"] for one in shown) == len(newest)
    async with served(runtime) as client:
        assert (await client.get("/analytics/trends", params={"agent_name": "a"})).json()["days"] == found["days"]
        assert (await client.get("/analytics/trends", params={"agent_name": "nobody"})).status_code == 404
        assert (await client.get("/analytics/trends", params={"days": 0})).status_code == 422
    with pytest.raises(InvalidInput, match="not counted by day"):
        await service.trend(agent_name="a", task_type="hard")
    with pytest.raises(NotFound):
        await AnalyticsService(runtime.for_tenant("b")).trend(agent_name="a")


def tasks(seed: int, count: int, *, planted: float, teams: Sequence[Sequence[str]] = ()) -> list[dict[str, Any]]:
    """Tasks of teams in any order; "a" before "b" succeeds `planted` more often. Easy tasks have a first more often than not."""
    choose = random.Random(seed)
    found = []
    for number in range(count):
        team = list(choose.choice(teams or [("a", "b"), ("a", "b", "c"), ("b", "c"), ("c", "d"), ("a", "c")]))
        choose.shuffle(team)
        ordered = "a" in team and "b" in team and team.index("a") < team.index("b")
        # What confounds: an order that is mostly given to easy tasks.
        kind = "easy" if choose.random() < (0.8 if team[0] == "a" else 0.2) else "hard"
        rate = {"easy": 0.7, "hard": 0.35}[kind] + (0.1 if "d" in team else 0) + (planted if ordered else 0)
        found.append(
            {
                "task_id": str(UUID(int=number)), "task_type": kind, "agents": team, "success": choose.random() < rate,
                "runs": [10 * number + place for place in range(len(team))],
            }
        )  # fmt: skip
    return found


def test_an_order_that_helps_is_found_and_one_that_only_gets_easy_tasks_is_not() -> None:
    right, false = 0, 0
    for seed in range(20):
        found = coordination.sequences_that_do_better(tasks(seed, 700, planted=0.25))
        right += ["a", "b"] in [one["sequence"] for one in found]
        false += bool(coordination.sequences_that_do_better(tasks(seed, 700, planted=0.0)))
    assert right >= 16
    assert false <= 2
    (first, *_) = coordination.sequences_that_do_better(tasks(1, 2_000, planted=0.25))
    assert first["sequence"][:2] == ["a", "b"]
    assert abs(first["effect"] - 0.25) < 0.1
    assert first["tasks"] + first["other_orders"] > 600
    three = coordination.sequences_that_do_better(tasks(1, 3_000, planted=0.4, teams=[("a", "b", "c")]))
    assert ["a", "b"] in [one["sequence"] for one in three]
    assert all(
        one["sequence"].index("a") < one["sequence"].index("b") for one in three if {"a", "b"} <= set(one["sequence"])
    )


def test_too_few_tasks_one_order_only_and_repeated_agents_are_no_finding() -> None:
    assert coordination.sequences_that_do_better([]) == []
    always = [one | {"agents": ["a", "b"]} for one in tasks(2, 400, planted=0.0, teams=[("a", "b")])]
    assert coordination.sequences_that_do_better(always) == []
    again = [one | {"agents": ["a", "b", "a", "a"]} for one in always]
    assert coordination.sequences_that_do_better(again) == []


def test_the_p_value_is_that_of_another_library() -> None:
    chance = np.random.default_rng(2)
    marked, outcomes = chance.random(60) < 0.5, (chance.random(60) < 0.5).astype(float)
    members = [frozenset({0, 1})] * 60
    (mine,) = compared(
        members, outcomes=outcomes, strata=np.zeros(60, dtype=np.int64), contrasts=[Contrast(np.arange(60), marked)], rounds=4_000
    )  # fmt: skip
    theirs = permutation_test(
        (outcomes[marked], outcomes[~marked]), lambda x, y: x.mean() - y.mean(), alternative="greater", n_resamples=4_000, rng=chance
    )  # fmt: skip
    assert mine.effect == pytest.approx(theirs.statistic)
    assert mine.p_value == pytest.approx(theirs.pvalue, abs=0.04)
