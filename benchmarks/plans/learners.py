"""How well knowledge tracing foretells learners whom it has not seen."""

from __future__ import annotations

import random
from math import exp

from tests.orchestration.test_learners import mean_likelihood, simulated

from agent.orchestration.learners.knowledge_tracing import Tracing, fit, likelihood
from benchmarks.report import Report

SKILLS, SEEN, UNSEEN = 6, 300, 300


def measure(report: Report) -> None:
    """Trace simulated learners."""
    chance = random.Random(3)
    better, gains = 0, []
    for _ in range(SKILLS):
        true = Tracing(
            known=chance.uniform(0.1, 0.5),
            learn=chance.uniform(0.05, 0.3),
            guess=chance.uniform(0.1, 0.3),
            slip=chance.uniform(0.03, 0.15),
        )
        found = fit(simulated(SEEN, chance, true))
        unseen = simulated(UNSEEN, chance, true)
        answers = sum(map(len, unseen))
        gains.append((exp(likelihood(unseen, found) / answers), exp(mean_likelihood(unseen) / answers)))
        better += gains[-1][0] > gains[-1][1]
    mine, mean = (sum(each) / SKILLS for each in zip(*gains, strict=True))
    report.bar(
        "knowledge tracing on unseen learners, beside the running mean",
        bar="better for each skill",
        reached=f"{better} of {SKILLS} skills; a probability of {mine:.3f} beside {mean:.3f} for each answer",
        ok=better == SKILLS,
    )
