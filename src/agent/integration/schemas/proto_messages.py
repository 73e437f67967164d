"""A `.proto` file and those that it imports, as values: messages, their fields by number, enums. Pure, but for the parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from agent.errors import InvalidInput

SCALARS = frozenset({
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
})  # fmt: skip
# Without its comments: so much takes the parser about a second.
MOST_BYTES, _MOST_TOKENS = 65_536, 16_000
# What protoc brings: it may be imported without being given. Its types are known by name.
_BROUGHT = ("google/", "confluent/")
_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_TOKEN = re.compile(r"[\w.]+|[^\s\w]")
_MOST_NUMBER = 2**29 - 1
_DEPTHS = {"{": 1, "}": -1, "[": 1, "]": -1, "(": 1, ")": -1, "<": 1, ">": -1}
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
    """What a file defines and imports, by full names. `first` is its first message, or empty if it only has enums, for other files.

    `packages` are those of all names. `own` are the names that the file itself defines.
    """

    syntax: str
    package: str
    messages: Mapping[str, tuple[ProtoField, ...]]
    enums: Mapping[str, Mapping[str, int]]
    packages: Mapping[str, str]
    own: frozenset[str]
    first: str

    def local(self, name: str) -> str:
        """Return a name without its package."""
        package = self.packages.get(name, "")
        return name.removeprefix(f"{package}.") if package else name


def read_proto(text: str, imports: Sequence[tuple[str, str]] = ()) -> ProtoFile:
    """Return what a `.proto` file defines, with the files that it imports, by path. Raises `InvalidInput` for what protoc would refuse, too."""
    found, others = _Found(messages={}, enums={}, packages={}), dict(imports)
    main = _parsed(text)
    parsed = [main, *(_parsed(others[path]) for path in _imported(main, others))]
    package, first, own = "", "", frozenset[str]()
    for file in parsed:
        package_of = next((one.name for one in _of(file.file_elements, "Package")), "")
        found.package = package_of
        _collect(file.file_elements, package_of, found)
        if file is main:
            package, first, own = package_of, next(iter(found.messages), ""), frozenset(found.packages)
    if not own and not any(_of(main.file_elements, "Extension")):
        raise InvalidInput("The .proto file defines no message, enum or extension: add one.")
    syntax = main.syntax or ("editions" if main.edition else "proto2")
    if syntax not in ("proto2", "proto3", "editions"):
        raise InvalidInput(f"The syntax {syntax[:50]!r} is not known: use proto2, proto3 or an edition.")
    messages = {name: tuple(_fields(name, elements, found.packages)) for name, elements in found.messages.items()}
    _check_types(messages, found, [path for file in parsed for path in _paths(file)])
    return ProtoFile(
        syntax=syntax, package=package, messages=messages, enums=found.enums, packages=found.packages, own=own, first=first
    )  # fmt: skip


def _paths(file: Any) -> list[str]:
    return [one.name for one in _of(file.file_elements, "Import")]


def _imported(main: Any, others: Mapping[str, str]) -> list[str]:
    """Return the paths of all files that a file imports, also by way of others. Raises `InvalidInput` for one that was not given."""
    found: list[str] = []
    waiting = _paths(main)
    while waiting:
        path = waiting.pop()
        if path in found or (path not in others and path.startswith(_BROUGHT)):
            continue
        if path not in others:
            raise InvalidInput(
                f"The import {path[:200]!r} is not known: register that file, and name it in `references`."
            )
        found.append(path)
        waiting += _paths(_parsed(others[path]))
    return found


def _check_types(messages: Mapping[str, tuple[ProtoField, ...]], found: _Found, paths: Sequence[str]) -> None:
    """Raise `InvalidInput` for a field of a type that is nowhere defined."""
    brought = tuple({path.partition("/")[0] + "." for path in paths if path.startswith(_BROUGHT)})
    for name, fields in messages.items():
        for one in fields:
            known = one.type in SCALARS or one.type in found.packages
            if not known and not (brought and (one.type.startswith(brought) or name.startswith(brought))):
                raise InvalidInput(f"{name}.{one.name} is of the type {one.type[:200]!r}, which is not defined: define or import it.")  # fmt: skip


@dataclass(slots=True, kw_only=True)
class _Found:
    messages: dict[str, Any]
    enums: dict[str, dict[str, int]]
    packages: dict[str, str]
    package: str = ""

    def add(self, kind: str, name: str, value: Any) -> None:
        if name in self.packages:
            raise InvalidInput(f"{name[:200]!r} is defined twice: give one another name.")
        self.packages[name] = self.package
        (self.messages if kind == "message" else self.enums)[name] = value


def _bare(text: str) -> str:
    """Return a file without its comments. Raises `InvalidInput` for one that is too large or nested too deeply to be parsed."""

    def space(found: re.Match[str]) -> str:
        part = found[0]
        if part.startswith("/*") and (len(part) < 4 or not part.endswith("*/")):
            raise InvalidInput("The definition is no .proto file: a comment does not end.")
        return " " + "\n" * part.count("\n") if part.startswith("/") else part

    bare = _COMMENT.sub(space, text)
    if len(bare) > MOST_BYTES:
        raise InvalidInput(f"The .proto file has {len(bare):,} characters; at most {MOST_BYTES:,} are taken: split it.")
    if sum(1 for _ in _TOKEN.finditer(bare)) > _MOST_TOKENS:
        raise InvalidInput(f"The .proto file has more than {_MOST_TOKENS:,} words and signs: split it.")
    depth = deepest = 0
    for character in bare:
        depth += _DEPTHS.get(character, 0)
        deepest = max(deepest, depth)
    if deepest > 32:
        raise InvalidInput("The .proto file is nested more than 32 levels deep: send a flatter one.")
    return bare


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    from antlr4.error.ErrorListener import ErrorListener  # start-up: slow to import
    from proto_schema_parser.parser import Parser  # start-up: slow to import

    class Refuses(ErrorListener):  # type: ignore[misc]  # the parser is untyped; by itself it prints what is wrong, and guesses on
        def syntaxError(self, _parser: Any, _symbol: Any, line: int, column: int, message: str, _error: Any) -> None:  # noqa: N802  # antlr's name
            raise InvalidInput(f"The definition is no .proto file: line {line}, column {column}: {message[:200]}.")

    def strictly(part: Any) -> None:
        part.removeErrorListeners()
        part.addErrorListener(Refuses())

    bare = _bare(text)
    try:
        return Parser(setup_lexer=strictly, setup_parser=strictly).parse(bare)
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
