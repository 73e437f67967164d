"""What goes with success? The effect of features of runs, compared only inside of the same task. Pure.

A feature's lift is the mean outcome with it less that without it, inside of each task, weighted by how much each task tells. It is
drawn to zero by what lifts usually are. Its p-value comes from exchanging outcomes inside of tasks. What is found on the earlier
tasks must come again on later ones that took no part in finding it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agent.statistics.multiple_testing import benjamini_hochberg
from agent.statistics.permutation import exchanged

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
USUAL_LIFT = 0.1  # the standard deviation of lifts before anything is seen
FALSE_SHARE = 0.05
_ROUNDS, _LEAST = 499, 10


@dataclass(frozen=True, slots=True)
class Lift:
    """The lift of a feature, drawn to zero, with its error, its p-value, its false discovery rate, and its replication.

    `confidence` is the probability that the drawn lift is above zero, times that it comes again on later tasks.
    """

    feature: int
    raw: float
    lift: float
    error: float
    n_with: int
    n_without: int
    p_value: float
    false_rate: float
    replication: float
    confidence: float

    @property
    def found(self) -> bool:
        """Whether it counts as found: rarely false by chance, and seen again."""
        return self.false_rate <= FALSE_SHARE and self.replication >= 0.8 and self.lift > 0


def lifts(features: Floats, *, outcomes: Floats, strata: Whole, later: NDArray[np.bool_], seed: int = 7) -> list[Lift]:
    """Return for each column of `features` (0 or 1) its lift on the runs that are not `later`, and whether those show it again."""
    first = ~later
    early, again = _contrasts(features[first], strata[first]), _contrasts(features[later], strata[later])
    seen, p_values = _tested(early.weights, outcomes[first], strata[first], seed)
    repeated = again.weights @ outcomes[later] if again.weights.size else np.zeros(len(seen))
    enough = (early.n_with >= _LEAST) & (early.n_without >= _LEAST)
    rates = np.ones(len(seen))
    rates[enough] = benjamini_hochberg(list(p_values[enough]))
    errors = _errors(early, outcomes[first], strata[first])
    later_errors = _errors(again, outcomes[later], strata[later])
    result = []
    for place, raw in enumerate(seen):
        lift, error = drawn(float(raw), float(errors[place]))
        comes = _above_zero(*drawn(float(repeated[place]), float(later_errors[place])))
        result.append(Lift(
            place, float(raw), lift, error, int(early.n_with[place]), int(early.n_without[place]), float(p_values[place]),
            float(rates[place]), comes, _above_zero(lift, error) * comes,
        ))  # fmt: skip
    return result


def drawn(raw: float, error: float) -> tuple[float, float]:
    """Return a lift drawn to zero by what lifts usually are, and its error."""
    if not math.isfinite(error):
        return 0.0, USUAL_LIFT
    kept = USUAL_LIFT**2 / (USUAL_LIFT**2 + error**2)
    return kept * raw, math.sqrt(kept) * error


def _above_zero(lift: float, error: float) -> float:
    return NormalDist(0, max(error, 1e-9)).cdf(lift)


@dataclass(frozen=True, slots=True)
class _Contrasts:
    """For each feature the weights with which outcomes add up to its lift, and how many runs are on each side."""

    weights: Floats
    n_with: Whole
    n_without: Whole


def _contrasts(features: Floats, strata: Whole) -> _Contrasts:
    count = features.shape[1]
    weights, scale = np.zeros((count, len(strata))), np.zeros(count)
    sides = np.zeros((2, count), dtype=np.int64)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        has = features[rows]
        with_it, size = has.sum(axis=0), len(rows)
        tells = with_it * (size - with_it) / size
        usable = tells > 0
        part = has / np.maximum(with_it, 1) - (1 - has) / np.maximum(size - with_it, 1)
        weights[:, rows] = (part * tells).T
        scale += tells
        sides[0] += np.where(usable, with_it, 0).astype(np.int64)
        sides[1] += np.where(usable, size - with_it, 0).astype(np.int64)
    return _Contrasts(weights / np.maximum(scale, 1e-9)[:, None], sides[0], sides[1])


def _tested(weights: Floats, outcomes: Floats, strata: Whole, seed: int) -> tuple[Floats, Floats]:
    """Return each lift and its one-sided p-value; beyond what the exchanges reach, their normal tail continues it."""
    if not weights.size:
        return np.zeros(len(weights)), np.ones(len(weights))
    seen = weights @ outcomes
    chance = exchanged(weights, outcomes, strata, _ROUNDS, np.random.default_rng(seed))
    reached = (chance >= seen - 1e-12).sum(axis=0)
    far = (seen - chance.mean(axis=0)) / np.maximum(chance.std(axis=0), 1e-12)
    tails = np.array([0.5 * math.erfc(min(value, 37.0) / math.sqrt(2)) for value in far])
    spread = chance.std(axis=0) > 0
    return seen, np.where(spread & (reached < 5), np.maximum(tails, 1e-12), (reached + 1) / (_ROUNDS + 1))


def _errors(contrasts: _Contrasts, outcomes: Floats, strata: Whole) -> Floats:
    """Return the standard error of each lift; infinite where a side is empty."""
    variances: Floats = np.zeros(len(outcomes))
    for stratum in np.unique(strata):
        rows = strata == stratum
        n = int(rows.sum())
        variances[rows] = (float(outcomes[rows].var()) * n + 0.25) / (n + 1)
    errors = np.sqrt((contrasts.weights**2 * variances).sum(axis=1))
    empty = (contrasts.n_with == 0) | (contrasts.n_without == 0)
    return np.where(empty, math.inf, errors)


def later_tasks(tasks: Sequence[str], share: float = 0.4) -> NDArray[np.bool_]:
    """Return which runs belong to the later tasks, where runs stand in their order and a task is never on both sides."""
    order = list(dict.fromkeys(tasks))
    last = set(order[math.ceil(len(order) * (1 - share)) :])
    return np.array([task in last for task in tasks], dtype=bool)
