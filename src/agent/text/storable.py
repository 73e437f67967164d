"""Text and JSON as Postgres and the checkpointer can store them: models, terminals and other databases also send NUL
characters, lone surrogates, numbers without end and nesting without end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 2**63
_DEEPEST = 60
_MOST_BITS = 4_000


def storable(text: str) -> str:
    """`text` without NUL characters, and with U+FFFD in the place of each lone surrogate."""
    return _SURROGATE.sub("\ufffd", text.replace("\x00", ""))


def spelled_out(text: str) -> str:
    """`text` with each NUL character and lone surrogate written as JSON's escape of it: for values, which lose nothing then."""
    return _NOT_STORABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def storable_json(value: Any, *, depth: int = 0, text: Callable[[str], str] = storable) -> Any:
    """A JSON value whose strings and keys `text` made storable; numbers beyond 64 bits, infinity and NaN become strings.

    Raises `ValueError` on nesting and numbers beyond any sense.
    """
    if isinstance(value, str):
        return text(value)
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        return {text(str(key)): storable_json(item, depth=depth + 1, text=text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item, depth=depth + 1, text=text) for item in value]
    return text(str(value)) if _without_end(value) else value


def exact_float(text: str) -> float | str:
    """A number of JSON with decimals, for `json.loads`: as a float where that is the same number, else as it is written."""
    number = float(text)
    return number if math.isfinite(number) and Decimal(text) == Decimal(repr(number)) else text


def _without_end(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if not isinstance(value, int):
        return False
    if value.bit_length() > _MOST_BITS:  # Python itself refuses to write it out
        raise ValueError(f"a number of {value.bit_length()} bits")
    return abs(value) >= _LARGEST
