"""Rules over single keywords of JSON Schema, which `containment` puts together. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

# A pattern of property names is a stranger's: these bound what it can cost.
_LONGEST_NAME, _MOST_STEPS = 200, 5_000
_REFERENCE = re.compile(r'"\$(?:dynamicRef|ref)": ?("(?:[^"\\]|\\.)*")')
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# What says nothing about which values are valid.
_ANNOTATIONS = frozenset({
    "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example",
    "deprecated", "readOnly", "writeOnly", "contentSchema", "$vocabulary", "discriminator",
})  # fmt: skip
# Keywords that have rules. Others must be the same in both schemas.
KNOWN = frozenset({
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType",
    "items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "properties",
    "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties", "propertyNames", "dependentRequired", "dependentSchemas",
    "dependencies", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
})  # fmt: skip
# Beside these, "unevaluated" depends on the value.
_DECIDING = frozenset({"allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "dependentSchemas", "dependencies"})


def as_object(schema: Any) -> dict[str, Any]:
    """Return a schema as an object, also where it is true or false."""
    if schema is False:
        return {"not": {}}
    return dict(schema) if isinstance(schema, Mapping) else {}


def is_nothing(schema: Any) -> bool:
    """Return whether no value is valid."""
    return schema is False or (isinstance(schema, Mapping) and schema.get("not") in ({}, True))


def is_anything(schema: Any) -> bool:
    """Return whether every value is valid."""
    return schema is True or (isinstance(schema, Mapping) and not meaning(schema))


def meaning(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without its annotations."""
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}


def references_in(text: str) -> list[str]:
    """Return the references in the JSON text of a schema."""
    return [json.loads(found) for found in _REFERENCE.findall(text)]


def types(schema: Mapping[str, Any]) -> set[str]:
    """Return the types that a schema's own `type` allows."""
    given = schema.get("type")
    named = {given} if isinstance(given, str) else set(given) if isinstance(given, list) else set(_TYPES)
    return named | {"integer"} if "number" in named else named


def at(place: str, name: str) -> str:
    """Return the place of a property."""
    return f"{place}.{name}" if place else name


def property_of(schema: Mapping[str, Any], name: str) -> Any:
    """Return the schema of one property: by its name, the patterns that fit, or that of all others."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    found += [one for pattern, one in schema.get("patternProperties", {}).items() if fits(pattern, name)]
    if not found:
        return schema.get("additionalProperties", True)
    return found[0] if len(found) == 1 else {"allOf": found}


def fits(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern, in bounded time."""
    return len(name) <= _LONGEST_NAME and bool(_matcher(pattern).is_valid(name))


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> Any:
    import jsonschema_rs  # start-up: only schemas need it

    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_MOST_STEPS)
    return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options)


def settled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in the words of draft 2020-12, with "unevaluated" as "additional" where nothing decides by the value what is evaluated."""
    done = dict(schema)
    if isinstance(done.get("items"), list):
        done |= {"prefixItems": done["items"], "items": done.get("additionalItems", True)}
        if "additionalItems" not in schema:
            del done["items"]
    if not _DECIDING & done.keys():
        if "unevaluatedProperties" in done:
            done.setdefault("additionalProperties", done.pop("unevaluatedProperties"))
        if "unevaluatedItems" in done and "contains" not in done:
            done.setdefault("items", done.pop("unevaluatedItems"))
    return done


def dependencies(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what other properties a property demands, in any draft's words."""
    return {**schema.get("dependencies", {}), **schema.get("dependentRequired", {}), **schema.get("dependentSchemas", {})}  # fmt: skip


def bounds(old: Mapping[str, Any], new: Mapping[str, Any], place: str, low: str, high: str) -> Iterator[str]:
    """Yield which of two bounds is stricter in the new schema."""
    if new.get(low, 0) > old.get(low, 0):
        yield f"{place or 'the data'}: {low} is larger now"
    if high in new and (high not in old or new[high] < old[high]):
        yield f"{place or 'the data'}: {high} is smaller now"


def numbers(old: Mapping[str, Any], new: Mapping[str, Any], place: str, *, only_integers: bool) -> Iterator[str]:
    """Yield what is stricter for numbers."""
    for word, sign in (("inimum", 1), ("aximum", -1)):
        before, now = _limit(old, word, sign), _limit(new, word, sign)
        if now is not None and (before is None or before < now):
            yield f"{place or 'the data'}: its m{word} is stricter now"
    if "multipleOf" in new:
        had = old.get("multipleOf", 1 if only_integers else None)
        if had is None or not _is_multiple(had, new["multipleOf"]):
            yield f"{place or 'the data'}: multipleOf is stricter now"


def _is_multiple(number: float, of: float) -> bool:
    try:
        return not (number / of) % 1
    except OverflowError:
        return number == of


def _limit(schema: Mapping[str, Any], word: str, sign: int) -> tuple[float, bool] | None:
    """Return a bound and whether it excludes its own value, so that a stricter one compares as greater."""
    plain, exclusive = schema.get(f"m{word}"), schema.get(f"exclusiveM{word}")
    if exclusive is True:  # draft 4
        return None if plain is None else (sign * plain, True)
    found = [(sign * value, excludes) for value, excludes in ((plain, False), (exclusive, True)) if isinstance(value, int | float) and not isinstance(value, bool)]  # fmt: skip
    return max(found) if found else None


def strings(old: Mapping[str, Any], new: Mapping[str, Any], place: str, *, asserts_formats: bool) -> Iterator[str]:
    """Yield what is stricter for strings."""
    yield from bounds(old, new, place, "minLength", "maxLength")
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place or 'the data'}: its pattern is another now"
    for word in ("format", "contentEncoding", "contentMediaType") if asserts_formats else ():
        if word in new and new[word] != old.get(word):
            yield f"{place or 'the data'}: its {word} is another now"


_STRICTER: Mapping[str, Callable[[Any, Any], Any]] = {
    "minimum": max, "maximum": min, "minLength": max, "maxLength": min, "minItems": max, "maxItems": min, "minProperties": max, "maxProperties": min,
}  # fmt: skip


def folded(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
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
            shared = types(done) & types(right)
            done[key] = sorted(shared - ({"integer"} if "number" in shared else set()))
        elif key in _STRICTER:
            done[key] = _STRICTER[key](done[key], value)
        elif key == "allOf":
            done[key] = [*done[key], *value]
    return done
