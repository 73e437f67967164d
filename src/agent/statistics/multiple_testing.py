"""Which of many tests are findings, when a chosen share of the findings may be false. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return for each p-value the smallest false discovery rate at which it is a finding."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place], reverse=True)
    adjusted, least, count = [1.0] * len(p_values), 1.0, len(p_values)
    for rank, place in enumerate(order):
        least = min(least, p_values[place] * count / (count - rank))
        adjusted[place] = least
    return adjusted
