"""Make text from databases, models and other people safe to show in a terminal, and parse what people type.

A terminal must not interpret the text: not as an escape sequence, not as rich's markup, and not as a change of writing
direction, which could make one statement look like another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.errors import InvalidInput
from agent.text.visible import clean, one_line

__all__ = [
    "ago",
    "cell",
    "clean",
    "count",
    "duration",
    "fit_columns",
    "is_number",
    "json_object",
    "left",
    "moment",
    "one_line",
    "seconds_in",
]

_TIME = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def cell(value: object, limit: int | None = None) -> str:
    """Return a value of a row on one line: booleans and JSON as SQL writes them, an empty string for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, (Mapping, list, tuple)):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return one_line(value, limit)


def is_number(value: object) -> bool:
    """Return whether a cell holds a number, also one that JSON carries as text."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 row`, `1,200 rows`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def moment(value: datetime) -> str:
    """Return a time in the local time zone, to the minute."""
    return f"{value.astimezone():%Y-%m-%d %H:%M}"


def ago(value: datetime, *, now: datetime | None = None) -> str:
    """Say how long ago `value` was: `just now`, `5 min ago`, `3 days ago`."""
    return f"{_span((now or datetime.now(UTC)) - value)} ago".replace("moments ago", "just now")


def left(value: datetime, *, now: datetime | None = None) -> str:
    """Say how long it is until `value`: `4 min`, `moments`."""
    return _span(value - (now or datetime.now(UTC)) + timedelta(seconds=30))


def duration(seconds: float) -> str:
    """Say how long `seconds` are: `8 hours`."""
    return _span(timedelta(seconds=seconds))


def seconds_in(text: str) -> float:
    """Parse `45s`, `30m`, `8h` or `7d` and return the seconds. Raises `InvalidInput`."""
    match = _TIME.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInput(f"{text!r} is not a time: write 45s, 30m, 8h or 7d.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object that somebody typed. Raises `InvalidInput`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"That is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInput('Write a JSON object, such as {"client_id": 5}.')
    return value


def _span(difference: timedelta) -> str:
    seconds = int(difference.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "min")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}" if unit == "min" else count(number, unit)
    return "moments"


def fit_columns(widths: Sequence[int], *, room: int, gap: int = 2) -> int:
    """Return how many leading columns of these widths fit into `room` cells; at least 1."""
    used = fitting = 0
    for width in widths:
        used += width + (gap if fitting else 0)
        if used > room and fitting:
            break
        fitting += 1
    return fitting
