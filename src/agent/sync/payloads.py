"""Checks what agents send, before it reaches a table. Nothing is changed to fit: what cannot be kept as it is, is refused. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from agent.errors import InvalidInput, NotFound
from agent.text.storable import storable

_MOST_DEPTH = 60
_MOST_BITS = 4_000
_MOST_NAME = 200


def checked_object(value: Any, *, what: str, most_bytes: int, setting: str) -> str:
    """Return the JSON text of an object. Raises `InvalidInput` for what Postgres or JSON cannot keep exactly, or is too large."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must be a JSON object.")
    text = json_text(value, what=what)
    size = len(text.encode())
    if size > most_bytes:
        raise InvalidInput(f"{what} has {size:,} bytes; at most {most_bytes:,} are taken ({setting}).")
    return text


def json_text(value: Any, *, what: str) -> str:
    """Return the JSON text of a value. Raises `InvalidInput` for what Postgres or JSON cannot keep exactly."""
    problem = _problem(value, 0)
    if problem:
        raise InvalidInput(f"{what} {problem}.")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _problem(value: Any, depth: int) -> str | None:
    """Return what JSON or Postgres would not keep exactly of a value, or None."""
    if isinstance(value, Mapping | list | tuple):
        if depth >= _MOST_DEPTH:
            return f"is nested more than {_MOST_DEPTH} levels deep: send a flatter one"
        parts = (part for pair in value.items() for part in pair) if isinstance(value, Mapping) else iter(value)
        if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
            return "holds a key that is no text"
        return next((one for part in parts if (one := _problem(part, depth + 1))), None)
    return _problem_of_plain(value)


def _problem_of_plain(value: Any) -> str | None:
    if isinstance(value, str) and storable(value) != value:
        return "holds a NUL character or half of a character: leave it out"
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that JSON does not have (NaN or infinity)"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "holds a number of too many digits: send it as a text"
    if value is None or isinstance(value, str | int | float):  # a bool is an int
        return None
    return f"holds a {type(value).__name__}, which JSON does not have"


def checked_name(value: Any, *, what: str) -> str:
    """Return a name: 1 to 200 printable characters. Raises `InvalidInput`."""
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_NAME or not value.isprintable() or not value.strip():
        raise InvalidInput(f"{what} must be a text of 1 to {_MOST_NAME} printable characters.")
    return value


def channel_key(value: Any) -> UUID:
    """Return a channel's id. Raises `NotFound` for what cannot be one."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise no_channel(value) from None


def no_channel(value: Any) -> NotFound:
    """Return the error for a channel that is not there."""
    return NotFound(
        f"There is no channel {str(value)[:100]!r}: create it, or list the channels (`agent sync channels`)."
    )
