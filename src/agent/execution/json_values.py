"""Database values as JSON without loss, and results cut to their caps. Pure.

Values whose Python form loses something or does not exist (dates after 9999, infinite times, intervals, ranges) are
taken as Postgres writes them.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from psycopg import AsyncCursor, AsyncServerCursor
from psycopg.types.string import TextLoader

# bytea is 17; numeric, dates, times, intervals, json, ranges, multiranges, uuid, inet, cidr, money, "char", name, oid...
_AS_TEXT = (
    18, 19, 114, 142, 600, 601, 602, 603, 604, 628, 650, 718, 774, 790, 829, 869, 1042, 1082, 1083, 1114, 1184, 1186, 1266,
    1560, 1562, 1700, 2950, 3802, 3904, 3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535, 4536,
)  # fmt: skip
_JSON_OIDS = {114, 3802}
_NUMERIC_OID = 1700
_SHOWN_BYTES = 32
_MOST_SAFE_DIGITS = 15


def take_as_text(cursor: AsyncCursor[Any] | AsyncServerCursor[Any]) -> None:
    """Make `cursor` load those types as Postgres writes them."""
    for oid in _AS_TEXT:
        cursor.adapters.register_loader(oid, TextLoader)


def plain(value: Any, type_oid: int = 0) -> Any:  # one line a type
    """A JSON-compatible value for one cell."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _from_text(value, type_oid)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")
    if isinstance(value, (bytes, memoryview, bytearray)):
        return _short_bytes(bytes(value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, int) else str(value)


def _from_text(value: str, type_oid: int) -> Any:
    if type_oid == _NUMERIC_OID:
        return _number(value)
    if type_oid in _JSON_OIDS:
        return from_json(value)
    return value


def _number(text: str) -> int | str:
    """A whole number as such; with decimals as text, because 12.50 is not 12.5 to an accountant."""
    return int(text) if text.lstrip("-").isdigit() and len(text) <= _MOST_SAFE_DIGITS else text


def from_json(text: str, *, as_written: bool = False) -> Any:
    """JSON of the database; what Python cannot read (too deep, too long numbers) stays text.

    `as_written` is for rows that a human reads: there 12.50 keeps its decimals, as text.
    """
    try:
        return json.loads(text, parse_float=_as_written if as_written else _float_or_text)
    except (ValueError, RecursionError):
        return text


def _as_written(text: str) -> float | str:
    number = float(text)
    return number if repr(number) == text else text


def _float_or_text(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) and Decimal(text) == Decimal(repr(number)) else text


def _short_bytes(value: bytes) -> str:
    shown = "\\x" + value[:_SHOWN_BYTES].hex()
    return shown if len(value) <= _SHOWN_BYTES else f"{shown}… ({len(value)} bytes)"


def shorten(value: Any, most: int) -> tuple[Any, bool]:
    """`value` with every text in it cut to `most` characters, and whether something was cut."""
    if isinstance(value, str):
        return (value, False) if len(value) <= most else (f"{value[:most]}… ({len(value)} characters)", True)
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
        return (value, False) if len(text) <= most else (f"{text[:most]}… ({len(text)} characters)", True)
    return value, False


def size_of(value: Any) -> int:
    """Bytes of `value` as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode())
