"""Exact bounds of a share, and quantiles of the normal and Student's distribution. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist


def upper_tail(wins: int, trials: int, share: float) -> float:
    """Return the probability of at least so many wins in so many trials, each of which is won with probability `share`."""
    if wins <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    yes, no, all_of = math.log(share), math.log1p(-share), math.lgamma(trials + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(all_of - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * yes + (trials - k) * no)
            for k in range(wins, trials + 1)
        ),
    )


def share_at_least(wins: int, trials: int, confidence: float) -> float:
    """Return the lower bound of Clopper and Pearson: the share of wins is above it with so much confidence."""
    if wins <= 0 or trials <= 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(wins, trials, middle) < 1 - confidence else (low, middle)
    return low


def student_quantile(confidence: float, freedom: int) -> float:
    """Return a quantile of Student's distribution by its expansion around the normal one; good from 10 degrees of freedom on."""
    z = NormalDist().inv_cdf(confidence)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
