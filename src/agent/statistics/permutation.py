"""Do two members succeed more often together than apart? A permutation test inside of strata, for many pairs at once. Pure.

A group is one task and the agents that worked on it. What the task's type and each member add is fitted first; a pair's effect is
what its groups have beyond that. To know what chance alone makes, what remains after the fit is exchanged between groups of the
same type (Freedman and Lane), so that members who are good with everybody are no finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RIDGE = 0.5  # keeps members apart that are always together
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Together:
    """What a pair reaches beyond its strata and its members, in how many groups, and how probable that is by chance."""

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
    holds, design = _holds(members), _design(members, strata)
    fit = _fit(design)
    both = np.array([holds[one] * holds[other] for one, other in pairs])
    beyond = both - (both @ design) @ fit
    contrast = beyond / np.maximum((beyond * both).sum(axis=1), 1e-9)[:, None]
    rest = outcomes - design @ (fit @ outcomes)
    seen = contrast @ outcomes
    chance = exchanged(contrast, rest, strata, rounds, np.random.default_rng(seed))
    found = zip(seen, both.sum(axis=1), _p_values(seen, chance), strict=True)
    return [Together(float(a), int(b), float(c)) for a, b, c in found]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Some groups, and which of them are of the kind that is compared with the others."""

    groups: NDArray[np.int64]
    marked: NDArray[np.bool_]


def compared(
    members: Sequence[frozenset[int]], *, outcomes: Floats, strata: NDArray[np.int64], contrasts: Sequence[Contrast],
    rounds: int = 499, seed: int = 7,
) -> list[Together]:  # fmt: skip
    """Return for each contrast by how much more its marked groups succeed than its others, of how many, and its p-value.

    Strata and members are fitted first, and marked and others are compared inside of the strata, where what remains is exchanged.
    """
    if not contrasts:
        return []
    design = _design(members, strata)
    rest = outcomes - design @ (_fit(design) @ outcomes)
    random = np.random.default_rng(seed)
    return [_compared(one, rest[one.groups], strata[one.groups], rounds, random) for one in contrasts]


def _compared(
    one: Contrast, rest: Floats, strata: NDArray[np.int64], rounds: int, random: np.random.Generator
) -> Together:
    marked = one.marked.astype(np.float64)
    for stratum in np.unique(strata):
        inside = strata == stratum
        marked[inside] -= marked[inside].mean()
    weight = float(marked @ marked)
    if weight < 1e-9:  # each stratum has one kind only: nothing is comparable
        return Together(0.0, int(one.marked.sum()), 1.0)
    contrast = (marked / weight)[None, :]
    seen = contrast @ rest
    chance = exchanged(contrast, rest, strata, rounds, random)
    return Together(float(seen[0]), int(one.marked.sum()), float(_p_values(seen, chance)[0]))


def _p_values(seen: Floats, chance: Floats) -> Floats:
    """Return how often chance reaches what was seen, one row of `chance` for each exchange; where it nearly never does, by its tail."""
    exceeding = (chance >= seen - 1e-12).sum(axis=0)
    shares = (exceeding + 1) / (len(chance) + 1)
    far = (seen - chance.mean(axis=0)) / np.maximum(chance.std(axis=0), 1e-12)
    tails = np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in far])
    chosen: Floats = np.where(exceeding < 5, np.maximum(tails, 1e-12), shares)
    return chosen


def _design(members: Sequence[frozenset[int]], strata: NDArray[np.int64]) -> Floats:
    return np.concatenate([np.eye(int(strata.max()) + 1)[strata], _holds(members).T], axis=1)


def _fit(design: Floats) -> Floats:
    fit: Floats = np.linalg.inv(design.T @ design + _RIDGE * np.eye(design.shape[1])) @ design.T
    return fit


def _holds(members: Sequence[frozenset[int]]) -> Floats:
    """Return one row for each member, with 1 in its groups."""
    holds = np.zeros((1 + max(max(group) for group in members), len(members)))
    for place, group in enumerate(members):
        holds[sorted(group), place] = 1
    return holds


def exchanged(
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
