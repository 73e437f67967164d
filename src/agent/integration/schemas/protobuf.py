"""Protobuf: `.proto` files, data in Protobuf's JSON form, and which changes a reader survives."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import agent.integration.schemas.proto_changes as changes
from agent.errors import InvalidInput
from agent.integration.schemas.documents import MOST_PROBLEMS
from agent.integration.schemas.proto_messages import SCALARS, ProtoField, ProtoFile, read_proto

_MOST_DEPTH = 60
_BITS = {
    "int32": (-(2**31), 2**31), "sint32": (-(2**31), 2**31), "sfixed32": (-(2**31), 2**31), "uint32": (0, 2**32), "fixed32": (0, 2**32),
    "int64": (-(2**63), 2**63), "sint64": (-(2**63), 2**63), "sfixed64": (-(2**63), 2**63), "uint64": (0, 2**64), "fixed64": (0, 2**64),
}  # fmt: skip
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z")
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s\Z")
_INTEGER = re.compile(r"-?\d{1,20}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtobufSchema:
    """A `.proto` file, and the files that it imports by path. Data is of its first message."""

    text: str
    imports: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, definition: Any, imports: Mapping[str, Any] | None = None) -> ProtobufSchema:
        """Check the text of a `.proto` file. Raises `InvalidInput`."""
        named = sorted((imports or {}).items())
        if not all(isinstance(one, str) for one in (definition, *dict(named).values())):
            raise InvalidInput("A Protobuf schema is the text of a .proto file.")
        read = cls(text=definition, imports=tuple(named))
        _ = read.file
        return read

    @property
    def file(self) -> ProtoFile:
        """Return what the file defines."""
        return _read(self.text, self.imports)

    @property
    def normal(self) -> str:
        """Return its normal form: messages, fields by number, and enums, without comments, order and spaces."""
        file = self.file
        lines = [f"{file.syntax} {file.package} {file.first}"]
        for name, fields in sorted(file.messages.items()):
            lines += [f"message {name}", *(_line(one) for one in sorted(fields, key=lambda field: field.number))]
        for name, values in sorted(file.enums.items()):
            lines += [f"enum {name}", *(f"  {value} = {number}" for value, number in sorted(values.items()))]
        return "\n".join(lines)

    def problems(self, data: Any) -> list[str]:
        """Return what is wrong with data in Protobuf's JSON form."""
        if not self.file.first:
            return ["the data: the .proto file defines no message"]
        return list(islice(_message(self.file, self.file.first, data, "", 0), MOST_PROBLEMS))

    def unreadable(self, writer: ProtobufSchema) -> list[str]:
        """Return why a reader with this file cannot read messages that were written with another."""
        return list(islice(changes.breaking(writer.file, self.file), MOST_PROBLEMS))

    def completed(self, data: Any) -> Any:
        """Return data as it is: a field that is not there has its type's own default."""
        return data


@lru_cache(maxsize=256)
def _read(text: str, imports: tuple[tuple[str, str], ...]) -> ProtoFile:
    return read_proto(text, imports)


def _line(one: ProtoField) -> str:
    of = f"map<{one.key}, {one.type}>" if one.key else f"{one.label} {one.type}"
    return f"  {of} {one.name} = {one.number}{f' oneof {one.oneof}' if one.oneof else ''}"


def _message(file: ProtoFile, name: str, data: Any, place: str, depth: int) -> Iterator[str]:
    if depth > _MOST_DEPTH:
        yield f"{place or 'the data'}: it is nested more than {_MOST_DEPTH} levels deep"
        return
    if not isinstance(data, Mapping):
        yield f"{place or 'the data'}: a message is a JSON object"
        return
    fields = {key: one for one in file.messages[name] for key in (one.name, one.json_name)}
    chosen: dict[str, str] = {}
    for key, value in data.items():
        here = f"{place}.{key}" if place else str(key)
        field = fields.get(key)
        if field is None:
            yield f"{here}: the message {name} has no such field"
            continue
        if value is None and field.type not in ("google.protobuf.Value", "google.protobuf.NullValue"):
            continue
        if field.oneof is not None and chosen.setdefault(field.oneof, str(key)) != str(key):
            yield f"{here}: the oneof {field.oneof} has a value already"
        yield from _value(file, field, value, here, depth)
    given = {fields[key].number for key in data if key in fields and data[key] is not None}
    for field in file.messages[name]:
        if field.label == "required" and field.number not in given:
            yield f"{place}.{field.name}: it is required".lstrip(".")


def _value(file: ProtoFile, field: ProtoField, value: Any, place: str, depth: int) -> Iterator[str]:
    if field.key is not None:
        if not isinstance(value, Mapping):
            yield f"{place}: a map is a JSON object"
            return
        for key, one in value.items():
            if not _is_key(field.key, key):
                yield f"{place}.{key}: the key is no {field.key}"
            yield from _single(file, field.type, one, f"{place}.{key}", depth)
    elif field.label == "repeated":
        if not isinstance(value, list):
            yield f"{place}: a repeated field is a list"
            return
        for at, one in enumerate(value):
            yield from _single(file, field.type, one, f"{place}[{at}]", depth)
    else:
        yield from _single(file, field.type, value, place, depth)


def _single(file: ProtoFile, kind: str, value: Any, place: str, depth: int) -> Iterator[str]:
    if kind in file.messages:
        yield from _message(file, kind, value, place, depth + 1)
    elif kind in file.enums:
        known = file.enums[kind]
        if isinstance(value, bool) or not (value in known if isinstance(value, str) else isinstance(value, int)):
            yield f"{place}: {kind} has no such value"
    elif (kind in SCALARS and not _is_scalar(kind, value)) or (kind in _WELL_KNOWN and not _WELL_KNOWN[kind](value)):
        yield f"{place}: this is no {kind}"
    # A type of an imported file is not known here, so its value is not judged.


def _is_scalar(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "bytes":
        return _is_base64(value)
    if kind in ("double", "float"):
        return _is_number(value)
    return _is_integer(value, *_BITS[kind])


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    padded = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return value in ("NaN", "Infinity", "-Infinity") or math.isfinite(float(value))
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any, low: int, high: int) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return _INTEGER.match(value) is not None and low <= int(value) < high
    if isinstance(value, float):
        return value.is_integer() and low <= value < high
    return isinstance(value, int) and low <= value < high


def _is_key(kind: str, key: Any) -> bool:
    if kind == "string":
        return isinstance(key, str)
    return key in ("true", "false") if kind == "bool" else _is_integer(key, *_BITS[kind])


def _wraps(kind: str) -> Callable[[Any], bool]:
    return lambda value: _is_scalar(kind, value)


# Types of Google's that have a JSON form of their own, and how it is told.
_WELL_KNOWN: Mapping[str, Callable[[Any], bool]] = {
    "google.protobuf.Timestamp": lambda value: isinstance(value, str) and _TIMESTAMP.match(value) is not None,
    "google.protobuf.Duration": lambda value: isinstance(value, str) and _DURATION.match(value) is not None,
    "google.protobuf.FieldMask": lambda value: isinstance(value, str),
    "google.protobuf.Struct": lambda value: isinstance(value, Mapping),
    "google.protobuf.ListValue": lambda value: isinstance(value, list),
    "google.protobuf.Value": lambda _value: True,
    "google.protobuf.NullValue": lambda value: value in (None, "NULL_VALUE"),
    "google.protobuf.Any": lambda value: isinstance(value, Mapping) and isinstance(value.get("@type", ""), str),
    "google.protobuf.Empty": lambda value: value == {},
    "google.protobuf.DoubleValue": _wraps("double"), "google.protobuf.FloatValue": _wraps("float"),
    "google.protobuf.Int32Value": _wraps("int32"), "google.protobuf.Int64Value": _wraps("int64"),
    "google.protobuf.UInt32Value": _wraps("uint32"), "google.protobuf.UInt64Value": _wraps("uint64"),
    "google.protobuf.BoolValue": _wraps("bool"), "google.protobuf.StringValue": _wraps("string"), "google.protobuf.BytesValue": _wraps("bytes"),
}  # fmt: skip
