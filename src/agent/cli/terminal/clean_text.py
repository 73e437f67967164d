"""Make text from databases, models and other people safe to show in a terminal, and parse what people type.

A terminal must not interpret the text: not as an escape sequence, not as rich's markup, and not as a change of writing
direction, which could make one statement look like another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from agent.errors import InvalidInput
from agent.text.amounts import ago, cell, count, left, moment, span
from agent.text.visible import clean, one_line

__all__ = [
    "ago",
    "cell",
    "clean",
    "count",
    "duration",
    "fit_columns",
    "is_number",
    "left",
    "moment",
    "one_line",
    "seconds_in",
]

_TIME = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def is_number(value: object) -> bool:
    """Return whether a cell holds a number, also one that JSON carries as text."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def duration(seconds: float) -> str:
    """Say how long `seconds` are: `8 hours`."""
    return span(timedelta(seconds=seconds))


def seconds_in(text: str) -> float:
    """Parse `45s`, `30m`, `8h` or `7d` and return the seconds. Raises `InvalidInput`."""
    match = _TIME.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInput(f"{text!r} is not a time: write 45s, 30m, 8h or 7d.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]


def fit_columns(widths: Sequence[int], *, room: int, gap: int = 2) -> int:
    """Return how many leading columns of these widths fit into `room` cells; at least 1."""
    used = fitting = 0
    for width in widths:
        used += width + (gap if fitting else 0)
        if used > room and fitting:
            break
        fitting += 1
    return fitting
