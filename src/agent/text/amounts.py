"""Writes values, numbers and times as people read them, the same on every surface. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from agent.text.visible import one_line


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


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 row`, `1,200 rows`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def moment(value: datetime) -> str:
    """Return a time in the local time zone, to the minute."""
    return f"{value.astimezone():%Y-%m-%d %H:%M}"


def ago(value: datetime, *, now: datetime | None = None) -> str:
    """Say how long ago `value` was: `just now`, `5 min ago`, `3 days ago`."""
    return f"{span((now or datetime.now(UTC)) - value)} ago".replace("moments ago", "just now")


def left(value: datetime, *, now: datetime | None = None) -> str:
    """Say how long it is until `value`: `4 min`, `moments`."""
    return span(value - (now or datetime.now(UTC)) + timedelta(seconds=30))


def span(difference: timedelta) -> str:
    """Say how long a time is: `5 min`, `3 days`, `moments`."""
    seconds = int(difference.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "min")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}" if unit == "min" else count(number, unit)
    return "moments"
