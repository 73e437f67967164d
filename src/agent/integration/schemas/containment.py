"""Whether one JSON schema accepts all that another one accepts: what "backward compatible" means for JSON. Pure.

It is decided by structure, and doubts count against compatibility: a keyword that it does not understand must be the same in both.
One kindness of schema registries is kept: a property that becomes required is no break if it has a default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Accepts = Callable[[Any, Any], bool]
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# What says nothing about which values are valid.
_ANNOTATIONS = frozenset({
    "$schema", "$id", "id", "$anchor", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example", "deprecated",
    "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema", "$vocabulary", "discriminator",
})  # fmt: skip
# Keywords with a rule here. Others (contains, if, unevaluatedProperties, ...) must be the same in both.
_KNOWN = frozenset({
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format",
    "items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "properties", "patternProperties", "additionalProperties",
    "required", "minProperties", "maxProperties", "propertyNames", "dependentRequired", "dependentSchemas", "dependencies", "allOf", "anyOf", "oneOf", "not", "$ref",
})  # fmt: skip
_MOST_DEPTH = 100
_MOST_REASONS = 20


def not_accepted(old: Any, new: Any, accepts: Accepts) -> list[str]:
    """Return why `new` refuses something that `old` accepts; nothing if it accepts it all. `accepts(schema, value)` validates by a part of `new`."""
    try:
        found = _Comparison(old_root=old, new_root=new, accepts=accepts).compare(old, new, "", 0)
        reasons = []
        for reason in found:
            reasons.append(reason)
            if len(reasons) >= _MOST_REASONS:
                break
    except RecursionError:
        return ["the data: the schemas are nested too deeply to be compared"]
    return reasons


def _object(schema: Any) -> dict[str, Any]:
    if schema is False:
        return {"not": {}}
    return dict(schema) if isinstance(schema, Mapping) else {}


def _is_nothing(schema: Any) -> bool:
    return schema is False or (isinstance(schema, Mapping) and schema.get("not") in ({}, True))


def _meaning(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}


def _is_anything(schema: Any) -> bool:
    return schema is True or (isinstance(schema, Mapping) and not _meaning(schema))


def _same(left: Any, right: Any) -> bool:
    """Return whether two schemas are the same text and refer to nothing, so that it means the same in both documents."""
    one, other = (json.dumps(side, sort_keys=True, default=str) for side in (left, right))
    return one == other and '"$ref"' not in one and '"$dynamicRef"' not in one


def _types(schema: Mapping[str, Any]) -> set[str]:
    given = schema.get("type")
    named = {given} if isinstance(given, str) else set(given) if isinstance(given, list) else set(_TYPES)
    return named | {"integer"} if "number" in named else named


@dataclass(slots=True)
class _Comparison:
    old_root: Any
    new_root: Any
    accepts: Accepts
    _open: set[tuple[str, str]] = field(default_factory=set)

    @property
    def asserts_formats(self) -> bool:
        """Return whether a format is a rule in the new schema; since draft 2019-09 it is a note."""
        dialect = self.new_root.get("$schema", "") if isinstance(self.new_root, Mapping) else ""
        return "/draft-0" in str(dialect)

    def compare(self, old: Any, new: Any, place: str, depth: int) -> Iterator[str]:
        """Yield why `new` refuses what `old` accepts at a place."""
        if depth > _MOST_DEPTH:
            yield f"{place or 'the data'}: the schemas are nested too deeply to be compared"
            return
        old, new = self._resolved(old, self.old_root), self._resolved(new, self.new_root)
        if _is_nothing(old) or _is_anything(new) or _same(old, new):
            return
        pair = (json.dumps(old, sort_keys=True, default=str), json.dumps(new, sort_keys=True, default=str))
        if pair in self._open:
            return  # it is being compared further out
        self._open.add(pair)
        try:
            yield from self._compare(_object(old), new, place, depth + 1)
        finally:
            self._open.discard(pair)

    def _compare(self, old: dict[str, Any], new: Any, place: str, depth: int) -> Iterator[str]:
        if _is_nothing(new):
            yield f"{place or 'the data'}: nothing is accepted any more"
            return
        values = old["enum"] if isinstance(old.get("enum"), list) else [old["const"]] if "const" in old else None
        if values is not None:
            refused = [value for value in values if not self.accepts(new, value)]
            if refused:
                yield f"{place or 'the data'}: {json.dumps(refused[0])[:80]} is not accepted any more"
            return
        branches = self._branches(old)
        if branches is not None:
            for branch in branches:
                yield from self.compare(branch, new, place, depth)
            return
        yield from self._whole(self._flat(old), _object(new), place, depth)

    def _branches(self, old: dict[str, Any]) -> list[Any] | None:
        """Return the alternatives of a schema, each with what stands beside them; None if it has none."""
        for word in ("anyOf", "oneOf"):
            if isinstance(old.get(word), list):
                rest = {key: value for key, value in old.items() if key != word}
                if not _meaning(rest):
                    return list(old[word])
                return [{"allOf": [rest, one]} for one in old[word]]
        return None

    def _flat(self, old: dict[str, Any]) -> dict[str, Any]:
        """Return a schema with its `allOf` folded in where that is possible."""
        parts = old.get("allOf")
        if not isinstance(parts, list):
            return old
        flat = {key: value for key, value in old.items() if key != "allOf"}
        for part in parts:
            one = self._flat(_object(self._resolved(part, self.old_root)))
            flat = _folded(flat, one)
        return flat

    def _whole(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        """Compare a schema without alternatives with any other."""
        inner = self._branches(old)
        if inner is not None:  # alternatives that came up when allOf was folded in
            for branch in inner:
                yield from self.compare(branch, new, place, depth)
            return
        for part in new.get("allOf", ()):
            yield from self.compare(old, part, place, depth)
        for word in ("anyOf", "oneOf"):
            if isinstance(new.get(word), list) and not self._has_branch(old, new[word], place, depth):
                yield f"{place or 'the data'}: no alternative of {word} accepts all of it"
        yield from self._negated(old, new, place, depth)
        for word in sorted(set(_meaning(new)) - _KNOWN):
            if not _same(old.get(word), new[word]):
                yield f"{place or 'the data'}: {word} is not the same"
        yield from self._typed(old, new, place, depth)

    def _has_branch(self, old: dict[str, Any], branches: list[Any], place: str, depth: int) -> bool:
        if any(not list(self.compare(old, one, place, depth)) for one in branches):
            return True
        kinds = old.get("type")  # each type of the old schema may have an alternative of its own
        if not isinstance(kinds, list) or len(kinds) < 2:
            return False
        return all(any(not list(self.compare({**old, "type": kind}, one, place, depth)) for one in branches) for kind in kinds)  # fmt: skip

    def _negated(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        if "not" not in new:
            return
        kinds = _types(_object(new["not"])) if set(_meaning(_object(new["not"]))) == {"type"} else None
        if kinds is not None and not (kinds & _types(old)):
            return
        swapped = _Comparison(old_root=self.new_root, new_root=self.old_root, accepts=lambda _schema, _value: False)
        if "not" not in old or list(swapped.compare(new["not"], old["not"], place, depth)):
            yield f"{place or 'the data'}: more is excluded (not)"

    def _typed(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        if "enum" in new or "const" in new:
            yield f"{place or 'the data'}: only some values are accepted now"
        before, now = _types(old), _types(new)
        gone = before - now
        if gone:
            yield f"{place or 'the data'}: {', '.join(sorted(gone))} is not accepted any more"
        kinds = before & now
        if kinds & {"integer", "number"}:
            yield from _numbers(old, new, place, only_integers="number" not in kinds)
        if "string" in kinds:
            yield from _strings(old, new, place, asserts_formats=self.asserts_formats)
        if "array" in kinds:
            yield from self._arrays(_items(old), _items(new), place, depth)
        if "object" in kinds:
            yield from self._objects(old, new, place, depth)

    def _arrays(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        yield from _bounds(old, new, place, "minItems", "maxItems")
        if new.get("uniqueItems") and not old.get("uniqueItems"):
            yield f"{place or 'the data'}: items must be unique now"
        first, now_first = old.get("prefixItems", []), new.get("prefixItems", [])
        rest, now_rest = old.get("items", True), new.get("items", True)
        for at in range(max(len(first), len(now_first))):
            before = first[at] if at < len(first) else rest
            now = now_first[at] if at < len(now_first) else now_rest
            yield from self.compare(before, now, f"{place}[{at}]", depth)
        yield from self.compare(rest, now_rest, f"{place}[]", depth)

    def _objects(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        yield from _bounds(old, new, place, "minProperties", "maxProperties")
        named = {**old.get("properties", {}), **new.get("properties", {})}
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            if "default" not in _object(self._resolved(new.get("properties", {}).get(name), self.new_root)):
                yield f"{_at(place, name)}: it is required now, and has no default"
        for name in sorted(named):
            yield from self.compare(_property(old, name), _property(new, name), _at(place, name), depth)
        known = old.get("patternProperties", {})
        closed = _is_nothing(old.get("additionalProperties", True))
        for pattern, schema in new.get("patternProperties", {}).items():
            if pattern in known:
                yield from self.compare(known[pattern], schema, _at(place, f"/{pattern}/"), depth)
            elif not closed:
                yield from self.compare(old.get("additionalProperties", True), schema, _at(place, f"/{pattern}/"), depth)  # fmt: skip
        for pattern, schema in known.items():
            if pattern not in new.get("patternProperties", {}):
                yield from self.compare(schema, new.get("additionalProperties", True), _at(place, f"/{pattern}/"), depth)  # fmt: skip
        more = self.compare(old.get("additionalProperties", True), new.get("additionalProperties", True), _at(place, "*"), depth)  # fmt: skip
        yield from more
        if "propertyNames" in new:
            yield from self.compare(old.get("propertyNames", True), new["propertyNames"], _at(place, "(names)"), depth)
        yield from self._dependent(_dependencies(old), _dependencies(new), place, depth)

    def _dependent(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> Iterator[str]:
        for name, needs in new.items():
            if isinstance(needs, list):
                had = old.get(name)
                if not isinstance(had, list) or set(needs) - set(had):
                    yield f"{_at(place, name)}: it needs other properties beside it now"
            elif name not in old or isinstance(old[name], list):
                yield f"{_at(place, name)}: it demands more of the object now"
            else:
                yield from self.compare(old[name], needs, _at(place, name), depth)

    def _resolved(self, schema: Any, root: Any) -> Any:
        """Return what a `$ref` inside its document stands for, together with what stands beside it."""
        for _ in range(_MOST_DEPTH):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                return schema
            target = _pointed(schema["$ref"], root)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            if target is None:
                return schema
            schema = {"allOf": [target, rest]} if _meaning(rest) else target
        return schema


def _pointed(reference: str, root: Any) -> Any:
    if not reference.startswith("#"):
        return None
    part = root
    for raw in filter(None, reference[1:].split("/")):
        name = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(part, Mapping) and name in part:
            part = part[name]
        elif isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        else:
            return None
    return part


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _property(schema: Mapping[str, Any], name: str) -> Any:
    """Return the schema of one property: by its name, the patterns that fit, or that of all others."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    found += [one for pattern, one in schema.get("patternProperties", {}).items() if _fits(pattern, name)]
    if not found:
        return schema.get("additionalProperties", True)
    return found[0] if len(found) == 1 else {"allOf": found}


def _fits(pattern: str, name: str) -> bool:
    if len(pattern) > 200 or len(name) > 200:
        return False
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _items(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an array's schema in the words of draft 2020-12."""
    if not isinstance(schema.get("items"), list):
        return dict(schema)
    return {**schema, "prefixItems": schema["items"], "items": schema.get("additionalItems", True)}


def _dependencies(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema.get("dependencies", {}), **schema.get("dependentRequired", {}), **schema.get("dependentSchemas", {})}  # fmt: skip


def _bounds(old: Mapping[str, Any], new: Mapping[str, Any], place: str, low: str, high: str) -> Iterator[str]:
    if new.get(low, 0) > old.get(low, 0):
        yield f"{place or 'the data'}: {low} is larger now"
    if high in new and (high not in old or new[high] < old[high]):
        yield f"{place or 'the data'}: {high} is smaller now"


def _numbers(old: Mapping[str, Any], new: Mapping[str, Any], place: str, *, only_integers: bool) -> Iterator[str]:
    for word, sign in (("inimum", 1), ("aximum", -1)):
        before, now = _limit(old, word, sign), _limit(new, word, sign)
        if now is not None and (before is None or before < now):
            yield f"{place or 'the data'}: its m{word} is stricter now"
    if "multipleOf" in new:
        had = old.get("multipleOf", 1 if only_integers else None)
        if had is None or (had / new["multipleOf"]) % 1:
            yield f"{place or 'the data'}: multipleOf is stricter now"


def _limit(schema: Mapping[str, Any], word: str, sign: int) -> tuple[float, bool] | None:
    """Return a bound and whether it excludes its own value, so that a stricter one compares as greater."""
    plain, exclusive = schema.get(f"m{word}"), schema.get(f"exclusiveM{word}")
    if exclusive is True:  # draft 4
        return None if plain is None else (sign * plain, True)
    found = [(sign * value, excludes) for value, excludes in ((plain, False), (exclusive, True)) if isinstance(value, int | float) and not isinstance(value, bool)]  # fmt: skip
    return max(found) if found else None


def _strings(old: Mapping[str, Any], new: Mapping[str, Any], place: str, *, asserts_formats: bool) -> Iterator[str]:
    yield from _bounds(old, new, place, "minLength", "maxLength")
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place or 'the data'}: its pattern is another now"
    if "format" in new and asserts_formats and new["format"] != old.get("format"):
        yield f"{place or 'the data'}: its format is another now"


_STRICTER: Mapping[str, Callable[[Any, Any], Any]] = {
    "minimum": max, "maximum": min, "minLength": max, "maxLength": min, "minItems": max, "maxItems": min, "minProperties": max, "maxProperties": min,
}  # fmt: skip


def _folded(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return one schema that is at most as strict as both together. What cannot be joined is taken from the left."""
    done = dict(left)
    for key, value in right.items():
        if key not in done:
            done[key] = value
        elif key == "required":
            done[key] = sorted({*done[key], *value})
        elif key in ("properties", "patternProperties"):
            done[key] = {**done[key], **{name: {"allOf": [done[key][name], one]} if name in done[key] else one for name, one in value.items()}}  # fmt: skip
        elif key == "type":
            shared = _types(done) & _types(right)
            done[key] = sorted(shared - ({"integer"} if "number" in shared else set()))
        elif key in _STRICTER:
            done[key] = _STRICTER[key](done[key], value)
        elif key == "allOf":
            done[key] = [*done[key], *value]
    return done
