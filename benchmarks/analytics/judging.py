"""Judges the models in worlds whose truth is known: against the best regularisation, per-cell quantiles, and the true best agent."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import product

import numpy as np

from agent.analytics import coordination
from agent.analytics.effect_model import Observation, fit
from agent.analytics.predictions import best_shares
from agent.analytics.training import observations
from agent.statistics.effects import Cells, fit_effects
from benchmarks.analytics.world import AGENTS, TASKS, World, ordered_teams, runs, teams, world
from benchmarks.analytics.world import made as made_run
from benchmarks.report import Report

LOGS, SPLITS, TESTED = 1_500, 24, 300
FIRST, ROUND = 500, 200
_LEVELS = (0.05, 0.5, 0.95)
_VARIANCES = (0.02, 0.1, 0.3, 0.6, 1.0, 2.0)


def judge_predictions(report: Report) -> None:
    """Brier score, coverage and pinball loss, each over many splits."""
    briers, oracles, covered, pinball, cells = [], [], [], [], []
    for split in range(SPLITS):
        made = runs(world(split), LOGS, 1_000 + split)
        success, seconds = observations(made, "success"), observations(made, "time")
        order = np.random.default_rng(split).permutation(LOGS)
        seen, new = order[TESTED:], order[:TESTED]
        model = fit([success[n] for n in seen], "success")
        briers.append(
            float(np.mean([(model.predict(o.agent, o.task).chance - o.value) ** 2 for o in (success[n] for n in new)]))
        )
        oracles.append(_best_brier([success[n] for n in seen], [success[n] for n in new]))
        timed = fit([seconds[n] for n in seen], "time")
        inside, mine, theirs = _times(timed, [seconds[n] for n in seen], [seconds[n] for n in new])
        covered.append(inside)
        pinball.append(mine)
        cells.append(theirs)
    worse = float(np.mean(briers)) - float(np.mean(oracles))
    report.bar(
        f"Brier over the best regularisation known afterwards, mean of {SPLITS} splits", bar="<= .01",
        reached=f"{worse:+.4f} ({np.mean(briers):.4f} of {np.mean(oracles):.4f})", ok=worse <= 0.01,
    )  # fmt: skip
    share = float(np.mean(covered))
    report.bar(
        f"90 % intervals of seconds cover, mean of {SPLITS} splits", bar="89-91 %", reached=f"{share:.2%}", ok=0.89 <= share <= 0.91
    )  # fmt: skip
    ratio = float(np.mean(pinball)) / float(np.mean(cells))
    report.bar("pinball loss over quantiles of each cell", bar="<= .85", reached=f"{ratio:.3f}", ok=ratio <= 0.85)


def _best_brier(seen: list[Observation], new: list[Observation]) -> float:
    """The Brier score of the variances that turn out best on the test runs, which nobody can know before."""
    agents = {name: n for n, name in enumerate(sorted({one.agent for one in seen}))}
    tasks = {name: n for n, name in enumerate(sorted({one.task for one in seen}))}
    sums: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in seen:
        cell = sums[agents[one.agent], tasks[one.task]]
        cell[0] += 1
        cell[1] += one.value
    places, values = np.array(list(sums)), np.array(list(sums.values()))
    cells = Cells(places[:, 0], places[:, 1], values[:, 0], values[:, 1])
    scores = []
    for one, other, both in product(_VARIANCES, _VARIANCES, (0.001, 0.05, 0.2)):
        effects = fit_effects(cells, levels=(len(agents), len(tasks)), family="logistic", between=(one, other, both))
        linear = {(int(a), int(t)): float(x) for (a, t), x in zip(places, effects.linear, strict=True)}
        scores.append(
            np.mean([(_chance(effects, linear, agents.get(o.agent), tasks.get(o.task)) - o.value) ** 2 for o in new])
        )
    return float(min(scores))


def _chance(effects, linear, agent: int | None, task: int | None) -> float:
    known = linear.get((agent, task)) if agent is not None and task is not None else None
    if known is None:
        known = (
            effects.mean
            + (effects.one[agent] if agent is not None else 0)
            + (effects.other[task] if task is not None else 0)
        )
    return 1 / (1 + math.exp(-known))


def _times(model, seen: list[Observation], new: list[Observation]) -> tuple[float, float, float]:
    by_cell: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in seen:
        by_cell[one.agent, one.task].append(one.value)
    everything = [one.value for one in seen]
    inside, mine, theirs = [], [], []
    for one in new:
        predicted = model.predict(one.agent, one.task)
        low, high = model.interval(predicted)
        value = math.exp(one.value)
        inside.append(low <= value <= high)
        guesses = (low, math.exp(predicted.linear), high)
        known = by_cell.get((one.agent, one.task)) or everything
        quantiles = np.exp(np.quantile(known, _LEVELS))
        mine.append(sum(_pinball(value, g, q) for g, q in zip(guesses, _LEVELS, strict=True)))
        theirs.append(sum(_pinball(value, g, q) for g, q in zip(quantiles, _LEVELS, strict=True)))
    return float(np.mean(inside)), float(np.mean(mine)), float(np.mean(theirs))


def _pinball(value: float, guess: float, level: float) -> float:
    return level * (value - guess) if value >= guess else (1 - level) * (guess - value)


def judge_choices(report: Report) -> None:
    """How much success is lost by following the recommendations instead of the truth, after 50 tasks an agent."""
    lost = [_regret(world(seed), seed) for seed in range(12)]
    chosen, uniform = (float(np.mean([pair[n] for pair in lost])) for n in (0, 1))
    report.bar(
        "regret after 50 tasks an agent, given out by the recommendations, mean of 12 worlds", bar="<= 2 points",
        reached=f"{100 * chosen:.2f} points", ok=chosen <= 0.02,
    )  # fmt: skip
    report.note(f"regret where the same number of tasks was given out evenly: {100 * uniform:.2f} points")


def _regret(truth: World, seed: int) -> tuple[float, float]:
    even = runs(truth, 50 * AGENTS, 5_000 + seed)
    random = np.random.default_rng(seed)
    made = even[-FIRST:]
    while len(made) < 50 * AGENTS:
        model = fit(observations(made, "success"), "success")
        drawn = []
        for task in range(TASKS):
            shares = best_shares(
                {f"agent-{agent}": model.predict(f"agent-{agent}", f"task-{task}") for agent in range(AGENTS)}
            )
            drawn.append(random.choice(AGENTS, ROUND // TASKS, p=list(shares.values())))
        pairs = [(int(agent), task) for task, agents in enumerate(drawn) for agent in agents]
        made = [made_run(truth, agent, task, len(made) + n, random) for n, (agent, task) in enumerate(pairs)][
            ::-1
        ] + made
    return _lost(truth, made), _lost(truth, even)


def _lost(truth: World, made: list[dict]) -> float:
    model, chances = fit(observations(made, "success"), "success"), truth.chances
    lost = []
    for task in range(TASKS):
        guessed = [model.predict(f"agent-{agent}", f"task-{task}").chance for agent in range(AGENTS)]
        lost.append(chances[:, task].max() - chances[int(np.argmax(guessed)), task])
    return float(np.mean(lost))


def judge_coordination(report: Report) -> None:
    """Whether a planted pair is found, and nothing where labels are exchanged."""
    found, false, count = 0, 0, 50
    for seed in range(count):
        made, pair = teams(seed, count=2_600, planted=0.25)
        known = coordination.pairs_that_do_better(coordination.tasks_of(made))
        found += any(frozenset(one["agents"]) == pair for one in known)
        tasks = coordination.tasks_of(made)
        outcomes = np.random.default_rng(seed).permutation([one["success"] for one in tasks])
        exchanged = [one | {"success": bool(value)} for one, value in zip(tasks, outcomes, strict=True)]
        false += bool(coordination.pairs_that_do_better(exchanged))
    report.bar(
        "a planted pair of +25 points (about 100 tasks together) is found, of 50 worlds",
        bar=">= 80 %",
        reached=f"{found / count:.0%}",
        ok=found >= 0.8 * count,
    )
    report.bar(
        "worlds with exchanged outcomes in which a pair is found",
        bar="<= 10 %",
        reached=f"{false / count:.0%}",
        ok=false <= 0.1 * count,
    )


def judge_sequences(report: Report) -> None:
    """Whether a planted order is found, and none where only easy tasks make an order look good."""
    found, false, count = 0, 0, 50
    for seed in range(count):
        known = coordination.sequences_that_do_better(ordered_teams(seed, count=2_000, planted=0.25))
        found += ["agent-0", "agent-1"] in [one["sequence"] for one in known]
        false += bool(coordination.sequences_that_do_better(ordered_teams(500 + seed, count=2_000, planted=0.0)))
    report.bar(
        "a planted order of +25 points (about 130 tasks in it, 130 in the other) is found, of 50 worlds", bar=">= 80 %", reached=f"{found / count:.0%}", ok=found >= 0.8 * count
    )  # fmt: skip
    report.bar(
        "worlds without any in which an order is found", bar="<= 10 %", reached=f"{false / count:.0%}", ok=false <= 0.1 * count
    )  # fmt: skip
