"""What would another choice have reached? An estimate from runs whose choices were partly drawn by chance. Pure.

Doubly robust: a model of the outcome, corrected by the runs that did take the choice, weighted by how improbable that was. The
model is fitted on other runs than it predicts. Where too few runs carry the weight, there is no answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
LEAST_EFFECTIVE = 100.0
_FOLDS, _PRIOR = 5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The mean outcome under another policy. `value` is None where it is refused, and `reason` says why."""

    value: float | None
    lower: float | None
    upper: float | None
    effective: float
    n: int
    reason: str = ""


def estimate(
    *, contexts: Whole, actions: Whole, propensities: Floats, outcomes: Floats, target: Floats, confidence: float = 0.95, seed: int = 7
) -> Estimate:  # fmt: skip
    """Estimate the mean outcome of `target`: for each run, the probability of each action under the other policy."""
    n, count = len(outcomes), target.shape[1]
    taken = target[np.arange(n), actions] if n else np.zeros(0)
    if n and not bool(((propensities > 0) & (propensities <= 1)).all()):
        return _refused(0.0, n, "A run has no probability with which its choice was drawn.")
    weights = taken / propensities if n else taken
    total = float(weights.sum())
    effective = total**2 / float((weights**2).sum()) if total > 0 else 0.0
    if effective < LEAST_EFFECTIVE:
        return _refused(
            effective, n, f"Only {effective:.0f} runs in effect took this choice; {LEAST_EFFECTIVE:.0f} are needed."
        )
    model = _predicted(contexts, actions, outcomes, count, np.random.default_rng(seed))
    expected = (target * model).sum(axis=1)
    parts = expected + weights * (outcomes - model[np.arange(n), actions])
    value = float(parts.mean())
    half = NormalDist().inv_cdf((1 + confidence) / 2) * float(parts.std(ddof=1)) / math.sqrt(n)
    return Estimate(value=value, lower=value - half, upper=value + half, effective=effective, n=n)


def _refused(effective: float, n: int, reason: str) -> Estimate:
    return Estimate(value=None, lower=None, upper=None, effective=effective, n=n, reason=reason)


def _predicted(
    contexts: Whole, actions: Whole, outcomes: Floats, count: int, random: np.random.Generator
) -> Floats:  # fmt: skip
    """Return for each run and action the mean outcome of the other folds, drawn to that of the action and of all."""
    n, kinds = len(outcomes), int(contexts.max()) + 1
    fold, result = random.permutation(n) % _FOLDS, np.empty((n, count))
    for number in range(_FOLDS):
        own = fold == number
        there, done, got = contexts[~own], actions[~own], outcomes[~own]
        overall = float(got.mean()) if len(got) else 0.5
        sums, counts = np.bincount(done, got, count), np.bincount(done, minlength=count)
        by_action = (sums + _PRIOR * overall) / (counts + _PRIOR)
        cell = there * count + done
        sums = np.bincount(cell, got, kinds * count).reshape(kinds, count)
        counts = np.bincount(cell, minlength=kinds * count).reshape(kinds, count)
        result[own] = ((sums + _PRIOR * by_action) / (counts + _PRIOR))[contexts[own]]
    return result
