"""Holds the names that a query can refer to, with their sizes: the items of its FROM, its CTEs, the queries around it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.statements.parser import Message, kind_of, walk
from agent.statements.size_rules import COLUMN, NUMBER, Size, constant_integer, largest, total, unwrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a query or an item of FROM returns.

    `value` is the size of its largest value, `row` that of a whole row, and `count` how many rows its set-returning functions
    make at most. `stored` says that rows of a table are multiplied with these. `names` are its columns, None where they are
    not known; `numbers` are those that are known to be small numbers.
    """

    value: Size = COLUMN
    row: Size = COLUMN
    count: float = 1
    stored: bool = False
    names: tuple[str, ...] | None = None
    numbers: frozenset[str] = frozenset()

    def column(self, name: str) -> Size:
        """Return the size of the column of that name."""
        return Size(0, NUMBER) if name in self.numbers else self.value


@dataclass(slots=True)
class Scope:
    """The names that one query can refer to: its CTEs (`queries`), the items of its FROM, and the query around it (`outer`).

    `column` is the size of a table's column. `partial` says that the query sees only a part of its rows at a time, because it
    groups them or refers to a query around it. `recursive` says that a cast counts as making a value larger, since a recursive
    query repeats it in each round.
    """

    queries: dict[str, Rows] = field(default_factory=dict)
    items: dict[str, Rows] = field(default_factory=dict)
    outer: Scope | None = None
    column: Size = COLUMN
    recursive: bool = False
    partial: bool = False

    def inside(self) -> Scope:
        """Return an empty scope for a query inside of this one."""
        return Scope(queries=dict(self.queries), outer=self, column=self.column, recursive=self.recursive)

    @property
    def count(self) -> float:
        """Return how many rows FROM gives at most, where all rows of a table count as one."""
        return math.prod([item.count for item in self.items.values()] or [1])

    @property
    def stored(self) -> bool:
        """Return whether FROM reads rows of a table."""
        return any(item.stored for item in self.items.values())

    @property
    def aggregates_stored(self) -> bool:
        """Return whether an aggregate here may collect rows of a table, which may also be read by a query around this one."""
        return self.stored or (self.outer is not None and self.outer.aggregates_stored)

    def column_of(self, words: Sequence[str], *, starred: bool) -> Size:
        """Return the size of what a column's name, an item's name or a star refers to."""
        scope: Scope | None = self
        sizes: list[Size] = []
        while scope is not None:
            item = scope.items.get(words[0]) if words else None
            if item is not None:
                self.partial = self.partial or scope is not self
                return item.row if starred or len(words) == 1 else item.column(words[-1])
            if starred and not words:
                return total(item.row for item in scope.items.values())
            sizes += [
                item.column(words[-1]) for item in scope.items.values() if item.names is None or words[-1] in item.names
            ]
            scope = scope.outer
        return largest(sizes or [self.column])


def union_of(left: Rows, right: Rows) -> Rows:
    """Return the rows of a set operation over both."""
    return Rows(
        value=largest([left.value, right.value]), row=largest([left.row, right.row]), count=left.count + right.count,
        stored=left.stored or right.stored, names=left.names,
    )  # fmt: skip


def column_names(targets: Iterable[Message]) -> tuple[str, ...] | None:
    """Return the names of a query's columns; None if the statement does not say one of them."""
    names = []
    for target in targets:
        value = unwrapped(target.res_target.val)
        if target.res_target.name:
            names.append(target.res_target.name)
        elif kind_of(value) == "ColumnRef" and value.fields[-1].HasField("string"):
            names.append(value.fields[-1].string.sval)
        else:
            return None
    return tuple(names)


def number_columns(first: Message, names: tuple[str, ...] | None) -> frozenset[str]:
    """Return the columns of a recursive query that are whole numbers; `first` is the part that decides the types."""
    targets = [target.res_target.val for target in first.target_list]
    values = targets or [*(first.values_lists[0].list.items if first.values_lists else ())]
    pairs = zip(names or (), values, strict=False)
    return frozenset(name for name, value in pairs if constant_integer(value) is not None)


def refers_to(query: Message, name: str) -> bool:
    """Return whether a query reads the CTE of that name."""
    return any(kind_of(part) == "RangeVar" and part.relname == name and not part.schemaname for part in walk(query))


def reads_tables(query: Message, ctes: set[str]) -> bool:
    """Return whether a query reads a relation that is none of these CTEs."""
    return any(kind_of(part) == "RangeVar" and (part.schemaname or part.relname not in ctes) for part in walk(query))
