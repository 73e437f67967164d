"""How much work it is to validate a value by a JSON schema, counted before it is done: alternatives that lead to each other can multiply it without end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.integration.schemas.documents import TooMuchWork
from agent.integration.schemas.json_keywords import fits
from agent.integration.schemas.json_references import Document

# Parts of a schema that a value may be looked at with, and pairs that are counted; the first takes the validator about a second.
_MOST_LOOKS, _MOST_PAIRS = 1_000_000, 100_000
# An error of alternatives quotes the value once for each: so many characters are quoted.
_MOST_QUOTED = 20_000_000
_LISTS, _SINGLE = ("allOf", "anyOf", "oneOf"), ("not", "if", "then", "else", "contentSchema")
_BESIDE = ("dependentSchemas", "dependencies")
_NAMES = ("additionalProperties", "unevaluatedProperties")
_ITEMS = ("items", "additionalItems", "unevaluatedItems", "contains")


def check_work(document: Document, value: Any, part: Any = None) -> bool:
    """Return whether errors can be told in full. Raises `TooMuchWork` if a value is too much work for a document, or a part of it."""
    count = _Count(document)
    try:
        count.looks(document.root if part is None else part, value)
    except RecursionError:
        raise TooMuchWork from None
    return count.quoted < _MOST_QUOTED


class _Count:
    """A count. What is counted once for a part and a value is not counted again, only added."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[int, int], int] = {}
        self._sizes: dict[int, int] = {}
        self.quoted = 0

    def looks(self, schema: Any, value: Any) -> int:
        """Return how many parts look at a value and what it holds."""
        if not isinstance(schema, Mapping):
            return 1
        key = (id(schema), id(value))
        known = self._known.get(key)
        if known is not None:
            return known
        self._known[key] = 0  # a part that leads back to itself for the same value is looked at once
        total = 1 + len(schema.get("enum", ())) // 10 + _weight(value)
        alternatives = len(schema.get("anyOf", ())) + len(schema.get("oneOf", ()))
        if alternatives:
            self.quoted += alternatives * self._size(value)
        for part, inner in self._inside(schema, value):
            total += self.looks(part, inner)
            if total > _MOST_LOOKS or len(self._known) > _MOST_PAIRS:
                raise TooMuchWork
        self._known[key] = total
        return total

    def _size(self, value: Any) -> int:
        """Return about how many characters a value has."""
        known = self._sizes.get(id(value))
        if known is None:
            if isinstance(value, Mapping):
                known = sum(len(name) + self._size(inner) for name, inner in value.items())
            else:
                known = sum(map(self._size, value)) if isinstance(value, list) else len(str(value))
            self._sizes[id(value)] = known
        return known

    def _inside(self, schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
        """Yield what is looked at in turn: parts of the schema, each with the value or what the value holds."""
        for word in ("$ref", "$dynamicRef"):
            if isinstance(schema.get(word), str):
                yield self._document.find(schema[word]), value
        for word in _LISTS:
            yield from ((part, value) for part in schema.get(word, ()))
        yield from ((schema[word], value) for word in _SINGLE if word in schema)
        if isinstance(value, Mapping):
            yield from _properties(schema, value)
        elif isinstance(value, list):
            yield from _items(schema, value)


def _weight(value: Any) -> int:
    """Return how much more one look at a value takes than one at a number."""
    if isinstance(value, Mapping):
        return len(value)
    return len(value) // (500 if isinstance(value, str) else 10) if isinstance(value, str | list) else 0


def _properties(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for word in _BESIDE:
        yield from ((part, value) for name, part in schema.get(word, {}).items() if name in value)
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, inner in value.items():
        if name in known:
            yield known[name], inner
        for pattern, part in patterns.items():
            yield (part if fits(pattern, name) else True), inner
        if name not in known:
            yield from ((schema[word], inner) for word in _NAMES if word in schema)
        if "propertyNames" in schema:
            yield schema["propertyNames"], name


def _items(schema: Mapping[str, Any], value: list[Any]) -> Iterator[tuple[Any, Any]]:
    first = schema.get("prefixItems", schema.get("items"))
    if isinstance(first, list):
        yield from zip(first, value, strict=False)
    rest = [schema[word] for word in _ITEMS if isinstance(schema.get(word), Mapping)]
    for inner in value if rest else ():
        yield from ((part, inner) for part in rest)
