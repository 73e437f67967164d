"""Shortens the JSON schema of a tool's arguments to what a model needs to write them: every request holds it. Pure.

Limits, titles and whether null is taken are left out. The full schema still checks what comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEFT_OUT = frozenset(
    {"title", "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default", "$defs"}
)  # fmt: skip
_NULL = {"type": "null"}
_SCALARS = frozenset({"string", "integer", "number", "boolean"})


def shown_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a built-in tool's arguments as a model sees it."""
    return _shortened(schema, schema)


def _shortened(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    schema = _inlined(schema, root)
    short: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties":
            short[name] = {key: _shortened(item, root) for key, item in value.items()}
        elif name == "anyOf":
            short |= _choice([_shortened(branch, root) for branch in value if branch != _NULL])
        elif name == "items":
            short[name] = _shortened(value, root)
        elif name not in _LEFT_OUT:
            short[name] = value
    return short


def _inlined(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**target, **{name: value for name, value in schema.items() if name != "$ref"}}


def _choice(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the only type. Text stands for other scalars too; else none is named, because servers differ in taking a choice."""
    if len(kinds) == 1:
        return kinds[0]
    return {"type": "string"} if all(kind.get("type") in _SCALARS for kind in kinds) else {}
