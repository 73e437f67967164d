"""Tests that hold at every look: is a canary worse than its control, and were runs assigned as they should be? Pure.

Each is a bet against what should be true. Its wealth can multiply by 20 with a probability of at most 1 in 20 if that is true,
however often somebody looks (Ville's inequality), so there is no peeking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

ROLL_BACK_AT = 20.0
_STAKES = (0.25, 0.45, 0.65)
_SURE = 1_000.0  # a wrong assignment stops everything, so it must be beyond doubt


@dataclass(frozen=True, slots=True)
class Harm:
    """The evidence that a canary is worse than its control: the wealth of a bet at each stake, and how many pairs there were."""

    wealth: tuple[float, ...] = (1.0,) * len(_STAKES)
    pairs: int = 0
    most: float = 1.0

    @property
    def value(self) -> float:
        """The mean wealth: the evidence now."""
        return sum(self.wealth) / len(self.wealth)

    @property
    def rolls_back(self) -> bool:
        """Whether the evidence ever reached what a rollback needs; it stays so."""
        return self.most >= ROLL_BACK_AT

    def after(self, control: float, canary: float) -> Harm:
        """Return the evidence after one more pair of outcomes between 0 and 1."""
        if not (0 <= control <= 1 and 0 <= canary <= 1):
            raise ValueError("an outcome must be between 0 and 1")
        worse = control - canary
        wealth = tuple(one * (1 + stake * worse) for one, stake in zip(self.wealth, _STAKES, strict=True))
        found = replace(self, wealth=wealth, pairs=self.pairs + 1)
        return replace(found, most=max(self.most, found.value))


def harm_of(control: Sequence[float], canary: Sequence[float]) -> Harm:
    """Return the evidence of outcomes in the order in which they came, paired one by one; what has no partner yet waits."""
    found = Harm()
    for one, other in zip(control, canary, strict=False):
        found = found.after(one, other)
    return found


def wrong_ratio(canary: int, total: int, share: float) -> float:
    """Return the evidence that not `share` of all runs went to the canary, against every other share at once."""
    if not 0 < share < 1 or not 0 <= canary <= total:
        raise ValueError("the share must be between 0 and 1, and the canary a part of all runs")
    other = total - canary
    any_share = math.lgamma(canary + 1) + math.lgamma(other + 1) - math.lgamma(total + 2)
    given = canary * math.log(share) + other * math.log1p(-share)
    return math.exp(min(any_share - given, 700.0))


def is_wrong_ratio(canary: int, total: int, share: float) -> bool:
    """Return whether the assignment is broken beyond doubt; nothing that was measured under it counts."""
    return wrong_ratio(canary, total, share) >= _SURE
