"""Measure the statistics that decide about changes, in worlds whose truth is known: how often they are wrong, and how often they see."""

from __future__ import annotations

from statistics import median

import numpy as np

from agent.statistics.e_process import Harm, is_wrong_ratio
from agent.statistics.evidence_gate import Verdict, judge
from agent.statistics.lifts import Lift, later_tasks, lifts
from agent.statistics.off_policy import Estimate, estimate
from benchmarks.evidence.campaign import run as run_campaign
from benchmarks.evidence.worlds import Floats, Log, Mine, confounded, mine, paired
from benchmarks.report import Report

CASES, WORLDS, MINES, LOGS = 240, 1_000, 60, 400
_NAMES = [f"case-{number}" for number in range(CASES)]


async def measure(report: Report) -> None:
    _judge_equals(report)
    _judge_power(report)
    _judge_canary(report)
    _judge_logs(report)
    _judge_mining(report)
    await _judge_campaign(report)


def _verdict(world: int, gains: list[float], discordance: float) -> Verdict:
    random = np.random.default_rng(world)
    baseline, candidates = paired(random, CASES, gains, discordance)
    return judge(_NAMES, baseline=baseline, candidates=candidates, seed=str(world), worth=0.05)


def _judge_equals(report: Report) -> None:
    rates = {}
    for discordance in (0.1, 0.2, 0.3):
        said = [_verdict(world, [0.0] * 5, discordance) for world in range(WORLDS)]
        rates[discordance] = sum(one.outcome == "better" for one in said) / WORLDS
    worst = max(rates.values())
    report.bar(
        "proposals that are no better, best of 5: applied", bar="<= 2 %", ok=worst <= 0.02,
        reached=", ".join(f"{rate:.1%} at discordance {one}" for one, rate in rates.items()),
    )  # fmt: skip


def _judge_power(report: Report) -> None:
    shares, ratios = {}, []
    for discordance in (0.1, 0.2, 0.3):
        said = [_verdict(world, [0.1, 0.0, 0.0, 0.0, 0.0], discordance) for world in range(WORLDS)]
        applied = [one for one in said if one.outcome == "better" and one.chosen == 0]
        shares[discordance] = len(applied) / WORLDS
        if discordance == 0.1:
            ratios = [one.bound.mean / 0.1 for one in applied if one.bound]
    report.bar(
        "a true +10 points among 5, 240 cases: applied at discordance .1", bar=">= 85 %", ok=shares[0.1] >= 0.85,
        reached=", ".join(f"{share:.0%} at {one}" for one, share in shares.items()),
    )  # fmt: skip
    claimed = float(np.mean(ratios))
    report.bar("claimed over realised improvement", bar=".9-1.1", reached=f"{claimed:.2f}", ok=0.9 <= claimed <= 1.1)


def _judge_canary(report: Report) -> None:
    random, back, caught = np.random.default_rng(3), 0, []
    for _ in range(WORLDS):
        same = random.random((2, 400)) < 0.8
        back += _first_rollback(same[0], same[1]) is not None
        worse = random.random((2, 400)) < np.array([[0.8], [0.6]])
        caught.append(_first_rollback(worse[0], worse[1]) or 401)
    report.bar(
        "canary of the same: rolled back within 400 pairs", bar="<= 5 %", reached=f"{back / WORLDS:.1%}",
        ok=back / WORLDS <= 0.05,
    )  # fmt: skip
    report.bar(
        "canary that is 20 points worse: pairs until it is rolled back (median)", bar="<= 100",
        reached=f"{median(caught):.0f}", ok=median(caught) <= 100,
    )  # fmt: skip
    skewed = sum(is_wrong_ratio(int(random.binomial(1_500, 0.6)), 1_500, 0.5) for _ in range(200)) / 200
    fair = sum(is_wrong_ratio(int(random.binomial(1_500, 0.5)), 1_500, 0.5) for _ in range(1_000)) / 1_000
    report.bar(
        "a 60/40 assignment in the place of 50/50, at 1,500 runs: stopped", bar=">= 95 %, fair ones <= .1 %",
        reached=f"{skewed:.0%}, fair ones {fair:.2%}", ok=skewed >= 0.95 and fair <= 0.001,
    )  # fmt: skip


def _first_rollback(control: Floats, canary: Floats) -> int | None:
    found = Harm()
    for one, other in zip(control, canary, strict=True):
        found = found.after(float(one), float(other))
        if found.rolls_back:
            return found.pairs
    return None


def _judge_logs(report: Report) -> None:
    biases, covered, naive = [], 0, []
    for world in range(LOGS):
        log = confounded(np.random.default_rng(world), 2_000)
        found = _estimated(log)
        assert found.value is not None
        assert found.lower is not None
        assert found.upper is not None
        biases.append(found.value - log.truth)
        covered += found.lower <= log.truth <= found.upper
        naive.append(float(log.outcomes[log.actions == 1].mean()) - log.truth)
    bias, coverage = float(np.mean(biases)), covered / LOGS
    report.bar(
        "confounded logs: bias of the doubly robust estimate", bar="|bias| <= .02", ok=abs(bias) <= 0.02,
        reached=f"{bias:+.4f} (the plain mean: {np.mean(naive):+.3f})",
    )  # fmt: skip
    report.bar(
        "confounded logs: coverage of the 95 % interval", bar="92-97 %", reached=f"{coverage:.1%}", ok=0.92 <= coverage <= 0.97
    )  # fmt: skip
    few = [_estimated(confounded(np.random.default_rng(world), 150, explored=0.1)).value for world in range(100)]
    refused = sum(one is None for one in few) / len(few)
    report.bar("low effective sample size: refused", bar="100 %", reached=f"{refused:.0%}", ok=refused == 1)


def _estimated(log: Log) -> Estimate:
    return estimate(
        contexts=log.contexts, actions=log.actions, propensities=log.propensities, outcomes=log.outcomes, target=log.target
    )  # fmt: skip


def _judge_mining(report: Report) -> None:
    false, seen = 0, 0
    for world in range(MINES):
        random = np.random.default_rng(world)
        made = mine(random, 600, 20, planted=0.0)
        false += any(one.found for one in _found(made))
        seen += _found(mine(random, 600, 20, planted=0.25))[0].found
    report.bar(
        "permuted labels: worlds with a false pattern among 20", bar="<= 10 %", reached=f"{false / MINES:.0%}",
        ok=false / MINES <= 0.1,
    )  # fmt: skip
    report.bar("a planted +25 points at 600 runs: found", bar=">= 80 %", reached=f"{seen / MINES:.0%}", ok=seen / MINES >= 0.8)  # fmt: skip


def _found(made: Mine) -> list[Lift]:
    return lifts(made.features, outcomes=made.outcomes, strata=made.strata, later=later_tasks(made.tasks))


async def _judge_campaign(report: Report) -> None:
    done = await run_campaign()
    report.bar(
        "a campaign on the real graph: a variant that helps, and one that changes nothing", bar="better; not better",
        reached=f"{done.better} ({done.claimed:+.2f}); {done.same}", ok=done.better == "better" and done.same in ("not better", "underpowered"),
    )  # fmt: skip
    report.bar("rows that rehearsals left behind", bar="0", reached=str(done.left_behind), ok=done.left_behind == 0)
    report.bar(
        "verdicts computed again from seed, cases and outcomes: the same", bar="yes", reached="yes" if done.reproduced else "no", ok=done.reproduced
    )  # fmt: skip
    report.bar(
        "a harmful canary: seconds from enough evidence until it is taken back", bar="< 60", reached=f"{done.rollback_seconds:.1f}",
        ok=done.rollback_seconds < 60,
    )  # fmt: skip
    report.note(f"a rehearsed turn takes {done.rehearsal_seconds * 1000:.0f} ms with a model that answers at once")
