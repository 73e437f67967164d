"""Checks what agents send, before it reaches a table. Nothing is changed to fit: what cannot be kept as it is, is refused. Pure."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from agent.errors import InvalidInput, NotFound

_MOST_DEPTH = 60
_NUL = "\\u0000"
_MOST_NAME = 200
_HOLDERS = (dict, list, tuple)
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # made once: it runs for each event


def checked_object(value: Any, *, what: str, most_bytes: int, setting: str) -> str:
    """Return the JSON text of an object. Raises `InvalidInput` for what Postgres or JSON cannot keep exactly, or is too large."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object.")
    text = json_text(value, what=what)
    size = len(text.encode()) if len(text) * 4 > most_bytes else 0
    if size > most_bytes:
        raise InvalidInput(f"{what} has {size:,} bytes; at most {most_bytes:,} are taken ({setting}).")
    return text


def json_text(value: Any, *, what: str) -> str:
    """Return the JSON text of a value. Raises `InvalidInput` for what Postgres or JSON cannot keep exactly."""
    problem = _problem_of_shape(value)
    if problem:
        raise InvalidInput(f"{what} {problem}.")
    try:
        text = _ENCODE(value)
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} holds half of a character: leave it out.") from None
    except (TypeError, ValueError):
        raise InvalidInput(
            f"{what} holds a value that JSON does not have, such as NaN or a date: send it as a text."
        ) from None
    if _NUL in text and _holds_nul(value):  # a text can also spell it out
        raise InvalidInput(f"{what} holds a NUL character: leave it out.")
    return text


def _problem_of_shape(value: Any) -> str | None:
    """Return what is wrong with the nesting and the keys. Only what holds others is looked at: it runs for each event."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                if not all(type(key) is str for key in one):
                    return "holds a key that is no text"
                inner += [part for part in one.values() if isinstance(part, _HOLDERS)]
            elif isinstance(one, list | tuple):
                inner += [part for part in one if isinstance(part, _HOLDERS)]
        if not inner:
            return None
        level = inner
    return f"is nested more than {_MOST_DEPTH} levels deep: send a flatter one"


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\x00" in value


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
