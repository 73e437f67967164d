"""A `.proto` file as values: its messages, their fields by number, its enums. Pure, but for the parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import InvalidInput

SCALARS = frozenset({
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
})  # fmt: skip
MOST_BYTES = 131_072
_MOST_NUMBER = 2**29 - 1
_KEYS = SCALARS - {"double", "float", "bytes"}
Label = Literal["one", "optional", "required", "repeated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtoField:
    """A field. `type` is a scalar, or the full name of a message or enum of the file, or the name of an imported one. A map has a `key` type."""

    name: str
    number: int
    type: str
    label: Label = "one"
    key: str | None = None
    oneof: str | None = None

    @property
    def json_name(self) -> str:
        """Return the field's name in JSON."""
        head, *rest = self.name.split("_")
        return head + "".join(part[:1].upper() + part[1:] for part in rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtoFile:
    """What a file defines, by full names. `first` is its first message, or empty if it only has enums, for other files."""

    syntax: str
    package: str
    messages: Mapping[str, tuple[ProtoField, ...]]
    enums: Mapping[str, Mapping[str, int]]
    first: str


def read_proto(text: str) -> ProtoFile:
    """Return what a `.proto` file defines. Raises `InvalidInput` for what protoc would refuse, too."""
    if len(text) > MOST_BYTES:
        raise InvalidInput(f"The .proto file has {len(text):,} characters; at most {MOST_BYTES:,} are taken: split it.")
    _check_nesting(text)
    parsed = _parsed(text)
    package = next((one.name for one in _of(parsed.file_elements, "Package")), "")
    found = _Found(messages={}, enums={})
    syntax = parsed.syntax or ("editions" if parsed.edition else "proto2")
    if syntax not in ("proto2", "proto3", "editions"):
        raise InvalidInput(f"The syntax {syntax[:50]!r} is not known: use proto2, proto3 or an edition.")
    _collect(parsed.file_elements, package, found)
    if not found.messages and not found.enums:
        raise InvalidInput("The .proto file defines no message and no enum: add one.")
    first = next(iter(found.messages), "")
    known = {**found.messages, **found.enums}
    messages = {name: tuple(_fields(name, elements, known)) for name, elements in found.messages.items()}
    return ProtoFile(syntax=syntax, package=package, messages=messages, enums=found.enums, first=first)


@dataclass(slots=True, kw_only=True)
class _Found:
    messages: dict[str, Any]
    enums: dict[str, dict[str, int]]

    def add(self, kind: str, name: str, value: Any) -> None:
        if name in self.messages or name in self.enums:
            raise InvalidInput(f"{name[:200]!r} is defined twice: give one another name.")
        (self.messages if kind == "message" else self.enums)[name] = value


def _check_nesting(text: str) -> None:
    depth = deepest = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        deepest = max(deepest, depth)
    if deepest > 32:
        raise InvalidInput("The .proto file is nested more than 32 levels deep: send a flatter one.")


def _parsed(text: str) -> Any:
    from antlr4.error.ErrorListener import ErrorListener  # start-up: slow to import
    from proto_schema_parser.parser import Parser  # start-up: slow to import

    class Refuses(ErrorListener):  # type: ignore[misc]  # the parser is untyped; by itself it prints what is wrong, and guesses on
        def syntaxError(self, _parser: Any, _symbol: Any, line: int, column: int, message: str, _error: Any) -> None:  # noqa: N802  # antlr's name
            raise InvalidInput(f"The definition is no .proto file: line {line}, column {column}: {message[:200]}.")

    def strictly(part: Any) -> None:
        part.removeErrorListeners()
        part.addErrorListener(Refuses())

    try:
        return Parser(setup_lexer=strictly, setup_parser=strictly).parse(text)
    except InvalidInput:
        raise
    except Exception as error:  # the parser raises what it likes for what is no .proto file
        raise InvalidInput(f"The definition is no .proto file: {str(error).partition(chr(10))[0][:200]}") from None


def _of(elements: Any, kind: str) -> Iterator[Any]:
    return (one for one in elements if type(one).__name__ == kind)


def _collect(elements: Any, scope: str, found: _Found) -> None:
    for one in elements:
        kind = type(one).__name__
        if kind in ("Message", "Group"):
            name = _inside(scope, one.name)
            found.add("message", name, one.elements)
            _collect(one.elements, name, found)
        elif kind == "Enum":
            found.add("enum", _inside(scope, one.name), {value.name: int(str(value.number), 0) for value in _of(one.elements, "EnumValue")})  # fmt: skip
        elif kind == "OneOf":
            _collect(_of(one.elements, "Group"), scope, found)


def _fields(message: str, elements: Any, known: Mapping[str, Any]) -> Iterator[ProtoField]:
    numbers: set[int] = set()
    names: set[str] = set()
    for field in _raw_fields(elements, None):
        if not 1 <= field.number <= _MOST_NUMBER or 19_000 <= field.number <= 19_999:
            raise InvalidInput(f"{message}.{field.name} has the number {field.number}, which Protobuf does not allow.")
        if field.number in numbers or field.name in names:
            raise InvalidInput(f"{message} uses the number {field.number} or the name {field.name!r} twice.")
        if field.key is not None and field.key not in _KEYS:
            raise InvalidInput(f"{message}.{field.name} is a map from {field.key!r}: a key is an integer, bool or string.")  # fmt: skip
        numbers.add(field.number)
        names.add(field.name)
        type_name = _resolved(field.type, message, known)
        yield ProtoField(
            name=field.name, number=field.number, type=type_name, label=field.label, key=field.key, oneof=field.oneof
        )


def _raw_fields(elements: Any, oneof: str | None) -> Iterator[ProtoField]:
    for one in elements:
        kind = type(one).__name__
        if kind == "Field":
            yield ProtoField(
                name=one.name, number=int(one.number), type=one.type, label=_label(one.cardinality), oneof=oneof
            )
        elif kind == "MapField":
            yield ProtoField(
                name=one.name, number=int(one.number), type=one.value_type, label="repeated", key=one.key_type
            )
        elif kind == "Group":
            yield ProtoField(
                name=one.name.lower(), number=int(one.number), type=one.name, label=_label(one.cardinality), oneof=oneof
            )
        elif kind == "OneOf":
            yield from _raw_fields(one.elements, one.name)


def _label(cardinality: Any) -> Label:
    labels: Mapping[str, Label] = {"REQUIRED": "required", "REPEATED": "repeated", "OPTIONAL": "optional"}
    return labels.get(getattr(cardinality, "name", ""), "one")


def _inside(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _resolved(name: str, scope: str, known: Mapping[str, Any]) -> str:
    """Return the full name that a type has, looked for from the innermost scope outwards, as Protobuf does."""
    if name in SCALARS:
        return name
    if name.startswith("."):
        return name[1:]
    parts = scope.split(".")
    for count in range(len(parts), -1, -1):
        candidate = ".".join([*parts[:count], name])
        if candidate in known:
            return candidate
    return name
