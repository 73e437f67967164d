"""Worlds whose truth is known: paired cases, canaries, confounded logs, and runs with and without a planted pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
_BASE = 0.6


def paired(
    random: np.random.Generator, cases: int, gains: list[float], discordance: float
) -> tuple[Floats, list[Floats]]:
    """A baseline and one candidate for each gain, which differ from it in so many cases and are better by so much."""
    baseline = (random.random(cases) < _BASE).astype(float)
    candidates = []
    for gain in gains:
        # Of cases that fail, this share is won; of those that succeed, this share is lost.
        won, lost = (discordance + gain) / 2 / (1 - _BASE), (discordance - gain) / 2 / _BASE
        drawn = random.random(cases)
        candidates.append(np.where(baseline > 0, drawn >= lost, drawn < won).astype(float))
    return baseline, candidates


@dataclass(frozen=True)
class Log:
    """Runs whose choice depended on what also decides the outcome, and what another policy would truly reach."""

    contexts: Whole
    actions: Whole
    propensities: Floats
    outcomes: Floats
    target: Floats
    truth: float


def confounded(random: np.random.Generator, runs: int, *, explored: float = 0.2) -> Log:
    """Difficult contexts mostly got the second action, so that the plain mean of that action looks bad."""
    contexts = random.integers(0, 6, runs)
    difficulty = np.linspace(0.15, 0.75, 6)[contexts]
    second = explored / 2 + (1 - explored) * (contexts >= 3)
    actions = (random.random(runs) < second).astype(np.int64)
    chance = np.clip(1 - difficulty + 0.1 * actions, 0, 1)
    outcomes = (random.random(runs) < chance).astype(float)
    target = np.tile([0.0, 1.0], (runs, 1))
    truth = float(np.mean(1 - np.linspace(0.15, 0.75, 6) + 0.1))
    return Log(contexts, actions, np.where(actions == 1, second, 1 - second), outcomes, target, truth)


@dataclass(frozen=True)
class Mine:
    """Runs with features that are known before their outcome."""

    features: Floats
    outcomes: Floats
    strata: Whole
    tasks: list[str]


def mine(random: np.random.Generator, runs: int, features: int, *, planted: float) -> Mine:
    """The first feature adds `planted` to the success rate; task types differ in theirs, and in which features they have."""
    strata = random.integers(0, 5, runs)
    usual = random.uniform(0.2, 0.6, (5, features))
    has = (random.random((runs, features)) < usual[strata]).astype(float)
    chance = random.uniform(0.35, 0.7, 5)[strata] + planted * has[:, 0]
    return Mine(has, (random.random(runs) < chance).astype(float), strata, [str(place) for place in range(runs)])
