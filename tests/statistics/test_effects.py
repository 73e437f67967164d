"""Statistics on numbers: shrinkage against known answers, intervals that cover, and no findings where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics import coordination, drift, failures
from agent.statistics.conformal import conformal_offsets
from agent.statistics.effects import Cells, fit_effects
from agent.statistics.intervals import quantile_of_counts, share_interval
from agent.statistics.multiple_testing import benjamini_hochberg


def test_with_given_variances_the_normal_effects_solve_the_mixed_model_equations() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 6, 40), random.integers(0, 5, 40)
    cells_of, inverse = np.unique(one * 5 + other, return_inverse=True)
    values = random.normal(2, 1, 40)
    n, total = np.bincount(inverse).astype(float), np.bincount(inverse, values)
    cells = Cells(cells_of // 5, cells_of % 5, n, total, float(np.sum(values**2) - np.sum(total**2 / n)))
    found = fit_effects(cells, levels=(6, 5), family="normal", between=(0.5, 0.4, 0.3))
    # Henderson's equations, with a column for the mean, each level and each combination, and no elimination.
    design = np.zeros((40, 12 + len(cells_of)))
    design[:, 0] = design[np.arange(40), 1 + one] = design[np.arange(40), 7 + other] = design[
        np.arange(40), 12 + inverse
    ] = 1
    noise = found.noise
    penalty = np.diag([1e-6, *[1 / 0.5] * 6, *[1 / 0.4] * 5, *[1 / 0.3] * len(cells_of)])
    system = design.T @ design / noise + penalty
    solved = np.linalg.solve(system, design.T @ values / noise)
    assert found.mean == pytest.approx(solved[0], abs=1e-6)
    assert found.one == pytest.approx(solved[1:7], abs=1e-6)
    rows = np.array([design[np.flatnonzero(inverse == place)[0]] for place in range(len(cells_of))])
    assert found.linear == pytest.approx(rows @ solved, abs=1e-6)
    assert found.linear_variance == pytest.approx(np.einsum("ij,jk,ik->i", rows, np.linalg.inv(system), rows), abs=1e-6)


@given(st.integers(0, 60), st.integers(0, 60))
def test_an_interval_of_a_share_holds_it_and_shrinks_with_more(good: int, bad: int) -> None:
    interval = share_interval(good, good + bad)
    if good + bad == 0:
        assert interval is None
        return
    assert interval is not None
    assert 0 <= interval[0] <= good / (good + bad) <= interval[1] <= 1
    more = share_interval(4 * good, 4 * (good + bad))
    assert more is not None
    assert more[1] - more[0] < interval[1] - interval[0]


def test_quantiles_of_counts_and_of_nothing() -> None:
    assert quantile_of_counts({}, 0.5) is None
    assert quantile_of_counts({"0": 0}, 0.5) is None
    assert quantile_of_counts({"0": 10, "40": 10}, 0.25) == pytest.approx(2**0.125)
    assert 2**10 <= (quantile_of_counts({"0": 10, "40": 10}, 0.99) or 0) <= 2**10.25


def test_conformal_intervals_cover_in_the_mean_whatever_the_distribution_is() -> None:
    random, inside = np.random.default_rng(1), []
    for _ in range(300):
        sample = random.standard_t(2, 100)
        offsets = conformal_offsets(sample.tolist(), 0.9)
        assert offsets is not None
        new = random.standard_t(2, 50)
        inside.append(np.mean((offsets[0] <= new) & (new <= offsets[1])))
    assert 0.89 < np.mean(inside) < 0.925
    assert conformal_offsets([1.0] * 10, 0.9) is None


def test_benjamini_hochberg_gives_the_published_example() -> None:
    # Benjamini and Hochberg (1995), their table of 15 p-values: at .05 four are findings.
    published = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    assert sum(rate <= 0.05 for rate in benjamini_hochberg(published)) == 4


def runs(count: int, **more: object) -> list[dict]:
    from datetime import UTC, datetime, timedelta

    start = datetime(2026, 1, 1, tzinfo=UTC)
    plain = {"agent_name": "a", "task_type": "t", "task_id": None, "success": True, "execution_time": 1.0, "cost_usd": None, "tokens": None,
             "steps": None, "error_message": None}  # fmt: skip
    return [{**plain, "id": n, "timestamp": start + timedelta(minutes=n), **more} for n in range(count)][::-1]


def test_a_pair_is_found_by_what_it_does_together_and_not_by_being_good() -> None:
    random, made = np.random.default_rng(3), []
    skill = {"ace": 0.35, "kit": 0.0, "lee": 0.0, "mo": 0.0, "zed": 0.0}
    names = sorted(skill)
    for task in range(700):
        team = sorted(map(str, random.choice(names, 2, replace=False)))
        chance = 0.4 + sum(skill[name] for name in team) + (0.35 if team == ["lee", "mo"] else 0)
        good = bool(random.random() < chance)
        made += [
            dict(one, id=2 * task + place, agent_name=name, task_id=task, success=good)
            for place, (name, one) in enumerate(zip(team, runs(2), strict=True))
        ]
    found = coordination.pairs_that_do_better(coordination.tasks_of(made))
    assert found[0]["agents"] == ["lee", "mo"]
    assert not any("ace" in one["agents"] for one in found), "ace is good with everybody, which is no coordination"
    assert 0.2 < found[0]["effect"] < 0.5
    assert set(found[0]["runs"]) <= {run["id"] for run in made if run["agent_name"] in ("lee", "mo")}


def test_drift_sees_tokens_and_steps_that_change_while_success_stays() -> None:
    random, made = np.random.default_rng(4), runs(120)
    for place, run in enumerate(reversed(made)):
        late = place >= 80
        run["tokens"] = int(1000 * np.exp(random.normal(0.8 if late else 0, 0.2)))
        run["steps"] = ["search", "retry" if late and random.random() < 0.7 else "answer"]
        run["execution_time"] = float(np.exp(random.normal(0, 0.3)))
    found = {one["measure"]: one for one in drift.drifts(made)}
    assert set(found) == {"tokens", "steps"}
    assert 1.9 < found["tokens"]["factor"] < 2.7
    assert (found["steps"]["step"] in ("retry", "answer"), found["tokens"]["runs"][-1]) == (True, 119)
    steady = runs(120)
    for run in steady:
        run["tokens"] = int(1000 * np.exp(random.normal(0, 0.2)))
    assert drift.drifts(steady) == []


def test_failures_are_grouped_by_what_they_share() -> None:
    made = [
        *runs(30, success=False, steps=["a", "call_api"], error_message="Timeout after 30 s for 'x'"),
        *runs(10, success=False, steps=["b", "call_api"], error_message="Timeout after 31 s for 'y'"),
        *runs(5, success=False, task_type="u", error_message="no such table"), *runs(55),
    ]  # fmt: skip
    found = failures.clusters(made)
    assert [(one["task_type"], one["failures"]) for one in found["clusters"]] == [("t", 30), ("t", 10), ("u", 5)]
    assert found["clusters"][0]["error"] == "Timeout after # s for '...'"
    assert found["sentence"] == "2 patterns explain 89% of 45 failures."
    assert failures.clusters([])["sentence"] is None
