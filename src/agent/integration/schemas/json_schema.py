"""JSON Schema: drafts 4 to 2020-12. Nothing is fetched: a `$ref` points into the schema, or to one that was given with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import agent.integration.schemas.containment as containment
from agent.errors import InvalidInput
from agent.integration.schemas.documents import MOST_PROBLEMS, TooMuchWork, json_of, read_json
from agent.integration.schemas.json_costs import check_work
from agent.integration.schemas.json_references import HERE, located

# A pattern that looks back is matched step by step; more steps than these end it.
_MOST_STEPS = 50_000
_MOST_PATTERN_BYTES = 1_048_576
_MOST_DEPTH = 40
_LONGEST_QUOTED = 2_000
_DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(?:19-09|20-12))/schema")
# In which a schema is read that does not name its dialect and is none of draft 2020-12.
_OLDER = ("http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-04/schema#")
_DIALECTS = frozenset({
    "http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """A JSON schema, as its JSON text with sorted keys; `resources` are other schemas by their URI, as text."""

    text: str
    resources: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, definition: Any, resources: Mapping[str, Any] | None = None) -> JsonSchema:
        """Check a schema, given as JSON or its text. Raises `InvalidInput` with what is wrong with it."""
        import jsonschema_rs

        given = _in_its_dialect(_parsed(definition))
        named = tuple((uri, json_of(_in_its_dialect(_parsed(one)))) for uri, one in sorted((resources or {}).items()))
        read = cls(text=json_of(given), resources=named)
        for one in (given, *(json.loads(text) for _, text in named)):
            _check_dialect(one, dict(named))
        try:
            jsonschema_rs.meta.validate(given, registry=_registry(named))
            _ = read.validator
        except (ValueError, jsonschema_rs.ReferencingError) as error:  # type: ignore[misc]  # its stub forgets what it derives from
            raise InvalidInput(f"The definition is no JSON schema that can be used: {_first_line(error)}") from None
        return read

    @classmethod
    def known(cls, definition: Mapping[str, Any]) -> JsonSchema:
        """Return a schema that was checked before it was stored."""
        return cls(text=json_of(definition))

    @property
    def normal(self) -> str:
        """Return its normal form: the JSON with sorted keys, and what it refers to."""
        return self.text if not self.resources else json.dumps([self.text, self.resources])

    @property
    def schema(self) -> Any:
        """Return the schema as JSON."""
        return json.loads(self.text)

    @property
    def validator(self) -> Any:
        """Return the compiled validator."""
        return _validator(self.text, self.resources)

    def problems(self, data: Any) -> list[str]:
        """Return what is wrong with data."""
        try:
            told = check_work(_side(self).document, data)
        except TooMuchWork:
            return [
                "the data: its schema looks at it in too many ways to be judged; send less, or simplify the schema's alternatives"
            ]
        if not told:
            fits = self.validator.is_valid(data)
            return [] if fits else ["the data: it does not fit, and there is too much of it to say where"]
        # An error quotes the value that it speaks of, and those inside it again: a large one is not quoted.
        validator = (
            self.validator
            if len(json_of(data)) < _LONGEST_QUOTED
            else _validator(self.text, self.resources, "the value")
        )
        errors = islice(validator.iter_errors(data), MOST_PROBLEMS)
        return list(dict.fromkeys(text for error in errors for text in _told(error, "")))[:MOST_PROBLEMS]

    def unreadable(self, writer: JsonSchema) -> list[str]:
        """Return what the writer's schema allows and this one does not."""
        return containment.not_accepted(_side(writer), _side(self))

    def completed(self, data: Any) -> Any:
        """Return data with the defaults of the properties that it lacks, at every level."""
        return _completed(self.schema, data, 0)


class _Side:
    """A schema as a side of a comparison."""

    def __init__(self, schema: JsonSchema) -> None:
        self.document = located(schema.schema, [(uri, json.loads(text)) for uri, text in schema.resources])
        self.root, self.find = self.document.root, self.document.find
        self._dialect = schema.schema.get("$schema") if isinstance(schema.schema, Mapping) else None
        self._resources = ((HERE, json_of(self.document.root)), *schema.resources)

    @property
    def asserts_formats(self) -> bool:
        """Return whether a format is a rule: since draft 2019-09 it is a note."""
        return "/draft-0" in str(self._dialect)

    def accepts(self, schema: Any, value: Any) -> bool:
        """Return whether a part of this schema accepts a value."""
        part = {"$schema": self._dialect, **schema} if self._dialect and isinstance(schema, Mapping) else schema
        try:
            check_work(self.document, value, schema)
            return bool(_validator(json_of(part), self._resources if _refers(schema) else ()).is_valid(value))
        except Exception:  # a part that means nothing without the whole accepts nothing
            return False

    def weight(self, schema: Any) -> int:
        """Return how many steps it takes to make a part ready for that: one that refers to others is read with all of them."""
        return sum(len(text) for _, text in self._resources) // 500 if _refers(schema) else 0


@lru_cache(maxsize=64)
def _side(schema: JsonSchema) -> _Side:
    return _Side(schema)


def _refers(schema: Any) -> bool:
    text = json_of(schema)
    return '"$ref"' in text or '"$dynamicRef"' in text


def _told(error: Any, why: str) -> Iterator[str]:
    """Yield what is wrong; where no alternative fits, what is wrong by the nearest one."""
    alternatives = [one for one in getattr(error.kind, "context", ()) if one]
    if alternatives:
        here = error.instance_path

        def distance(errors: list[Any]) -> tuple[bool, int]:
            return any(one.instance_path == here and one.kind.name == "type" for one in errors), len(errors)

        for one in min(alternatives, key=distance):
            yield from _told(one, " (by the nearest of several alternatives)")
    else:
        yield f"{'.'.join(map(str, error.instance_path)) or 'the data'}: {error.message[:200]}{why}"


def _parsed(definition: Any) -> Any:
    if isinstance(definition, str):
        definition = read_json(definition)
    if not isinstance(definition, dict | bool):
        raise InvalidInput("A JSON schema is an object, or true or false.")
    json_of(definition)
    return definition


def _check_dialect(schema: Any, resources: Mapping[str, str]) -> None:
    """Raise `InvalidInput` for a schema in a dialect that would have to be fetched."""
    named = schema.get("$schema", "") if isinstance(schema, dict) else ""
    if not isinstance(named, str) or (named and named.rstrip("#") not in _DIALECTS and named not in resources):
        raise InvalidInput(f"The dialect {str(named)[:200]!r} ($schema) is not known: use draft 4 to 2020-12, or give its schema as a reference.")  # fmt: skip


def _in_its_dialect(schema: Any) -> Any:
    """Return a schema with its dialect as the validator writes it.

    One that names none is read as draft 2020-12, or as an older one if only there it is a schema: `items` was a list before.
    """
    import jsonschema_rs

    if not isinstance(schema, dict) or not isinstance(schema.get("$schema", ""), str):
        return schema
    named = schema.get("$schema", "").rstrip("#")
    found = _DIALECT.fullmatch(named)
    if found:
        address = f"{'http' if found[1].startswith('draft-') else 'https'}://json-schema.org/{found[1]}/schema"
        return schema if address == named else {**schema, "$schema": address}
    if named and not named.endswith("://json-schema.org/schema"):
        return schema
    bare = {key: value for key, value in schema.items() if key != "$schema"}
    older = ({"$schema": dialect, **bare} for dialect in _OLDER)
    return next((one for one in (bare, *older) if jsonschema_rs.meta.is_valid(one)), bare)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]


@lru_cache(maxsize=512)
def _validator(text: str, resources: tuple[tuple[str, str], ...], mask: str | None = None) -> Any:
    import jsonschema_rs

    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_MOST_STEPS, size_limit=_MOST_PATTERN_BYTES)
    return jsonschema_rs.validator_for(
        json.loads(text), registry=_registry(resources), retriever=_no_fetching, pattern_options=options, mask=mask
    )


def _registry(resources: tuple[tuple[str, str], ...]) -> Any:
    """Return what references may lead to. It is there also without resources: without one, an unknown address would be fetched."""
    import jsonschema_rs

    return jsonschema_rs.Registry([(uri, json.loads(one)) for uri, one in resources], retriever=_no_fetching)


def _no_fetching(uri: str) -> Any:
    raise ValueError(f"{uri!r} is not fetched: give the schema that it names as a reference")


def _completed(schema: Any, data: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MOST_DEPTH:
        return data
    if isinstance(data, list) and isinstance(schema.get("items"), dict):
        return [_completed(schema["items"], one, depth + 1) for one in data]
    properties = schema.get("properties")
    if not isinstance(data, dict) or not isinstance(properties, dict):
        return data
    done = {name: _completed(properties.get(name), value, depth + 1) for name, value in data.items()}
    for name, one in properties.items():
        if name not in done and isinstance(one, dict) and "default" in one:
            done[name] = one["default"]
    return done
