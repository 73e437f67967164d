"""Crossed random effects: what two factors (agent, task) and their combination add to a response, each drawn to the mean.

One solver for both responses: counts of successes (logistic) and logarithms of amounts (normal). How strongly effects are drawn to
the mean is estimated from the data: the variance of each kind becomes what the effects that remain explain (EM). The
combinations are eliminated from the equations, so that only the two factors are solved for. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Family = Literal["logistic", "normal"]
_ROUNDS, _STEPS = 60, 12
_LEAST, _MOST = 1e-4, 25.0
_ENOUGH = 0.02  # the logarithm of a variance may still change by so much


@dataclass(frozen=True, slots=True)
class Cells:
    """Observations by combination: `one` and `other` number the levels of the factors, `n` counts, `total` sums the response.

    `scatter` is the sum of squared deviations inside of the combinations, which only the normal family needs.
    """

    one: Whole
    other: Whole
    n: Floats
    total: Floats
    scatter: float = 0.0


@dataclass(frozen=True, slots=True)
class Effects:
    """The mean, the effects and their variances; `linear` is the prediction for each cell, with its variance.

    `between` are the variances of the first factor, the second one and the combinations; `noise` is that of one value.
    """

    mean: float
    mean_variance: float
    one: Floats
    other: Floats
    one_variance: Floats
    other_variance: Floats
    linear: Floats
    linear_variance: Floats
    between: tuple[float, float, float]
    noise: float


@dataclass
class _Fit:
    """The equations and where their solution stands."""

    cells: Cells
    ones: int
    others: int
    family: Family
    beta: Floats
    both: Floats
    between: Floats
    noise: float
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    covariance: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def solve(self) -> None:
        """Find the most probable effects for the present variances, by Newton's method."""
        own, penalty = 1 / self.between[2], self._penalty()
        for _ in range(_STEPS if self.family == "logistic" else 1):
            gradient, weights = self._slope()
            own_gradient = gradient - own * self.both
            system = self._crossed(weights * own / (weights + own)) + np.diag(penalty)
            right = self._gathered(gradient - weights * own_gradient / (weights + own)) - penalty * self.beta
            self.weights, self.covariance = weights, np.linalg.inv(system).astype(np.float64)
            step = self.covariance @ right
            own_step = (own_gradient - weights * self._spread(step)) / (weights + own)
            self.beta, self.both = self.beta + step, self.both + own_step
            if max(float(np.max(np.abs(step))), float(np.max(np.abs(own_step)))) < 1e-5:
                break

    def revise(self) -> float:
        """Set the variances to what the effects explain, and return by how much their logarithms have changed."""
        before, spread, ones = self.between, np.diag(self.covariance), self.ones
        squares = self.beta**2 + spread
        kept, fixed = self.kept(), self.fixed()
        new = [np.mean(squares[1 : 1 + ones]), np.mean(squares[1 + ones :])]
        new.append(np.mean(self.both**2 + kept + (self.weights * kept) ** 2 * fixed))
        self.between = np.array([min(max(float(one), _LEAST), _MOST) for one in new])
        if self.family == "normal":
            cells, fitted = self.cells, self.fitted()
            missed = cells.scatter + float(np.sum(cells.n * (cells.total / cells.n - fitted) ** 2))
            unknown = float(np.sum(cells.n * self.linear_variance()))
            self.noise = max((missed + unknown) / float(cells.n.sum()), _LEAST)
        return float(np.max(np.abs(np.log(self.between / before))))

    def kept(self) -> Floats:
        """Return the variance of each combination's own effect, the factors given."""
        result: Floats = 1 / (self.weights + 1 / self.between[2])
        return result

    def fixed(self) -> Floats:
        """Return the variance that each combination has from its factors."""
        (one, other), all_of = self._places(), self.covariance
        spread = np.diag(all_of)
        crossed = all_of[0, one] + all_of[0, other] + all_of[one, other]
        result: Floats = spread[0] + spread[one] + spread[other] + 2 * crossed
        return result

    def linear_variance(self) -> Floats:
        """Return the variance of each combination's prediction."""
        kept = self.kept()
        result: Floats = (kept / self.between[2]) ** 2 * self.fixed() + kept
        return result

    def fitted(self) -> Floats:
        """Return each combination's prediction."""
        return self._spread(self.beta) + self.both

    def _places(self) -> tuple[Whole, Whole]:
        return 1 + self.cells.one, 1 + self.ones + self.cells.other

    def _spread(self, beta: Floats) -> Floats:
        """Return the factors' part of each combination's prediction."""
        one, other = self._places()
        result: Floats = beta[0] + beta[one] + beta[other]
        return result

    def _gathered(self, values: Floats) -> Floats:
        """Return the sums of the combinations' values for the mean and for each level."""
        one = np.bincount(self.cells.one, values, self.ones)
        return np.concatenate([[values.sum()], one, np.bincount(self.cells.other, values, self.others)])

    def _crossed(self, weights: Floats) -> Floats:
        """Return the weighted sums of products, without a row for each combination."""
        one, other = self._places()
        system = np.diag(self._gathered(weights))
        np.add.at(system, (one, other), weights)
        system[0, 1:] = np.diag(system)[1:]
        system[1:, 0] = system[0, 1:]
        ones = 1 + self.ones
        system[ones:, 1:ones] = system[1:ones, ones:].T
        return system

    def _penalty(self) -> Floats:
        one, other, _ = self.between
        return np.concatenate([[1e-6], np.full(self.ones, 1 / one), np.full(self.others, 1 / other)])

    def _slope(self) -> tuple[Floats, Floats]:
        """Return the gradient and the curvature of each combination's likelihood."""
        cells, fitted = self.cells, self.fitted()
        if self.family == "normal":
            return (cells.total - cells.n * fitted) / self.noise, cells.n / self.noise
        chance = 1 / (1 + np.exp(-np.clip(fitted, -30, 30)))
        return cells.total - cells.n * chance, np.maximum(cells.n * chance * (1 - chance), 1e-9)


def fit_effects(
    cells: Cells, *, levels: tuple[int, int], family: Family, between: tuple[float, float, float] | None = None
) -> Effects:
    """Fit the effects of two factors with `levels` levels and of their combinations; with `between` for those variances."""
    fit = _begun(cells, levels, family)
    if between is not None:
        fit.between = np.array(between)
    for _ in range(_ROUNDS):
        fit.solve()
        if between is not None or fit.revise() < _ENOUGH:
            break
    spread, ones = np.diag(fit.covariance), fit.ones
    one, other, both = map(float, fit.between)
    return Effects(
        mean=float(fit.beta[0]), mean_variance=float(spread[0]), one=fit.beta[1 : 1 + ones], other=fit.beta[1 + ones :],
        one_variance=spread[1 : 1 + ones], other_variance=spread[1 + ones :], linear=fit.fitted(),
        linear_variance=fit.linear_variance(), between=(one, other, both), noise=float(fit.noise),
    )  # fmt: skip


def _begun(cells: Cells, levels: tuple[int, int], family: Family) -> _Fit:
    ones, others = levels
    count, total = float(cells.n.sum()), float(cells.total.sum())
    noise, scale = 1.0, 1.0
    beta = np.zeros(1 + ones + others)
    if family == "logistic":
        beta[0] = np.log((total + 0.5) / (count - total + 0.5))
    else:
        beta[0] = total / count
        free = count - len(cells.n)
        inside = cells.scatter / free if free > 0 else 0.0
        noise = scale = max(inside, 0.3 * float(np.var(cells.total / cells.n)), _LEAST)
    return _Fit(
        cells=cells, ones=ones, others=others, family=family, beta=beta, both=np.zeros(len(cells.n)),
        between=np.clip(np.array([0.3, 0.3, 0.1]) * scale, _LEAST, _MOST), noise=noise,
    )  # fmt: skip
