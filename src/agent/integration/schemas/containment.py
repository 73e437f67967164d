"""Whether one JSON schema accepts all that another one accepts: what "backward compatible" means for JSON. Pure.

It is decided by structure, and doubts count against compatibility: a keyword that it does not understand must be the same in both.
One kindness of schema registries is kept: a property that becomes required is no break if it has a default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from agent.integration.schemas.documents import TooMuchWork
from agent.integration.schemas.json_keywords import (
    KNOWN,
    as_object,
    at,
    bounds,
    dependencies,
    folded,
    is_anything,
    is_nothing,
    meaning,
    numbers,
    property_of,
    references_in,
    settled,
    strings,
    types,
)  # fmt: skip

_MOST_DEPTH = 100
_MOST_REASONS = 20
# Schemas that take more steps than these are not compared to the end.
_MOST_STEPS = 20_000
_TOO_MUCH = "the data: the schemas are too large or too deep to be compared; register the change under another name"


class Side(Protocol):
    """A schema document of a comparison."""

    @property
    def root(self) -> Any:
        """Return the document, its references written in full."""

    def find(self, reference: str) -> Any:
        """Return what a reference leads to; None if it leads nowhere."""

    def accepts(self, schema: Any, value: Any) -> bool:
        """Return whether a part of the document accepts a value."""

    def weight(self, schema: Any) -> int:
        """Return how many steps it takes to make a part ready for that."""

    @property
    def asserts_formats(self) -> bool:
        """Return whether a format is a rule in its dialect, and not a note."""


def not_accepted(old: Side, new: Side) -> list[str]:
    """Return why `new` refuses something that `old` accepts; nothing if it accepts it all."""
    found = _Comparison(old=old, new=new)
    try:
        while True:
            reasons = list(islice(found.compare(old.root, new.root, "", 0), _MOST_REASONS))
            if reasons or not found.assumed_wrongly():
                return reasons
    except (RecursionError, TooMuchWork):
        return [_TOO_MUCH]


_Pair = tuple[str, str]


@dataclass(slots=True)
class _Comparison:
    """A comparison. Two parts that are being compared further out are assumed to fit; if that turns out wrong, all is compared once more."""

    old: Side
    new: Side
    steps: int = 0
    _same: set[str] = field(default_factory=set)
    _open: set[_Pair] = field(default_factory=set)
    _assumed: set[_Pair] = field(default_factory=set)
    _passed: set[_Pair] = field(default_factory=set)
    _failed: dict[_Pair, str] = field(default_factory=dict)

    def assumed_wrongly(self) -> bool:
        """Return whether parts were assumed to fit that do not, and forget what followed from it."""
        wrong = not self._assumed.isdisjoint(self._failed)
        self._assumed.clear()
        self._passed.clear()
        return wrong

    def fits(self, old: Any, new: Any, place: str, depth: int) -> bool:
        """Return whether `new` accepts all that `old` accepts."""
        return next(self.compare(old, new, place, depth), None) is None

    def compare(self, old: Any, new: Any, place: str, depth: int) -> Iterator[str]:
        """Yield why `new` refuses what `old` accepts at a place."""
        if depth > _MOST_DEPTH:
            raise TooMuchWork
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if is_nothing(old) or is_anything(new):
            return
        pair = (_text(old), _text(new))
        self._spend(1 + (len(pair[0]) + len(pair[1])) // 1_000)
        if self._is_same(*pair):
            return
        if pair in self._failed:
            yield self._failed[pair]
        elif pair in self._open:
            self._assumed.add(pair)
        elif pair not in self._passed:
            yield from self._first_time(pair, as_object(old), new, place, depth + 1)

    def _is_same(self, old: str, new: str) -> bool:
        """Return whether two texts are equal, and all that they refer to as well, so that they mean the same in both documents."""
        if old != new:
            return False
        waiting, seen = references_in(old), set[str]()
        while waiting:
            reference = waiting.pop()
            if reference in seen or reference in self._same:
                continue
            seen.add(reference)
            target, other = self.old.find(reference), self.new.find(reference)
            text = _text(target)
            self._spend(1 + len(text) // 1_000)
            if target is None or text != _text(other):
                return False
            waiting += references_in(text)
        self._same |= seen
        return True

    def _first_time(self, pair: _Pair, old: dict[str, Any], new: Any, place: str, depth: int) -> Iterator[str]:
        self._open.add(pair)
        try:
            for reason in self._compare(old, new, place, depth):
                self._failed.setdefault(pair, reason)
                yield reason
        finally:
            self._open.discard(pair)
        if pair not in self._failed:
            self._passed.add(pair)

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > _MOST_STEPS:
            raise TooMuchWork

    def _compare(self, old: dict[str, Any], new: Any, place: str, depth: int) -> Iterator[str]:
        if is_nothing(new):
            yield f"{place or 'the data'}: nothing is accepted any more"
            return
        values = old["enum"] if isinstance(old.get("enum"), list) else [old["const"]] if "const" in old else None
        if values is not None:
            refused = (one for one in values if not self._accepts(new, one))
            yield from (f"{place or 'the data'}: {json.dumps(one)[:80]} is not accepted any more" for one in islice(refused, 1))  # fmt: skip
            return
        branches = _branches(old)
        if branches is not None:
            if len(old.get("anyOf", ())) > 1 and _overlap(old["anyOf"], as_object(new).get("oneOf", ())):
                yield f"{place or 'the data'}: a value that fits several alternatives is not accepted any more (anyOf became oneOf)"
            for branch in branches:
                yield from self.compare(branch, new, place, depth)
            return
        yield from self._whole(settled(self._flat(old, self.old)), as_object(new), place, depth)

    def _accepts(self, schema: Any, value: Any) -> bool:
        self._spend(1 + self.new.weight(schema))
        return self.new.accepts(schema, value)

    def _flat(self, schema: dict[str, Any], side: Side, depth: int = 0) -> dict[str, Any]:
        """Return a schema with its `allOf` folded in where that is possible."""
        parts = schema.get("allOf")
        if not isinstance(parts, list):
            return schema
        if depth > _MOST_DEPTH:
            raise TooMuchWork
        flat = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts:
            self._spend(1)
            flat = folded(flat, self._flat(as_object(_resolved(part, side)), side, depth + 1))
        return flat

    def _whole(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        """Compare a schema without alternatives with any other."""
        inner = _branches(old)
        if inner is not None:  # alternatives that came up when allOf was folded in
            for branch in inner:
                yield from self.compare(branch, new, place, depth)
            return
        if new.keys() & {"unevaluatedProperties", "unevaluatedItems"}:
            new = self._flat(new, self.new)
        new = settled(new)
        for part in new.get("allOf", ()):
            yield from self.compare(old, part, place, depth)
        for word in ("anyOf", "oneOf"):
            if isinstance(new.get(word), list) and not self._has_branch(old, new[word], place, depth):
                yield f"{place or 'the data'}: no alternative of {word} accepts all of it"
        yield from self._negated(old, new, place, depth)
        yield from self._conditional(old, new, place, depth)
        for word in sorted(set(meaning(new)) - KNOWN):
            if not self._is_same(_text(old.get(word)), _text(new[word])):
                yield f"{place or 'the data'}: {word} is not the same"
        yield from self._typed(old, new, place, depth)

    def _has_branch(self, old: dict[str, Any], branches: list[Any], place: str, depth: int) -> bool:
        if any(self.fits(old, one, place, depth) for one in branches):
            return True
        kinds = old.get("type")  # each type of the old schema may have an alternative of its own
        if not isinstance(kinds, list) or len(kinds) < 2:
            return False
        return all(any(self.fits({**old, "type": kind}, one, place, depth) for one in branches) for kind in kinds)

    def _negated(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        if "not" not in new:
            return
        kinds = types(as_object(new["not"])) if set(meaning(as_object(new["not"]))) == {"type"} else None
        if kinds is not None and not (kinds & types(old)):
            return
        if "not" not in old or not self._turned_fits(new["not"], old["not"], place, depth):
            yield f"{place or 'the data'}: more is excluded (not)"

    def _turned_fits(self, new: Any, old: Any, place: str, depth: int) -> bool:
        """Return whether the old schema accepts all that a part of the new one accepts."""
        turned = _Comparison(old=self.new, new=self.old, steps=self.steps)
        fits = turned.fits(new, old, place, depth)
        while fits and turned.assumed_wrongly():
            fits = turned.fits(new, old, place, depth)
        self.steps = turned.steps
        return fits

    def _conditional(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        """Compare what holds under a condition: with what held under the same condition, or with all that was accepted."""
        known = "if" in new and "if" in old and self._is_same(_text(old["if"]), _text(new["if"]))
        rest = {key: value for key, value in old.items() if key not in ("if", "then", "else")} if known else old
        for word in ("then", "else"):
            if "if" in new and word in new:
                before = {"allOf": [rest, old[word]]} if known and word in old else rest
                yield from self.compare(before, new[word], place, depth)

    def _typed(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        if "enum" in new or "const" in new:
            yield f"{place or 'the data'}: only some values are accepted now"
        before, now = types(old), types(new)
        gone = before - now
        if gone:
            yield f"{place or 'the data'}: {', '.join(sorted(gone))} is not accepted any more"
        kinds = before & now
        if kinds & {"integer", "number"}:
            yield from numbers(old, new, place, only_integers="number" not in kinds)
        if "string" in kinds:
            yield from strings(old, new, place, asserts_formats=self.new.asserts_formats)
        if "array" in kinds:
            yield from self._arrays(old, new, place, depth)
        if "object" in kinds:
            yield from self._objects(old, new, place, depth)

    def _arrays(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        yield from bounds(old, new, place, "minItems", "maxItems")
        if new.get("uniqueItems") and not old.get("uniqueItems"):
            yield f"{place or 'the data'}: items must be unique now"
        first, now_first = old.get("prefixItems", []), new.get("prefixItems", [])
        rest, now_rest = old.get("items", True), new.get("items", True)
        for index in range(max(len(first), len(now_first))):
            before = first[index] if index < len(first) else rest
            now = now_first[index] if index < len(now_first) else now_rest
            yield from self.compare(before, now, f"{place}[{index}]", depth)
        yield from self.compare(rest, now_rest, f"{place}[]", depth)
        if (
            not new.keys() & {"prefixItems", "items"} and "additionalItems" in new
        ):  # alone it says nothing; it is compared all the same
            yield from self.compare(old.get("additionalItems", True), new["additionalItems"], f"{place}[]", depth)
        yield from self._contained(old, new, place, depth)

    def _contained(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        if "contains" not in new:
            return
        least, most = new.get("minContains", 1), new.get("maxContains")
        if least and ("contains" not in old or old.get("minContains", 1) < least):
            yield f"{place or 'the data'}: it must contain more now"
        elif least:
            yield from self.compare(old["contains"], new["contains"], f"{place}[]", depth)
        if most is not None and not (
            "contains" in old and old.get("maxContains", most + 1) <= most
            and self._turned_fits(new["contains"], old["contains"], place, depth)
        ):  # fmt: skip
            yield f"{place or 'the data'}: it may contain less now"

    def _objects(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        yield from bounds(old, new, place, "minProperties", "maxProperties")
        before, now = old.get("properties", {}), new.get("properties", {})
        known, patterns = old.get("patternProperties", {}), new.get("patternProperties", {})
        rest, now_rest = old.get("additionalProperties", True), new.get("additionalProperties", True)
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            if "default" not in as_object(_resolved(now.get(name), self.new)):
                yield f"{at(place, name)}: it is required now, and has no default"
        self._spend((len(before) + len(now)) * (len(known) + len(patterns)) // 10)
        for name in sorted({**before, **now}):
            yield from self.compare(property_of(old, name), property_of(new, name), at(place, name), depth)
        for pattern in sorted({**known, **patterns}):
            if pattern in known or not is_nothing(rest):
                yield from self.compare(known.get(pattern, rest), patterns.get(pattern, now_rest), at(place, f"/{pattern}/"), depth)  # fmt: skip
        yield from self.compare(rest, now_rest, at(place, "*"), depth)
        if "propertyNames" in new:
            yield from self.compare(old.get("propertyNames", True), new["propertyNames"], at(place, "(names)"), depth)
        yield from self._dependent(dependencies(old), dependencies(new), place, depth)

    def _dependent(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        for name, needs in new.items():
            if isinstance(needs, list):
                had = old.get(name)
                if not isinstance(had, list) or set(needs) - set(had):
                    yield f"{at(place, name)}: it needs other properties beside it now"
            elif name not in old or isinstance(old[name], list):
                yield f"{at(place, name)}: it demands more of the object now"
            else:
                yield from self.compare(old[name], needs, at(place, name), depth)


def _text(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, default=str)


def _branches(old: dict[str, Any]) -> list[Any] | None:
    """Return the alternatives of a schema, each with what stands beside them; None if it has none."""
    for word in ("anyOf", "oneOf"):
        if isinstance(old.get(word), list):
            rest = {key: value for key, value in old.items() if key != word}
            return [{"allOf": [rest, one]} for one in old[word]] if meaning(rest) else list(old[word])
    return None


def _overlap(old: list[Any], new: Any) -> bool:
    """Return whether a value may fit several of the new alternatives because it could fit several of the old ones."""
    kinds = [types(as_object(one)) - {"integer"} for one in old]
    apart = all(left.isdisjoint(right) for index, left in enumerate(kinds) for right in kinds[:index])
    return len(new) > 1 and not apart


def _resolved(schema: Any, side: Side) -> Any:
    """Return what a `$ref` stands for, together with what stands beside it."""
    for _ in range(_MOST_DEPTH):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            return schema
        target = side.find(schema["$ref"])
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if target is None:
            return schema
        schema = {"allOf": [target, rest]} if meaning(rest) else target
    raise TooMuchWork
