"""Robust quantities of samples: a few wild values do not move them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_NORMAL = 1.4826  # of the median absolute deviation, so that it is the standard deviation of normal values


def quantile(values: Sequence[float] | Numbers, share: float) -> float | None:
    """Return the value below which `share` (0 to 1) of the values lie; None without values."""
    known = finite(values)
    return float(np.quantile(known, share)) if known.size else None


def median(values: Sequence[float] | Numbers) -> float | None:
    """Return the median of the finite values; None without any."""
    return quantile(values, 0.5)


def deviation(values: Sequence[float] | Numbers) -> float:
    """Return the robust standard deviation of values around zero, of residuals for example; 0.0 without values."""
    known = finite(values)
    return float(np.median(np.abs(known)) * _NORMAL) if known.size else 0.0


def finite(values: Sequence[float] | Numbers) -> Numbers:
    """Return the values that are numbers: neither missing nor infinite."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[np.isfinite(numbers)]
