"""Do two members succeed more often together than apart? A permutation test inside of strata, for many pairs at once. Pure.

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
_DRAWN = 20.0  # groups' worth by which what a member adds on its own is drawn to nothing
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Together:
    """What a pair reaches beyond its strata and what each member adds without the other, and how probable that is by chance."""

    effect: float
    n: int
    p_value: float


def together(
    members: Sequence[frozenset[int]], *, outcomes: Floats, strata: NDArray[np.int64], pairs: Sequence[tuple[int, int]],
    rounds: int = 499, seed: int = 7,
) -> list[Together]:  # fmt: skip
    """Return for each pair its effect and its one-sided p-value.

    The p-value counts exchanges inside of the strata. Where nearly none reaches what was seen, the exchanges' own mean and
    deviation continue it (normal tail), because many pairs together need small p-values.
    """
    if not pairs:
        return []
    means = np.bincount(strata, outcomes) / np.maximum(np.bincount(strata), 1)
    rest = outcomes - means[strata]
    contrast, counts = _contrast(members, pairs)
    seen = contrast @ rest
    exchanged = _exchanged(contrast, rest, strata, rounds, np.random.default_rng(seed))
    exceeding = (exchanged >= seen - 1e-12).sum(axis=0)
    shares = (exceeding + 1) / (rounds + 1)
    far = (seen - exchanged.mean(axis=0)) / np.maximum(exchanged.std(axis=0), 1e-12)
    tails = np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in far])
    chosen = np.where(exceeding < 5, np.maximum(tails, 1e-12), shares)
    return [Together(float(a), int(b), float(c)) for a, b, c in zip(seen, counts, chosen, strict=True)]


def _contrast(members: Sequence[frozenset[int]], pairs: Sequence[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Return the weights that turn the groups' remainders into each pair's effect, and in how many groups each pair is.

    The effect is the pair's mean less what each of the two adds in groups without the other.
    """
    holds = np.zeros((1 + max(max(group) for group in members), len(members)))
    for place, group in enumerate(members):
        holds[sorted(group), place] = 1
    one, other = holds[[pair[0] for pair in pairs]], holds[[pair[1] for pair in pairs]]
    both = one * other
    counts = both.sum(axis=1)
    weights = both / np.maximum(counts, 1)[:, None]
    for alone in (one - both, other - both):
        weights = weights - alone / (alone.sum(axis=1) + _DRAWN)[:, None]
    return weights, counts


def _exchanged(
    contrast: Floats, rest: Floats, strata: NDArray[np.int64], rounds: int, random: np.random.Generator
) -> Floats:
    """Return the effects that chance makes, one row for each exchange."""
    by_stratum = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    parts = []
    for start in range(0, rounds, _CHUNK):
        mixed = np.empty((len(rest), min(_CHUNK, rounds - start)))
        for places in by_stratum:
            orders = random.permuted(np.tile(places[:, None], mixed.shape[1]), axis=0)
            mixed[places] = rest[orders]
        parts.append((contrast @ mixed).T)
    return np.concatenate(parts)
