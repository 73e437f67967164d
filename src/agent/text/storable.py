"""Makes text and JSON storable in Postgres and by the checkpointer, which refuse NUL characters, lone surrogates, numbers without
end and nesting without end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_INTEGER_BOUND = 2**63
_MAX_DEPTH = 60
_MAX_BITS = 4_000


def storable(text: str) -> str:
    """Return `text` without NUL characters, and with U+FFFD in the place of each lone surrogate."""
    return _SURROGATE.sub("\ufffd", text.replace("\x00", ""))


def spelled_out(text: str) -> str:
    """Return `text` with each NUL character and lone surrogate as its JSON escape, so that a value loses nothing."""
    return _NOT_STORABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def storable_json(value: Any, *, depth: int = 0, text: Callable[[str], str] = storable) -> Any:
    """Return a JSON value whose strings and keys went through `text`; numbers beyond 64 bits, infinity and NaN become strings.

    Raises `ValueError` on nesting deeper than 60 levels and on integers of more than 4,000 bits.
    """
    if isinstance(value, str):
        return text(value)
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {text(str(key)): storable_json(item, depth=depth + 1, text=text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item, depth=depth + 1, text=text) for item in value]
    return text(str(value)) if _needs_text(value) else value


def exact_float(text: str) -> float | str:
    """Return a JSON number with decimals, for `json.loads`: as a float if that is the same number, else as it is written."""
    number = float(text)
    return number if math.isfinite(number) and Decimal(text) == Decimal(repr(number)) else text


def _needs_text(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if not isinstance(value, int):
        return False
    if value.bit_length() > _MAX_BITS:  # Python refuses to write it in decimal
        raise ValueError(f"a number of {value.bit_length()} bits")
    return abs(value) >= _INTEGER_BOUND
