"""Declared changes of JSON objects: between platforms, between versions of a schema, and at the gateway. Pure.

    {"keep": ["id", "name"], "rename": {"name": "title"}, "cast": {"id": "string"}, "defaults": {"level": 1}, "set": {"source": "backend"}, "case": "camel"}

The parts are applied in this order: keep, remove, rename, cast, defaults, set, case. A path has dots between names: `user.name`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import InvalidInput
from agent.text.faults import fault

Cast = Literal["string", "integer", "number", "boolean"]
_UPPER = re.compile(r"(?<=[a-z0-9])([A-Z])")
_MOST_DEPTH = 60
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", ""})


class Transformation(BaseModel):
    """How an object is changed. Each part may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: tuple[str, ...] | None = Field(None, max_length=500, description="Only these paths stay.")
    remove: tuple[str, ...] = Field((), max_length=500, description="These paths go.")
    rename: dict[str, str] = Field({}, max_length=500, description="A path, and its new path.")
    cast: dict[str, Cast] = Field({}, max_length=500, description="A path, and the type that its value gets.")
    defaults: dict[str, Any] = Field({}, max_length=500, description="A path, and its value where there is none.")
    set: dict[str, Any] = Field({}, max_length=500, description="A path, and its value in any case.")
    case: Literal["camel", "snake"] | None = Field(None, description="How all names are written, at every level.")

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed object. Raises `InvalidInput` for a value that cannot be cast."""
        done = _copied(dict(data)) if self.keep is None else _kept(data, self.keep)
        for path in self.remove:
            _removed(done, path)
        for path, other in self.rename.items():
            value = _removed(done, path)
            if value is not _NOTHING:
                _put(done, other, value)
        for path, kind in self.cast.items():
            value = _found(done, path)
            if value is not _NOTHING and value is not None:
                _put(done, path, _cast(path, value, kind))
        for path, value in self.defaults.items():
            if _found(done, path) is _NOTHING:
                _put(done, path, value)
        for path, value in self.set.items():
            _put(done, path, value)
        return done if self.case is None else cased(done, self.case)


def read_transformation(given: Any, *, what: str) -> Transformation:
    """Return a checked transformation. Raises `InvalidInput` that names the part that is wrong."""
    try:
        return Transformation.model_validate(given)
    except ValidationError as error:
        place, wrong = fault(error)
        raise InvalidInput(f"Correct {what}{f' at {place}' if place else ''}: {wrong}.") from None


def cased(value: Any, case: Literal["camel", "snake"], depth: int = 0) -> Any:
    """Return a value whose names are all written in one way."""
    if depth > _MOST_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {(camel(key) if case == "camel" else snake(key)): cased(one, case, depth + 1) for key, one in value.items()}  # fmt: skip
    return [cased(one, case, depth + 1) for one in value] if isinstance(value, list) else value


def camel(name: str) -> str:
    """Return a name such as userId."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest) if head else name


def snake(name: str) -> str:
    """Return a name such as user_id."""
    return _UPPER.sub(lambda found: f"_{found[1].lower()}", name)


class _Nothing:
    """Stands for a path that leads to nothing, where None is a value."""


_NOTHING = _Nothing()


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _kept(data: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for path in paths:
        value = _found(data, path)
        if value is not _NOTHING:
            _put(done, path, _copied(value))
    return done


def _found(data: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(data, Mapping) or name not in data:
            return _NOTHING
        data = data[name]
    return data


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for name in way:
        inner = data.get(name)
        if not isinstance(inner, dict):
            inner = data[name] = {}
        data = inner
    data[last] = value


def _removed(data: dict[str, Any], path: str) -> Any:
    *way, last = path.split(".")
    inner: Any = data
    for name in way:
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner.pop(last, _NOTHING) if isinstance(inner, dict) else _NOTHING


def _cast(path: str, value: Any, kind: Cast) -> Any:
    casts: Mapping[Cast, Callable[[Any], Any]] = {
        "string": _as_text, "integer": _as_integer, "number": _as_number, "boolean": _as_boolean,
    }  # fmt: skip
    try:
        return casts[kind](value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(f"The value of {path!r} cannot become {kind}: correct it.") from None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        raise TypeError
    return str(value)


def _as_number(value: Any) -> float | int:
    if isinstance(value, int | float):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _as_integer(value: Any) -> int:
    number = _as_number(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdigit():
        return int(value)
    if isinstance(number, float) and not number.is_integer():
        raise ValueError
    return int(number)


def _as_boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError
