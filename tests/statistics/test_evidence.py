"""The statistics that decide about changes: exact bounds, a gate that equal candidates do not pass, tests that hold at every look."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from benchmarks.evidence.worlds import confounded, paired
from hypothesis import given
from hypothesis import strategies as st

from agent.statistics.e_process import harm_of, is_wrong_ratio
from agent.statistics.evidence_gate import cases_needed, judge, paired_bound, selects
from agent.statistics.exact import share_at_least, student_quantile, upper_tail
from agent.statistics.lifts import later_tasks, lifts
from agent.statistics.off_policy import estimate

NAMES = [f"case-{number}" for number in range(240)]


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 19))
def test_the_tail_and_the_bound_of_a_share_are_exact(trials: int, wins: int, twentieths: int) -> None:
    wins = min(wins, trials)
    share = Fraction(twentieths, 20)
    exact = sum(comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(wins, trials + 1))
    assert upper_tail(wins, trials, float(share)) == pytest.approx(float(exact), rel=1e-9)
    bound = share_at_least(wins, trials, 0.98)
    assert wins == 0 or upper_tail(wins, trials, bound) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize(("confidence", "freedom", "table"), [(0.95, 10, 1.812), (0.975, 30, 2.042), (0.99, 12, 2.681)])
def test_the_quantile_of_student_is_that_of_the_tables(confidence: float, freedom: int, table: float) -> None:
    assert student_quantile(confidence, freedom) == pytest.approx(table, abs=2e-3)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=80))
def test_the_bounds_of_a_difference_hold_it_and_turn_with_its_sign(differences: list[float]) -> None:
    there, back = paired_bound(differences), paired_bound([-one for one in differences])
    assert there.lower <= there.mean <= there.upper
    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower))


def test_equal_candidates_do_not_pass_and_a_better_one_does() -> None:
    equal = better = 0
    for world in range(150):
        for gain, offset in ((0.0, 0), (0.1, 1_000)):
            baseline, candidates = paired(np.random.default_rng(world + offset), 240, [gain] + [0.0] * 4, 0.1)
            said = judge(NAMES, baseline=baseline, candidates=candidates, seed=str(world), worth=0.05).outcome
            equal, better = equal + (said == "better" and not gain), better + (said == "better" and gain > 0)
    assert equal <= 6  # 2 % of 150, and what chance adds to that
    assert better >= 120


def test_a_verdict_follows_from_the_seed_and_the_names_of_the_cases_alone() -> None:
    baseline, candidates = paired(np.random.default_rng(1), 240, [0.1, 0.0], 0.2)
    order = np.random.default_rng(2).permutation(240)
    one = judge(NAMES, baseline=baseline, candidates=candidates, seed="a", worth=0.05)
    other = judge(
        [NAMES[place] for place in order], baseline=baseline[order], candidates=[each[order] for each in candidates], seed="a", worth=0.05
    )  # fmt: skip
    assert one.bound == other.bound
    assert one.bound is not None
    assert {NAMES[place] for place in one.confirmed_on} == {name for name in NAMES if not selects(name, "a")}


def test_few_cases_are_underpowered_and_say_how_many_more_are_needed() -> None:
    few = judge(["one"], baseline=np.zeros(1), candidates=[np.ones(1)], seed="a", worth=0.05)
    assert (few.outcome, few.chosen) == ("underpowered", None)
    assert few.more_cases is not None
    assert few.more_cases >= cases_needed(0.05, 0.2)
    unclear = np.zeros(240)
    unclear[:30] = np.tile([1.0, -1.0, 1.0], 10)
    said = judge(NAMES, baseline=np.zeros(240), candidates=[unclear], seed="a", worth=0.1)
    assert said.outcome == "underpowered"
    assert said.more_cases is not None
    nothing = judge(NAMES, baseline=np.zeros(240), candidates=[np.zeros(240)], seed="a", worth=0.05)
    assert (nothing.outcome, nothing.more_cases) == ("not better", None)


def test_a_slice_or_a_guardrail_that_is_worse_stops_what_is_better_on_the_whole() -> None:
    gain = np.ones(240)
    gain[:40] = -1.0
    slices = ["small" if place < 40 else "large" for place in range(240)]
    given_: dict[str, object] = {"baseline": np.zeros(240), "candidates": [gain], "seed": "a", "worth": 0.05}
    assert judge(NAMES, **given_).outcome == "better"  # type: ignore[arg-type]
    said = judge(NAMES, **given_, slices=slices)  # type: ignore[arg-type]
    assert (said.outcome, said.harmed) == ("harmful", ("slice small",))
    for cost in (np.full(240, -0.3), np.full(240, math.nan)):
        said = judge(NAMES, **given_, guardrails=[{"cost": cost}], margins={"cost": 0.1})  # type: ignore[arg-type]
        assert said.harmed == ("guardrail cost",)


def test_a_canary_of_the_same_is_seldom_rolled_back_and_a_worse_one_soon() -> None:
    random = np.random.default_rng(5)
    back = sum(harm_of(*(random.random((2, 200)) < 0.8).astype(float)).rolls_back for _ in range(300))
    assert back <= 24  # 5 %, and what chance adds to that
    worse = [
        harm_of(*(random.random((2, 100)) < np.array([[0.8], [0.6]])).astype(float)).rolls_back for _ in range(100)
    ]
    assert sum(worse) > 50
    # What the evidence reached once stays, also when later pairs look well.
    assert harm_of([1.0] * 30 + [0.0] * 60, [0.0] * 30 + [1.0] * 60).rolls_back


def test_a_broken_assignment_is_told_from_an_uneven_one() -> None:
    assert is_wrong_ratio(620, 1_000, 0.5)
    assert not is_wrong_ratio(530, 1_000, 0.5)
    assert not is_wrong_ratio(0, 0, 0.1)


def test_confounded_runs_are_put_right_and_too_few_are_refused() -> None:
    found = []
    for world in range(30):
        log = confounded(np.random.default_rng(world), 2_000)
        known = {"contexts": log.contexts, "actions": log.actions, "propensities": log.propensities}
        one = estimate(**known, outcomes=log.outcomes, target=log.target)
        assert one.value is not None
        found.append(one.value - log.truth)
    assert abs(float(np.mean(found))) <= 0.02
    few = estimate(
        **{name: values[:90] for name, values in known.items()}, outcomes=log.outcomes[:90], target=log.target[:90]
    )
    assert few.value is None
    assert "100 are needed" in few.reason
    unknown = estimate(**known | {"propensities": np.zeros(2_000)}, outcomes=log.outcomes, target=log.target)
    assert unknown.value is None


def test_what_only_goes_with_easy_tasks_is_no_pattern() -> None:
    random = np.random.default_rng(9)
    strata = random.integers(0, 2, 800)
    easy = strata.astype(float)
    features = np.stack([random.random(800) < 0.2 + 0.6 * easy, random.random(800) < 0.5], axis=1).astype(float)
    outcomes = (random.random(800) < 0.3 + 0.4 * easy + 0.25 * features[:, 1]).astype(float)
    later = later_tasks([str(place) for place in range(800)])
    with_easy, planted = lifts(features, outcomes=outcomes, strata=strata, later=later)
    assert (with_easy.found, planted.found) == (False, True)
    assert 0.05 < planted.lift < planted.raw  # drawn to zero
    assert planted.confidence > 0.9
    (alone,) = lifts(features[:, 1:], outcomes=outcomes, strata=strata, later=np.ones(800, dtype=bool))
    assert (alone.found, alone.n_with) == (False, 0)
