"""What can be spoken of in a query, and how large it is: the items of its FROM, the queries that it names, those around it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.statements.parser import Message, kind_of, walk
from agent.statements.size_rules import COLUMN, NUMBER, Size, inner, largest, total, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a query or an item of FROM gives: its largest value, a whole row, how many rows its generators make at most.

    `stored` says that rows of a table are multiplied with these. `names` are its columns, None where they are not known;
    `numbers` those that are known to be small numbers.
    """

    value: Size = COLUMN
    row: Size = COLUMN
    count: float = 1
    stored: bool = False
    names: tuple[str, ...] | None = None
    numbers: frozenset[str] = frozenset()

    def column(self, name: str) -> Size:
        return Size(0, NUMBER) if name in self.numbers else self.value


@dataclass(slots=True)
class Scope:
    """What can be spoken of in one query: the items of its FROM by their names, and the queries around it.

    `column` is the size of a table's column. `parted` says that it sees a part of its rows at a time: it groups them, or
    speaks of a query around it. `recursive` says that casts count as what makes a value grow: each round does.
    """

    queries: dict[str, Rows] = field(default_factory=dict)
    items: dict[str, Rows] = field(default_factory=dict)
    outer: Scope | None = None
    column: Size = COLUMN
    recursive: bool = False
    parted: bool = False

    def inside(self) -> Scope:
        return Scope(queries=dict(self.queries), outer=self, column=self.column, recursive=self.recursive)

    @property
    def count(self) -> float:
        return math.prod([item.count for item in self.items.values()] or [1])

    @property
    def stored(self) -> bool:
        return any(item.stored for item in self.items.values())

    @property
    def stored_around(self) -> bool:
        """Whether rows of a table are collected: an aggregate of what stands in a query around it is that query's."""
        return self.stored or (self.outer is not None and self.outer.stored_around)

    def column_of(self, words: Sequence[str], *, starred: bool) -> Size:
        """The size of what a column's name, an item's name or a star speaks of."""
        scope: Scope | None = self
        sizes: list[Size] = []
        while scope is not None:
            first = scope.items.get(words[0]) if words else None
            if first is not None:
                self.parted = self.parted or scope is not self
                return first.row if starred or len(words) == 1 else first.column(words[-1])
            if starred and not words:
                return total(item.row for item in scope.items.values())
            sizes += [
                item.column(words[-1]) for item in scope.items.values() if item.names is None or words[-1] in item.names
            ]
            scope = scope.outer
        return largest(sizes or [self.column])


def united(one: Rows, other: Rows) -> Rows:
    return Rows(
        value=largest([one.value, other.value]), row=largest([one.row, other.row]), count=one.count + other.count,
        stored=one.stored or other.stored, names=one.names,
    )  # fmt: skip


def query_named(scope: Scope, name: str) -> Rows | None:
    return scope.queries.get(name)


def names_of(targets: Iterable[Message]) -> tuple[str, ...] | None:
    """The names of a query's columns; None where they cannot be told."""
    found = []
    for target in targets:
        value = inner(target.res_target.val)
        if target.res_target.name:
            found.append(target.res_target.name)
        elif kind_of(value) == "ColumnRef" and value.fields[-1].HasField("string"):
            found.append(value.fields[-1].string.sval)
        else:
            return None
    return tuple(found)


def numbers_of(first: Message, names: tuple[str, ...] | None) -> frozenset[str]:
    """Which columns of a recursive query are whole numbers: its first part says the types."""
    targets = [target.res_target.val for target in first.target_list]
    values = targets or [*(first.values_lists[0].list.items if first.values_lists else ())]
    named = names or ()
    return frozenset(name for name, value in zip(named, values, strict=False) if whole(value) is not None)


def speaks_of(query: Message, name: str) -> bool:
    return any(kind_of(part) == "RangeVar" and part.relname == name and not part.schemaname for part in walk(query))


def reads_tables(query: Message, known: set[str]) -> bool:
    return any(kind_of(part) == "RangeVar" and (part.schemaname or part.relname not in known) for part in walk(query))
