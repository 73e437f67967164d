"""Finds the lookup tables of an application, whose few rows say what a key means: 1 Rock, 2 Jazz. Pure.

A lookup table is small, others refer to it, it has a key of one column and a label, and none of its columns is secret or
personal. Its values are the application's text: they are cut, stay on one line, and are left out when one looks personal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.learning.discovery.identifiers import one_line
from agent.learning.discovery.structure import AppStructure, Column, Relation
from agent.privacy.sensitive import looks_sensitive_value
from agent.text.words import words

MOST_ROWS = 50
VALUE_CHARS = 40
_MOST_COLUMNS = 8
_LABELS = ("name", "title", "label", "description", "caption", "code", "text", "value")
_TEXTS = ("text", "varchar", "char", "citext", "name", "bpchar")
# Other keys may have a cast to text that runs the application's code.
_KEYS = (*_TEXTS, "smallint", "integer", "int", "bigint", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A lookup table, its key and the column that says what the key means; they are the same where the key says it."""

    table: Relation
    key: str
    label: str


def lookups(structure: AppStructure) -> list[Lookup]:
    """Return the tables that may be lookup tables, by what the catalogs say; how many rows they have is only estimated."""
    tables = structure.get("tables", [])
    targets = {
        key["target"] for table in tables for key in table["foreign_keys"] if key["target"] != table["qualified"]
    }
    found = [_lookup(table) for table in tables if table["qualified"] in targets and _is_small_and_open(table)]
    return [lookup for lookup in found if lookup is not None]


def labels_of(pairs: Sequence[tuple[str | None, str | None]]) -> list[list[str]]:
    """Return the keys and labels to keep of the rows that were read; [] where there are too many, or one looks personal."""
    if len(pairs) > MOST_ROWS:
        return []
    kept = [[one_line(key, VALUE_CHARS), one_line(label, VALUE_CHARS)] for key, label in pairs if key and label]
    return [] if any(looks_sensitive_value(value) for pair in kept for value in pair) else kept


def _is_small_and_open(table: Relation) -> bool:
    if table["rows"] is not None and table["rows"] > MOST_ROWS:
        return False
    if len(table["columns"]) > _MOST_COLUMNS or any(
        key["target"] != table["qualified"] for key in table["foreign_keys"]
    ):
        return False
    return all(column["readable"] and not column["masked"] for column in table["columns"])


def _lookup(table: Relation) -> Lookup | None:
    if len(table["primary_key"]) != 1:
        return None
    (key,) = table["primary_key"]
    if not any(column["name"] == key and _base(column) in _KEYS for column in table["columns"]):
        return None
    texts = [column["name"] for column in table["columns"] if _is_text(column)]
    others = [name for name in texts if name != key]
    named = sorted((rank, place, name) for place, name in enumerate(others) if (rank := _rank(name)) is not None)
    if named:
        return Lookup(table=table, key=key, label=named[0][2])
    if len(others) == 1:
        return Lookup(table=table, key=key, label=others[0])
    return Lookup(table=table, key=key, label=key) if texts == [key] else None


def _rank(name: str) -> int | None:
    last = list(words(name))[-1:]
    return _LABELS.index(last[0]) if last and last[0] in _LABELS else None


def _is_text(column: Column) -> bool:
    return _base(column) in _TEXTS


def _base(column: Column) -> str:
    return (column["base"] or column["type"]).partition("(")[0]
