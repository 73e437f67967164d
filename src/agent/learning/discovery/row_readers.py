"""Converts catalog rows to the structure's checks, indexes, triggers, functions and types. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from agent.learning.discovery.allowed_parts import signature
from agent.learning.discovery.catalog import Row
from agent.learning.discovery.column_profiles import showable
from agent.learning.discovery.identifiers import one_line, qualified, short_type
from agent.learning.discovery.structure import Check, DataType, Function, Index, Trigger

DEFINITION_CHARS = 300
_FUNCTION_KINDS: Final[Mapping[str, Literal["FUNCTION", "PROCEDURE", "AGGREGATE", "WINDOW FUNCTION"]]] = {
    "f": "FUNCTION", "p": "PROCEDURE", "a": "AGGREGATE", "w": "WINDOW FUNCTION",
}  # fmt: skip
_VOLATILITIES: Final[Mapping[str, Literal["immutable", "stable", "volatile"]]] = {
    "i": "immutable", "s": "stable", "v": "volatile",
}  # fmt: skip
_TYPE_KINDS: Final[Mapping[str, Literal["ENUM", "DOMAIN", "COMPOSITE", "RANGE"]]] = {
    "e": "ENUM", "d": "DOMAIN", "c": "COMPOSITE", "r": "RANGE",
}  # fmt: skip
_EVENTS = ((4, "insert"), (8, "delete"), (16, "update"), (32, "truncate"))


def check_of(row: Row) -> Check:
    """Return a check or an exclusion constraint."""
    return Check(
        name=row["name"], columns=row["columns"] or [], definition=one_line(row["definition"], DEFINITION_CHARS)
    )


def index_of(row: Row, *, hide: bool) -> Index:
    """Return an index; with `hide`, without a definition that may name a denied column."""
    # An expression or a predicate may name a denied column.
    hide = hide and (row["partial"] or row["has_expressions"])
    return Index(
        name=row["name"],
        method=row["method"],
        columns=row["columns"] or [],
        unique=row["unique"],
        partial=row["partial"],
        definition="" if hide else one_line(row["definition"], DEFINITION_CHARS),
    )


def trigger_of(row: Row) -> Trigger:
    """Return a trigger."""
    bits = row["bits"]
    moment = "instead of" if bits & 64 else "before" if bits & 2 else "after"
    events = " or ".join(name for bit, name in _EVENTS if bits & bit)
    return Trigger(
        name=row["name"],
        when=f"{moment} {events}",
        function=qualified(row["function_schema"], row["function_name"]),
        enabled=row["enabled"],
    )


def function_of(row: Row) -> Function:
    """Return a function of any kind."""
    return Function(
        schema=row["schema"],
        name=row["name"],
        signature=signature(row),
        kind=_FUNCTION_KINDS[row["kind"]],
        arguments=one_line(row["arguments"], DEFINITION_CHARS),
        returns=one_line(row["returns"], DEFINITION_CHARS),
        volatility=_VOLATILITIES[row["volatility"]],
        security_definer=row["security_definer"],
        language=row["language"],
        executable=row["executable"],
        comment=one_line(row["comment"]),
    )


def data_type_of(row: Row) -> DataType:
    """Return an enum, domain, composite or range type."""
    return DataType(
        schema=row["schema"],
        name=row["name"],
        qualified=qualified(row["schema"], row["name"]),
        kind=_TYPE_KINDS[row["kind"]],
        labels=showable(row["labels"] or ()),
        base=short_type(row["base"]) if row["base"] else "",
        attributes=[one_line(attribute) for attribute in row["attributes"] or ()],
        comment=one_line(row["comment"]),
    )
