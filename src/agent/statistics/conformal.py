"""Split conformal prediction: how far to go from a prediction so that a chosen share of new values is inside. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_RESIDUALS = 20


def conformal_offsets(residuals: Sequence[float], coverage: float) -> tuple[float, float] | None:
    """Return the lower and upper offset of an interval from residuals that the prediction has not seen.

    Each side leaves out half of what may be outside. None where there are too few residuals to say it.
    """
    ordered, count = sorted(residuals), len(residuals)
    outside = (1 - coverage) / 2
    low, high = math.floor((count + 1) * outside), math.ceil((count + 1) * (1 - outside))
    if count < LEAST_RESIDUALS or low < 1 or high > count:
        return None
    return ordered[low - 1], ordered[high - 1]
