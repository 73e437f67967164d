"""Intervals of a share, and quantiles of counts on a logarithmic scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

Z90 = 1.6448536269514722
PLACES_A_DOUBLING = 4  # of the scale on which times are counted: each place is 19 % wide


def share_interval(good: float, known: float, z: float = Z90) -> tuple[float, float] | None:
    """Return Wilson's interval of a share, 90 % by default; None where nothing is known."""
    if known <= 0:
        return None
    share, square = good / known, z * z
    middle = share + square / (2 * known)
    half = z * math.sqrt(max(share * (1 - share), 0) / known + square / (4 * known * known))
    scale = 1 + square / known
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def quantile_of_counts(counts: Mapping[str, int], share: float) -> float | None:
    """Return a quantile of values that were counted by floor(4 log2 value), interpolated inside of its place."""
    total = sum(counts.values())
    if total <= 0:
        return None
    left = share * total
    for place, count in sorted((int(place), count) for place, count in counts.items()):
        if left <= count:
            inside = min(max(left / count, 0.0), 1.0) if count else 0.5
            return float(2.0 ** ((place + inside) / PLACES_A_DOUBLING))
        left -= count
    return float(2.0 ** ((max(map(int, counts)) + 1) / PLACES_A_DOUBLING))
