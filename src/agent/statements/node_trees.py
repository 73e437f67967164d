"""Reads the trees (pg_node_tree) in which Postgres stores resolved queries and expressions in its catalogs. Pure.

Only numbers of objects and kinds of nodes are read. In a tree the text of a statement is escaped or written as bytes, so it
can hide neither a number nor a node; at worst it adds one, about which a human is then asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_BRACE = re.compile(r"(?<!\\)([{}])([A-Z_]*)")
_NODE = re.compile(r"(?<!\\)\{([A-Z_]+)")
# The numbers of current_setting with one argument and with two.
_SETTING = frozenset({2077, 3294})
_SETTINGS = re.compile(
    r"(?<!\\)\{FUNCEXPR :funcid (?:2077|3294) [^{}]*:args \((?:\{CONST [^{}]*:constvalue \d+ \[((?: -?\d+)+) \]\})?"
)
_FUNCTIONS = frozenset(
    ["funcid", "aggfnoid", "winfnoid", "hashfuncid", "negfuncid", "startInRangeFunc", "endInRangeFunc", "tsmhandler"]
)
_OPERATORS = frozenset(["opno", "opnos", "eqop", "sortop", "cycle_mark_neop"])
_TYPE = re.compile(r"(type|types|typeid|typid)$", re.IGNORECASE)
_NO_TYPES = frozenset(["commandType", "jointype", "subLinkType"])
_READ = "1"
# The values of these fields in a query that only reads.
_FIELDS_OF_READ = {
    "commandType": _READ,
    "hasModifyingCTE": "false",
    "hasForUpdate": "false",
    "rowMarks": "<>",
    "utilityStmt": "<>",
}
_FIRST_COLUMN = 7  # bit of the whole row; the first column is the next one
_VARLENA_HEADER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The objects that one tree uses, by their numbers. `columns` are (relation, column) pairs; column 0 is the whole row.

    `settings` are the constant arguments of current_setting, with '' for an argument that is not constant. `writes` says that
    the tree locks or changes rows, or is no query. `text` is the tree itself.
    """

    nodes: frozenset[str] = frozenset()
    functions: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()
    relations: frozenset[int] = frozenset()
    columns: frozenset[tuple[int, int]] = field(default=frozenset(), repr=False)
    settings: frozenset[str] = frozenset()
    writes: bool = False
    text: str = field(default="", repr=False, compare=False)


def read_tree(text: str) -> Tree:
    """Return the objects in the tree `text`."""
    words = text.split()
    pairs = {(name[1:], value.rstrip(")}")) for name, value in set(pairwise(words)) if name[0] == ":"}
    numbers: dict[str, set[int]] = {"functions": set(), "operators": set(), "types": set(), "relations": set()}
    for name, number in (*_numbers(pairs), *_listed(text)):
        kind = _kind(name)
        if kind and number:
            numbers[kind].add(number)
    return Tree(
        nodes=frozenset(node for word in set(words) if "{" in word for node in _NODE.findall(word)),
        columns=frozenset(_columns(text)),
        settings=frozenset(_text(value) for value in _SETTINGS.findall(text))
        if numbers["functions"] & _SETTING
        else frozenset(),
        writes=any(name in _FIELDS_OF_READ and value != _FIELDS_OF_READ[name] for name, value in pairs),
        text=text,
        **{key: frozenset(value) for key, value in numbers.items()},
    )


def statements_in(text: str) -> int:
    """Return how many statements the body of a function holds: its queries that are inside of no other."""
    depth = count = 0
    for brace, kind in _BRACE.findall(text):
        count += brace == "{" and depth == 0 and kind == "QUERY"
        depth += 1 if brace == "{" else -1
    return count


def _kind(name: str) -> str:
    """Return the kind of object whose number the field `name` holds; '' if it holds something else."""
    if name in _FUNCTIONS:
        return "functions"
    if name in _OPERATORS:
        return "operators"
    if name in {"relid", "seqid"}:
        return "relations"
    return "types" if name not in _NO_TYPES and _TYPE.search(name) else ""


def _numbers(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    for name, value in pairs:
        if value.isdigit():
            yield name, int(value)


def _listed(text: str) -> Iterator[tuple[str, int]]:
    before, *lists = text.split(" (o ")
    for piece in lists:
        name = before.rpartition(":")[2]
        for number in piece.partition(")")[0].split():
            if number.isdigit():
                yield name, int(number)
        before = piece


def _columns(text: str) -> Iterator[tuple[int, int]]:
    """Yield (relation, column) for the columns that are read: by these the server checks the privileges of columns."""
    before, *sets = text.split(" :selectedCols (b")
    relation = 0
    for piece in sets:
        number = before.rpartition(":relid ")[2].partition(" ")[0]
        relation = int(number) if number.isdigit() else relation
        for bit in piece.partition(")")[0].split():
            if bit.isdigit() and int(bit) >= _FIRST_COLUMN:
                yield relation, int(bit) - _FIRST_COLUMN
        before = piece


def _text(value: str) -> str:
    """Return the text of a constant, in lower case; a tree holds it as its bytes in memory."""
    data = bytes(int(byte) & 0xFF for byte in value.split())
    return data[_VARLENA_HEADER:].decode(errors="replace").lower()
