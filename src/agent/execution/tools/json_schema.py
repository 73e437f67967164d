"""Checks JSON schemas (draft 2020-12) that a model wrote, and arguments by them, strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from agent.errors import InvalidArguments

_MOST_BYTES = 20_000
_MOST_DEPTH = 20
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PROBLEMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentSchema:
    """The schema of a tool's arguments: an object with named properties and no others. `text` is its JSON with sorted keys."""

    text: str

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> ArgumentSchema:
        """Check `schema` and make it strict. Raises `InvalidArguments` with what is wrong with it."""
        strict = {"additionalProperties": False, **schema}
        _check(strict)
        return cls(text=json.dumps(strict, sort_keys=True))

    @classmethod
    def known(cls, schema: Mapping[str, Any]) -> ArgumentSchema:
        """Return a stored schema, which `of` has checked before."""
        return cls(text=json.dumps(schema, sort_keys=True))

    @property
    def as_dict(self) -> dict[str, Any]:
        """Return the schema as a dict."""
        schema: dict[str, Any] = json.loads(self.text)
        return schema

    def check(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments if they fit. Raises `InvalidArguments` with text for the model."""
        errors = islice(_validator(self.text).iter_errors(dict(arguments)), _PROBLEMS)
        problems = [
            f"{'.'.join(map(str, error.instance_path)) or 'arguments'}: {error.message[:200]}" for error in errors
        ]
        if problems:
            names = ", ".join(self.as_dict.get("properties", {})) or "nothing"
            raise InvalidArguments(f"{tool} cannot take these arguments: {'; '.join(problems)}. It takes: {names}.")
        return dict(arguments)


def _check(schema: Mapping[str, Any]) -> None:
    import jsonschema_rs

    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArguments(f"The schema is not JSON: {error}") from None
    if len(text) > _MOST_BYTES:
        raise InvalidArguments(f"The schema has {len(text)} characters; at most {_MOST_BYTES} are allowed.")
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
        raise InvalidArguments(
            'The schema must describe an object: {"type": "object", "properties": {...}, "required": [...]}.'
        )
    if schema["additionalProperties"] is not False:
        raise InvalidArguments("The schema must not allow other properties than those it names.")
    for problem in _problems(schema, depth=0):
        raise InvalidArguments(f"The schema is not accepted: {problem}.")
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": _DRAFT})
        _validator(text)
    except (ValueError, jsonschema_rs.ReferencingError) as error:  # type: ignore[misc]  # its stub forgets what it derives from
        raise InvalidArguments(f"The schema is not one of draft 2020-12: {str(error)[:500]}") from None


def _problems(value: Any, *, depth: int) -> Iterator[str]:
    if depth > _MOST_DEPTH:
        yield f"it is nested deeper than {_MOST_DEPTH}"
        return
    if isinstance(value, list):
        for item in value:
            yield from _problems(item, depth=depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in {"$ref", "$dynamicRef"} and not (isinstance(item, str) and item.startswith("#")):
                yield f"{key} may only point into the schema itself"
            elif key in {"$id", "$vocabulary"} or (key == "$schema" and item != _DRAFT):
                yield f"{key} is not allowed"
            yield from _problems(item, depth=depth + 1)


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    """Return a validator that matches regular expressions in linear time and fetches nothing."""
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(
        json.loads(text), retriever=_no_fetching, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
    )


def _no_fetching(uri: str) -> Any:
    raise ValueError(f"{uri!r} is not fetched")
