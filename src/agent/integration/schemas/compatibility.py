"""Which earlier versions a new version of a schema is compared with, and in which direction, as Confluent's registry defines it. Pure.

BACKWARD   a reader with the new schema reads what was written with the last one
FORWARD    a reader with the last schema reads what is written with the new one
FULL       both; with _TRANSITIVE: with every earlier version, not only the last
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

from agent.errors import InvalidInput
from agent.integration.schemas.documents import SchemaDocument

Compatibility = Literal[
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
]
MODES: tuple[Compatibility, ...] = get_args(Compatibility)
Document = TypeVar("Document", bound=SchemaDocument)


def mode_of(name: str) -> Compatibility:
    """Return the mode of a name. Raises `InvalidInput`."""
    for mode in MODES:
        if name.upper() == mode:
            return mode
    raise InvalidInput(f"There is no compatibility {name[:100]!r}: use one of {', '.join(MODES)}.")


def incompatibilities(new: Document, earlier: Sequence[tuple[str, Document]], mode: Compatibility) -> list[str]:
    """Return why a new schema does not fit to the earlier ones (the oldest first, each with the name of its version)."""
    if mode == "NONE" or not earlier:
        return []
    compared = earlier if mode.endswith("_TRANSITIVE") else earlier[-1:]
    found: list[str] = []
    for version, old in reversed(compared):
        if not mode.startswith("FORWARD"):
            found += [f"it cannot read what {version} wrote: {why}" for why in _unreadable(new, old)]
        if not mode.startswith("BACKWARD"):
            found += [f"{version} cannot read what it writes: {why}" for why in _unreadable(old, new)]
    return found


def _unreadable(reader: Any, writer: Any) -> list[str]:
    if type(reader) is not type(writer):
        return ["it is another kind of schema"]
    reasons: list[str] = reader.unreadable(writer)
    return reasons
