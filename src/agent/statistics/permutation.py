"""Do two agents succeed more often together than apart? A permutation test inside of strata, for many pairs at once. Pure.

A group is one task and the agents that worked on it. Under the hypothesis that nobody matters beyond the task's type, outcomes may be
exchanged between groups of the same type: each exchange gives a difference that chance alone makes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Together:
    """What a pair reaches beyond what its groups' strata and its members would let expect, and how probable that is by chance."""

    effect: float
    n: int
    p_value: float


def together(
    members: Sequence[frozenset[int]], *, expected: Floats, outcomes: Floats, strata: NDArray[np.int64],
    pairs: Sequence[frozenset[int]], rounds: int = 999, seed: int = 7,
) -> list[Together]:  # fmt: skip
    """Return for each pair the mean of outcome less expectation over its groups, and its one-sided p-value.

    The p-value counts exchanges of the remainders inside of the strata; beyond the finest share that `rounds` can show, the
    exchanges' own mean and deviation continue it (normal tail), because many pairs need small p-values.
    """
    if not pairs:
        return []
    holds = np.array([[pair <= group for group in members] for pair in pairs], dtype=float)
    counts = holds.sum(axis=1)
    rest = outcomes - expected
    seen = holds @ rest / np.maximum(counts, 1)
    random = np.random.default_rng(seed)
    by_stratum = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    exchanged = np.empty((rounds, len(pairs)))
    for turn in range(rounds):
        mixed = rest.copy()
        for places in by_stratum:
            mixed[places] = rest[random.permutation(places)]
        exchanged[turn] = holds @ mixed / np.maximum(counts, 1)
    exceeding = (exchanged >= seen - 1e-12).sum(axis=0)
    tails = _normal_tail((seen - exchanged.mean(axis=0)) / np.maximum(exchanged.std(axis=0), 1e-12))
    shares = (exceeding + 1) / (rounds + 1)
    chosen = np.where(exceeding < 5, np.maximum(np.minimum(shares, tails), 1e-12), shares)
    return [Together(float(a), int(b), float(c)) for a, b, c in zip(seen, counts, chosen, strict=True)]


def _normal_tail(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(value / 1.4142135623730951) for value in z])
