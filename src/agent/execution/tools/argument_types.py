"""Takes arguments that differ from a JSON schema only in their type, as models often write them. Pure.

    "3" for 3, "true" for true, "eq" for "=", "DESC" for "desc", a JSON text for a list or an object, one object for a
    list of them, null for an argument that may be left out

What means something else stays as it is, and is refused by the strict check that comes after. A text is never read as JSON
where the schema takes a text, and no JSON with escaped characters is taken, because it could hide what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?")
_TRUTHS: Mapping[str, bool] = {"true": True, "false": False}
_TYPES: Mapping[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": Mapping,
    "null": type(None),
}  # fmt: skip
_ESCAPES = ("\\u", "\\/")
_MOST_CHARACTERS = 20_000
_MOST_DEPTH = 8
# Other spellings of the values that a schema lists.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "=": ("eq", "==", "equals", "equal"),
    "!=": ("ne", "neq", "<>", "not_equals", "not_equal"),
    "<": ("lt", "less_than"),
    "<=": ("lte", "le", "=<", "less_than_or_equal"),
    ">": ("gt", "greater_than"),
    ">=": ("gte", "ge", "=>", "greater_than_or_equal"),
    "is_null": ("null", "isnull"),
    "not_null": ("notnull", "is_not_null"),
    "asc": ("ascending",),
    "desc": ("descending",),
}


def as_typed(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of one call with the types of `schema`, where only the type differs."""
    return dict(_object(arguments, schema, schema, depth=0))


def _typed(value: Any, schema: Any, root: Mapping[str, Any], *, depth: int) -> Any:
    schema = _resolved(schema, root)
    if schema is None or depth > _MOST_DEPTH:
        return value
    branches = [found for branch in schema.get("anyOf") or () if (found := _resolved(branch, root)) is not None]
    if branches:
        return _typed_as_one_of(value, branches, root, depth=depth)
    if isinstance(schema.get("enum"), list):
        return _listed(value, schema["enum"])
    convert = _CONVERSIONS.get(str(schema.get("type")))
    value = convert(value) if convert else value
    if schema.get("type") == "array" and isinstance(value, list):
        return [_typed(item, schema.get("items"), root, depth=depth + 1) for item in value]
    if schema.get("type") == "object" and isinstance(value, Mapping):
        return _object(value, schema, root, depth=depth)
    return value


def _object(value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], *, depth: int) -> Any:
    properties, required = schema.get("properties"), schema.get("required") or ()
    if not isinstance(properties, Mapping):
        return value
    return {
        name: _typed(item, properties.get(name), root, depth=depth + 1)
        for name, item in value.items()
        if item is not None or name in required or name not in properties or _takes_null(properties[name], root)
    }


def _typed_as_one_of(value: Any, branches: list[Mapping[str, Any]], root: Mapping[str, Any], *, depth: int) -> Any:
    """Return the value as it is if a branch takes its type, else as the first branch to which it can be converted."""
    fitting = [branch for branch in branches if _has_type(value, branch)]
    for branch in fitting or branches:
        converted = _typed(value, branch, root, depth=depth + 1)
        if _has_type(converted, branch):
            return converted
    return value


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Follow one reference into the schema's own definitions; None for what is no schema of one value."""
    if not isinstance(schema, Mapping):
        return None
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found = (root.get("$defs") or {}).get(reference.removeprefix("#/$defs/"))
    return found if isinstance(found, Mapping) and "$ref" not in found else None


def _takes_null(schema: Any, root: Mapping[str, Any]) -> bool:
    """Return whether null may be a value of `schema`; also where that is not certain."""
    found = _resolved(schema, root)
    if found is None:
        return True
    if "enum" in found:
        return None in found["enum"]
    if "anyOf" in found:
        return any(_takes_null(branch, root) for branch in found["anyOf"])
    kind = found.get("type")
    return not isinstance(kind, str) or kind == "null" or kind not in _TYPES


def _has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if isinstance(value, bool) or not isinstance(kind, str):
        return kind == "boolean" or not isinstance(kind, str)
    return isinstance(value, _TYPES.get(kind, object))


def _integer(value: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    return value


def _boolean(value: Any) -> Any:
    return _TRUTHS.get(value.strip().lower(), value) if isinstance(value, str) else value


def as_list(value: Any) -> Any:
    """Return a list for its JSON text or for a single object, and anything else as it is."""
    parsed = _parsed(value, "[")
    if isinstance(parsed, list):
        return parsed
    return [value] if isinstance(value, Mapping) else value


def _mapping(value: Any) -> Any:
    parsed = _parsed(value, "{")
    return parsed if isinstance(parsed, dict) else value


_CONVERSIONS = {
    "integer": _integer, "number": _number, "boolean": _boolean, "array": as_list, "object": _mapping,
}  # fmt: skip


def _listed(value: Any, allowed: list[Any]) -> Any:
    """Return the listed value that `value` is another spelling of, else `value`."""
    if value in allowed or not isinstance(value, str):
        return value
    plain = _plain(value)
    fitting = [item for item in allowed if isinstance(item, str) and plain in {_plain(item), *_SPELLINGS.get(item, ())}]
    return fitting[0] if len(fitting) == 1 else value


def _plain(text: str) -> str:
    return "_".join(text.strip().lower().split())


def _parsed(value: Any, begin: str) -> Any:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or not value.lstrip().startswith(begin):
        return None
    if any(escape in value for escape in _ESCAPES):
        return None
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Iterator[None]:
    raise ValueError(f"{constant} is not JSON")
