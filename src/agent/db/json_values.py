"""Converts database values to JSON without loss, and cuts results to their limits. Pure.

Values that Python cannot represent, or only with a loss (dates after 9999, infinite times, intervals, ranges), stay the text
that Postgres writes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from psycopg import AsyncCursor, AsyncServerCursor
from psycopg.types.string import TextLoader

from agent.text.storable import exact_float, spelled_out, storable_json

# OIDs of numeric, dates, times, intervals, json, ranges, multiranges, uuid, inet, cidr, money, "char", name and others.
_AS_TEXT = (
    18, 19, 114, 142, 600, 601, 602, 603, 604, 628, 650, 718, 774, 790, 829, 869, 1042, 1082, 1083, 1114, 1184, 1186, 1266,
    1560, 1562, 1700, 2950, 3802, 3904, 3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535, 4536,
)  # fmt: skip
_JSON_OIDS = {114, 3802}
_NUMERIC_OID = 1700
_SHOWN_BYTES = 32
_MAX_SAFE_DIGITS = 15
_CUT = re.compile(r"\.\.\. \((\d+) (?:characters|bytes)\)\Z")


def take_as_text(cursor: AsyncCursor[Any] | AsyncServerCursor[Any]) -> None:
    """Make `cursor` load the types of `_AS_TEXT` as the text that Postgres writes."""
    for oid in _AS_TEXT:
        cursor.adapters.register_loader(oid, TextLoader)


def plain(value: Any, type_oid: int = 0) -> Any:  # one line a type
    """Return one cell as a JSON-compatible value."""
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
    """Return a whole number as an int, one with decimals as text, because 12.50 is not 12.5 to an accountant."""
    return int(text) if text.lstrip("-").isdigit() and len(text) <= _MAX_SAFE_DIGITS else text


def from_json(text: str, *, as_written: bool = False) -> Any:
    """Parse JSON of the database; return the text itself when Python cannot read it or it cannot be stored (depth, long numbers).

    `as_written` is for rows that a human reads: there 12.50 keeps its decimals, as text. A NUL character or half of a
    surrogate pair, which no text column can hold, stays an escape sequence.
    """
    try:
        value = json.loads(text, parse_float=_as_written if as_written else exact_float)
        return storable_json(value, text=spelled_out)
    except (ValueError, RecursionError):
        return text


def _as_written(text: str) -> float | str:
    number = float(text)
    return number if repr(number) == text else text


def _short_bytes(value: bytes) -> str:
    prefix = "\\x" + value[:_SHOWN_BYTES].hex()
    return prefix if len(value) <= _SHOWN_BYTES else f"{prefix}... ({len(value)} bytes)"


def shorten(value: Any, most: int) -> tuple[Any, bool]:
    """Cut `value` to `most` characters (a list or dict as JSON text); return it and whether something was cut.

    A text that was cut before keeps the note of its original length.
    """
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
        return (value, False) if len(text) <= most else (f"{text[:most]}... ({len(text)} characters)", True)
    if not isinstance(value, str) or len(value) <= most:
        return value, False
    before = _CUT.search(value)
    if before is None or int(before[1]) <= before.start():
        return f"{value[:most]}... ({len(value)} characters)", True
    return value[: min(most, before.start())] + before.group(), before.start() > most


def is_cut(value: Any) -> bool:
    """Return whether a cell was cut by `shorten`."""
    if not isinstance(value, str) or not value.endswith(" characters)"):
        return False
    match = _CUT.search(value)
    return match is not None and int(match[1]) > match.start()


def size_of(value: Any) -> int:
    """Return the size of `value` as JSON in bytes."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def fit_cells(rows: list[list[Any]], most_bytes: int, *, most: int, least: int) -> tuple[list[list[Any]], int, int]:
    """Cut the longest cells so that all rows fit into `most_bytes`; return the rows, their bytes and the length of a cell.

    All cells have the same limit. It never goes below `least` characters, even where the rows do not fit then.
    """
    fitted, size = rows, sum(map(size_of, rows))
    while size > most_bytes and most > least:
        most = max(least, min(most - 1, most * most_bytes // size))
        fitted = [[shorten(cell, most)[0] for cell in row] for row in rows]
        size = sum(map(size_of, fitted))
    return fitted, size, most
