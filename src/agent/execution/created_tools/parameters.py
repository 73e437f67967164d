"""Puts the parameters of a tool's SQL in place of $1, $2 ...: each becomes one constant, whatever it holds. Pure.

The result is one statement as text, because it is assessed, shown to a human and logged as what it is. Postgres's own scanner
says where a parameter stands, and the result must have the parse tree of the original with constants in place of parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from agent.errors import InvalidArguments
from agent.learning.named_relations import check_text
from agent.statements.parser import parse

PARAMETERS = "params"


def bound(function: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of a host call with its parameters inside of the statement. Raises `InvalidArguments`."""
    if function != "execute_sql" or PARAMETERS not in arguments:
        return arguments
    values = arguments[PARAMETERS]
    if not isinstance(values, list):
        raise InvalidArguments(f"execute_sql takes {PARAMETERS} as a list: the first is $1, the second $2.")
    kept = {name: value for name, value in arguments.items() if name != PARAMETERS}
    return {**kept, "sql": bind(str(arguments.get("sql", "")), values)}


def bind(sql: str, values: Sequence[Any]) -> str:
    """Return `sql` with the constants of `values`. Raises `InvalidArguments` where they are not its parameters."""
    from postgast import fingerprint, scan

    parse(sql)
    text = sql.encode()
    places = [(token.start, token.end) for token in scan(sql).tokens if text[token.start : token.end][:1] == b"$"]
    places = [(start, end) for start, end in places if text[start + 1 : end].isdigit()]
    numbers = [int(text[start + 1 : end]) for start, end in places]
    if {*numbers} != {*range(1, len(values) + 1)}:
        named = ", ".join(f"${number}" for number in sorted({*numbers})) or "no parameter"
        raise InvalidArguments(f"The statement names {named}, and {PARAMETERS} has {len(values)} values.")
    parts, end_before = [], 0
    for (start, end), number in zip(places, numbers, strict=True):
        # In brackets, a constant cannot join what stands beside it: a minus, or the U& of a text.
        parts += [text[end_before:start], b"(", _constant(values[number - 1]).encode(), b")"]
        end_before = end
    whole = b"".join([*parts, text[end_before:]]).decode()
    parse(whole)
    if fingerprint(whole).hex != fingerprint(sql).hex:
        raise InvalidArguments("A parameter stands where no value can stand.")
    return whole


def _constant(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "NULL"
    if isinstance(value, int):
        return str(value)
    text = _text(value)
    check_text(text, "parameter")
    return "'" + text.replace("'", "''") + "'"


def _text(value: Any) -> str:
    """Return a value as text that Postgres reads in the type that it expects there: a list as an array, an object as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return f"{{{','.join(map(_element, value))}}}" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _text(value)
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    escaped = _text(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
