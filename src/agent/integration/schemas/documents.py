"""What a schema can do, whichever language it is written in."""

from __future__ import annotations

import json
from typing import Any, Literal, Protocol, Self, get_args

from agent.errors import InvalidInput

Kind = Literal["json_schema", "avro", "protobuf"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_PROBLEMS = 20


class TooMuchWork(Exception):
    """It takes too much work to compare schemas, or to judge a value."""


class SchemaDocument(Protocol):
    """A schema that was read. It is immutable."""

    @property
    def normal(self) -> str:
        """Return its normal form: equal for two texts that say the same."""

    def problems(self, data: Any) -> list[str]:
        """Return what is wrong with data, at most `MOST_PROBLEMS` sentences that begin with the place."""

    def unreadable(self, writer: Self) -> list[str]:
        """Return why somebody who expects this schema cannot read what was written by another one of its kind."""

    def completed(self, data: Any) -> Any:
        """Return data with the defaults of what it lacks."""


_MOST_DEPTH = 60
# Larger numbers are no double, and slow to compare.
_LARGEST = 10**308


def json_of(value: Any, *, what: str = "The definition") -> str:
    """Return the JSON text of a value, with sorted keys. Raises `InvalidInput` for what JSON does not have, or is nested too deeply."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        if any(type(one) is int and not -_LARGEST < one < _LARGEST for one in level):
            raise InvalidInput(f"{what} holds a number of more than 308 digits: send it as a text.")
        level = [part for one in level if isinstance(one, dict | list) for part in (one.values() if isinstance(one, dict) else one)]  # fmt: skip
        if not level:
            break
    else:
        raise InvalidInput(f"{what} is nested more than {_MOST_DEPTH} levels deep: send a flatter one.")
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        if "\\ud" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} holds half of a character: leave it out.") from None
    except (TypeError, ValueError):
        raise InvalidInput(f"{what} holds what JSON does not have, such as NaN: send JSON.") from None
    return text


def read_json(text: str) -> Any:
    """Return the value of a JSON text. Raises `InvalidInput`, also for an object that has a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise InvalidInput("The definition is nested too deeply: send a flatter one.") from None
    except ValueError:
        raise InvalidInput("The definition is not JSON: send an object, or its JSON text.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("An object of the definition has a name twice: keep one of them.")
    return found


def problems_of(document: SchemaDocument, data: Any) -> list[str]:
    """Return what is wrong with data. Raises `InvalidInput` for what cannot be judged."""
    json_of(data, what="The data")
    return document.problems(data)
