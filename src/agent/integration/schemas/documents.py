"""What a schema can do, whichever language it is written in."""

from __future__ import annotations

import json
from typing import Any, Literal, Protocol, Self, get_args

from agent.errors import InvalidInput

Kind = Literal["json_schema", "avro", "protobuf"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_PROBLEMS = 20


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


def json_of(definition: Any) -> str:
    """Return the JSON text of a definition, with sorted keys. Raises `InvalidInput` for what JSON does not have, or is nested too deeply."""
    level = [definition]
    for _ in range(_MOST_DEPTH):
        level = [part for one in level if isinstance(one, dict | list) for part in (one.values() if isinstance(one, dict) else one)]  # fmt: skip
        if not level:
            break
    else:
        raise InvalidInput(f"The definition is nested more than {_MOST_DEPTH} levels deep: send a flatter one.")
    try:
        return json.dumps(definition, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidInput("The definition holds what JSON does not have, such as NaN: send JSON.") from None
