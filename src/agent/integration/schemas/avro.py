"""Avro: schemas as fastavro reads them, and whether a reader's schema can read what a writer's wrote (Avro's schema resolution)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from agent.errors import InvalidInput
from agent.integration.schemas.documents import MOST_PROBLEMS, TooMuchWork, json_of, read_json

# What a reader of the type on the right can take.
_PROMOTED: Mapping[str, frozenset[str]] = {
    "long": frozenset({"int"}), "float": frozenset({"int", "long"}), "double": frozenset({"int", "long", "float"}),
    "string": frozenset({"bytes"}), "bytes": frozenset({"string"}),
}  # fmt: skip
_MOST_STEPS, _MOST_LOOKS = 100_000, 5_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMED = frozenset({"record", "enum", "fixed", "error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AvroSchema:
    """An Avro schema, as the JSON text of fastavro's parsed form."""

    text: str

    @classmethod
    def read(cls, definition: Any, references: Mapping[str, Any] | None = None) -> AvroSchema:
        """Check a schema, given as JSON or its text; `references` are schemas of named types that it uses. Raises `InvalidInput`."""
        import fastavro.schema as avro_schema  # start-up: only schemas of Avro need it

        given, known = _parsed(definition), dict[str, Any]()
        others = [_parsed(one) for one in (references or {}).values()]
        try:
            for other in others:
                _names(avro_schema.parse_schema(other, known, _write_hint=False), known)
            parsed = _inlined(avro_schema.parse_schema(given, dict(known), _write_hint=False), known, set())
            _check(parsed)
        except (avro_schema.SchemaParseException, avro_schema.UnknownType, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:  # fmt: skip
            raise InvalidInput(f"The definition is no Avro schema: {type(error).__name__} {str(error)[:200]}") from None
        return cls(text=json.dumps(_without_hints(parsed)))

    @property
    def schema(self) -> Any:
        """Return the schema as JSON."""
        return json.loads(self.text)

    @property
    def normal(self) -> str:
        """Return its normal form: its own JSON without documentation, with defaults and aliases, which Avro's canonical form leaves out."""
        return json.dumps(_without_words(self.schema), sort_keys=True, separators=(",", ":"))

    def problems(self, data: Any) -> list[str]:
        """Return what is wrong with data, in the JSON that fastavro writes."""
        from fastavro.validation import ValidationError, validate  # start-up: only schemas of Avro need it

        try:
            _check_work(self.schema, data)
            validate(data, self.schema, strict=True)
        except ValidationError as error:
            return [f"{one.field or 'the data'}: {json.dumps(one.datum, default=str)[:80]} is no {_kind(one.schema)}" for one in error.errors[:MOST_PROBLEMS]]  # fmt: skip
        except TooMuchWork:
            return [
                "the data: it fits so many alternatives of its schema that it cannot be judged; send less, or simplify the schema"
            ]
        except (RecursionError, TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            return [f"the data: {type(error).__name__} {str(error)[:200]}"]
        return []

    def unreadable(self, writer: AvroSchema) -> list[str]:
        """Return why this schema cannot read what `writer` wrote."""
        comparison = _Resolution(reader=_names(self.schema), writer=_names(writer.schema))
        try:
            return list(islice(comparison.compare(self.schema, writer.schema, ""), MOST_PROBLEMS))
        except (RecursionError, TooMuchWork):
            return [
                "the data: the schemas are too large or too deep to be compared; register the change under another name"
            ]

    def completed(self, data: Any) -> Any:
        """Return data with the defaults of the fields that it lacks."""
        from fastavro import schemaless_reader, schemaless_writer  # start-up: only schemas of Avro need it

        buffer = io.BytesIO()
        try:
            _check_work(self.schema, data)
            schemaless_writer(buffer, self.schema, data)
            buffer.seek(0)
            return schemaless_reader(buffer, self.schema, None)
        except Exception:  # data that does not fit is left as it is; `problems` says what is wrong with it
            return data


def _parsed(definition: Any) -> Any:
    given = read_json(definition) if isinstance(definition, str) and not definition.isidentifier() else definition
    json_of(given)
    if not isinstance(given, dict | list | str):
        raise InvalidInput("An Avro schema is an object, a list of alternatives, or the name of a type.")
    return given


def _check(schema: Any) -> None:
    """Raise `ValueError` for what Avro forbids and the parser takes: in unions, names, fields and sizes."""
    inner: list[Any] = []
    if isinstance(schema, list):
        kinds = [one if isinstance(one, str) else "union" if isinstance(one, list) else one.get("name", one["type"]) for one in schema]  # fmt: skip
        if "union" in kinds or len(kinds) != len(set(map(str, kinds))):
            raise ValueError("a union holds another union, or a type twice")
        inner = schema
    elif isinstance(schema, dict):
        fields = schema.get("fields", ())
        names = [field["name"] for field in fields]
        parts = [*names, *schema.get("symbols", ()), *str(schema.get("name", "A")).split(".")]
        wrong = next((one for one in parts if not _NAME.fullmatch(one)), None)
        if wrong is not None or len(names) != len(set(names)):
            raise ValueError("a record has a field twice" if wrong is None else f"{wrong[:50]!r} is no name")
        if schema.get("type") == "fixed" and not 0 < schema["size"] < 2**31:
            raise ValueError("the size of fixed is a positive number of bytes")
        inner = [field["type"] for field in fields]
        inner += [schema.get(word) for word in ("type", "items", "values")]
    for one in inner:
        _check(one)


def _inlined(schema: Any, known: Mapping[str, Any], used: set[str]) -> Any:
    """Return a parsed schema in which a type that a reference brings stands where it is named first."""
    if isinstance(schema, list):
        return [_inlined(one, known, used) for one in schema]
    if isinstance(schema, str):
        if schema not in known or schema in used:
            return schema
        used.add(schema)
        return _inlined(known[schema], known, used)
    done = dict(schema)
    if "fields" in done:
        done["fields"] = [{**field, "type": _inlined(field["type"], known, used)} for field in done["fields"]]
    for word in ("type", "items", "values"):
        if word in done and not (word == "type" and done["type"] in _NAMED | {"array", "map"}):
            done[word] = _inlined(done[word], known, used)
    return done


def _without_hints(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_hints(value) for key, value in schema.items() if not key.startswith("__")}
    return [_without_hints(one) for one in schema] if isinstance(schema, list) else schema


def _without_words(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: value if key == "default" else _without_words(value) for key, value in schema.items() if key != "doc"}  # fmt: skip
    return [_without_words(one) for one in schema] if isinstance(schema, list) else schema


def _names(schema: Any, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the named types of a parsed schema by their full names."""
    found = {} if found is None else found
    if isinstance(schema, list):
        for one in schema:
            _names(one, found)
    elif isinstance(schema, dict):
        if schema.get("type") in _NAMED:
            found[schema["name"]] = schema
        for field in schema.get("fields", ()):
            _names(field["type"], found)
        for word in ("items", "values", "type"):
            if isinstance(schema.get(word), dict | list):
                _names(schema[word], found)
    return found


def _check_work(schema: Any, data: Any) -> None:
    """Raise `TooMuchWork` if a value is looked at in too many ways: each alternative of a union is tried with all that the value holds."""
    names, known = _names(schema), dict[tuple[int, int], int]()

    def looks(part: Any, value: Any) -> int:
        part = _known(part, names)
        key = (id(part), id(value))
        if key in known:
            return known[key]
        inner: list[tuple[Any, Any]] = []
        if isinstance(part, list):
            inner = [(branch, value) for branch in part]
        elif isinstance(part, dict) and isinstance(value, dict):
            fields = [(one["type"], value[one["name"]]) for one in part.get("fields", ()) if one["name"] in value]
            inner = fields + [(part["values"], one) for one in value.values() if "values" in part]
        elif isinstance(part, dict) and isinstance(value, list) and "items" in part:
            inner = [(part["items"], one) for one in value]
        total = 1 + sum(looks(branch, one) for branch, one in inner)
        if total > _MOST_LOOKS + 10 * len(known):
            raise TooMuchWork
        known[key] = total
        return total

    looks(schema, data)


def _simple(name: str) -> str:
    return name.rpartition(".")[2]


@dataclass(slots=True, kw_only=True)
class _Resolution:
    reader: Mapping[str, Any]
    writer: Mapping[str, Any]
    steps: int = 0
    _passed: set[tuple[str, str]] = field(default_factory=set)  # also those that are being compared further out
    _failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def compare(self, reader: Any, writer: Any, place: str) -> Iterator[str]:
        """Yield why the reader cannot read what the writer wrote at a place."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise TooMuchWork
        reader, writer = _known(reader, self.reader), _known(writer, self.writer)
        if isinstance(writer, list):
            for branch in writer:
                yield from self.compare(reader, branch, place)
            return
        if isinstance(reader, list):
            if not any(next(self.compare(branch, writer, place), None) is None for branch in reader):
                yield f"{place or 'the data'}: no alternative reads {_kind(writer)}"
            return
        yield from self._single(reader, writer, place)

    def _single(self, reader: Any, writer: Any, place: str) -> Iterator[str]:
        """Compare two types that are no alternatives."""
        wants, has = _kind(reader), _kind(writer)
        if wants != has and has not in _PROMOTED.get(wants, ()):
            yield f"{place or 'the data'}: {has} was written, {wants} is expected"
        elif wants in ("record", "error"):
            yield from self._record(reader, writer, place)
        elif wants == "enum" and wants == has:
            yield from _enum(reader, writer, place)
        elif wants == "fixed" and wants == has:
            if not _is_named(reader, writer) or reader["size"] != writer["size"]:
                yield f"{place or 'the data'}: fixed has another name or size"
        elif wants in ("array", "map"):
            word = "items" if wants == "array" else "values"
            yield from self.compare(reader[word], writer[word], f"{place}[]")

    def _record(self, reader: Any, writer: Any, place: str) -> Iterator[str]:
        """Compare two records, once: what a pair gave is remembered, and what passed while a pair was open is forgotten when that one fails."""
        pair = (reader["name"], writer["name"])
        if pair in self._failed:
            yield self._failed[pair]
        elif pair not in self._passed:
            self._passed.add(pair)
            for reason in self._fields(reader, writer, place):
                if pair not in self._failed:
                    self._failed[pair] = reason
                    self._passed.clear()
                yield reason

    def _fields(self, reader: Any, writer: Any, place: str) -> Iterator[str]:
        if not _is_named(reader, writer):
            yield f"{place or 'the data'}: record {_simple(writer['name'])} was written, {_simple(reader['name'])} is expected"
            return
        written = {one["name"]: one for one in writer["fields"]}
        for one in reader["fields"]:
            names = [one["name"], *one.get("aliases", ())]
            found = next((written[name] for name in names if name in written), None)
            here = f"{place}.{one['name']}" if place else one["name"]
            if found is not None:
                yield from self.compare(one["type"], found["type"], here)
            elif "default" not in one:
                yield f"{here}: it was not written, and has no default"


def _enum(reader: Any, writer: Any, place: str) -> Iterator[str]:
    if not _is_named(reader, writer):
        yield f"{place or 'the data'}: enum has another name"
    gone = [one for one in writer["symbols"] if one not in reader["symbols"]]
    if gone and "default" not in reader:
        yield f"{place or 'the data'}: the symbol {gone[0]} is not known, and there is no default"


def _known(schema: Any, names: Mapping[str, Any]) -> Any:
    """Return what a name stands for; a type in its own object is that type."""
    if isinstance(schema, str):
        return names.get(schema, schema)
    if isinstance(schema, dict) and isinstance(schema.get("type"), dict | list):
        return _known(schema["type"], names)
    if isinstance(schema, dict) and schema.get("type") in names:
        return names[schema["type"]]
    return schema


def _kind(schema: Any) -> str:
    return str(schema if isinstance(schema, str) else schema["type"])


def _is_named(reader: Any, writer: Any) -> bool:
    """Return whether both types have the same name without its namespace, or the reader knows the writer's as an alias."""
    aliases = {alias for one in reader.get("aliases", ()) for alias in (one, _simple(one))}
    return _simple(reader["name"]) == _simple(writer["name"]) or writer["name"] in aliases or _simple(writer["name"]) in aliases  # fmt: skip
