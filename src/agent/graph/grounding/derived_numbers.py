"""Derive from results the numbers that an honest answer may state: counts, sums, averages, shares, differences. Pure.

What follows from all rows is derived only where a result holds all of them. What may follow from any two numbers would be almost
every number, so two are combined only if there are few of them, or if the answer shows both.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate, permutations
from typing import Any

from agent.graph.grounding.number_words import every_number
from agent.types import ToolResult

Cell = Any
# So many rows and numbers at most are combined with each other.
_FEW_ROWS, _FEW_NUMBERS = 31, 40
_SHORT = 10
_MOST_GROUPED = 500
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_EFFECT = re.compile(r"(\d[\d,]*) rows?\b")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
# Columns whose numbers name something, and measure nothing.
_KEY = re.compile(
    r"(^|_)(id|key|uuid|code|number|no|nr|year|month|week|quarter|day|hour|rank|position|zip|postcode|phone)$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Pool:
    """Numbers to look a stated one up in."""

    values: list[float] = field(default_factory=list)
    _sorted: bool = False

    def add(self, numbers: Iterable[float]) -> None:
        """Add numbers, without their signs: an answer says "fell by 5" about -5."""
        self.values += [abs(number) for number in numbers]
        self._sorted = False

    def holds(self, value: float, within: float) -> bool:
        """Return whether a number of the pool is at most `within` away."""
        if not self._sorted:
            self.values = sorted({number for number in self.values if number == number})  # noqa: PLR0124  # NaN is not itself
            self._sorted = True
        slack = within + abs(value) * 1e-12
        place = bisect_left(self.values, value - slack)
        return place < len(self.values) and self.values[place] <= value + slack


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a result; `whole` says that there are no others."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    whole: bool = True

    @property
    def few(self) -> bool:
        return self.whole and len(self.rows) <= _FEW_ROWS

    def column(self, place: int) -> list[Cell]:
        return [row[place] for row in self.rows if place < len(row)]

    def numbers(self, place: int) -> list[float]:
        """Return a column's numbers; none if it holds anything else."""
        cells = [cell for cell in self.column(place) if cell is not None]
        numbers = [as_number(cell) for cell in cells]
        return [number for number in numbers if number is not None] if cells and None not in numbers else []


def as_number(cell: Cell) -> float | None:
    """Return the number that a cell is; None if it is none."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    try:
        return float(cell) if not isinstance(cell, str) or cell.strip()[-1:].isdigit() else None
    except (ValueError, OverflowError):
        return None


def tables_of(result: ToolResult) -> Iterator[Table]:
    """Yield a result's rows, and the lists of objects or values in the JSON that a tool returned."""
    if result.get("columns"):
        rows = tuple(tuple(row) for row in result.get("rows") or ())
        count = result.get("row_count")
        whole = not result.get("truncated") and (not isinstance(count, int) or count == len(rows))
        yield Table(columns=tuple(result["columns"]), rows=rows, whole=whole)
    yield from _tables_in(result.get("data"))
    for row in (result.get("rows") or ())[:_FEW_ROWS]:
        for cell in row:
            yield from _tables_in(cell)


def _tables_in(value: Any) -> Iterator[Table]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _tables_in(item)
    elif isinstance(value, list) and value:
        if all(isinstance(item, Mapping) for item in value):
            names = tuple(dict.fromkeys(name for item in value for name in item))
            yield Table(columns=names, rows=tuple(tuple(item.get(name) for name in names) for item in value))
        elif all(isinstance(item, list) for item in value):
            width = max(map(len, value))
            yield Table(columns=("",) * width, rows=tuple((*item, *[None] * (width - len(item))) for item in value))
        else:
            yield Table(columns=("",), rows=tuple((item,) for item in value))
        for item in value:
            yield from _tables_in(item)


def numbers_of(value: Any) -> Iterator[float]:
    """Yield every number that a JSON value holds, also inside of its texts."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from every_number(str(name))
            yield from numbers_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_of(item)
    elif isinstance(value, str):
        number = as_number(value)
        yield from [number] if number is not None else every_number(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def counts_of(table: Table) -> Iterator[float]:
    """Yield how many rows there are, how many have each value, and how many different values each column has."""
    if not table.whole:
        return
    yield float(len(table.rows))
    yield float(len(table.columns))
    for place in range(len(table.columns)):
        cells = [_hashable(cell) for cell in table.column(place)]
        groups = Counter(cells)
        yield from (float(count) for count in groups.values())
        yield from (float(len(groups)), float(len(groups.keys() - {None})), float(len(cells) - groups[None]))
        for length in (4, 7, 10):  # years, months, days
            yield from map(float, Counter(cell[:length] for cell in cells if _is_date(cell)).values())


def _is_date(cell: Cell) -> bool:
    return isinstance(cell, str) and _ISO_DATE.match(cell) is not None


def _hashable(cell: Cell) -> Cell:
    return cell if isinstance(cell, (str, int, float, bool, type(None))) else str(cell)


def sums_of(table: Table) -> Iterator[float]:
    """Yield each column's sum, average, middle and span, its running sums, and its sums and averages by another column's values."""
    if not table.whole:
        return
    for place in range(len(table.columns)):
        numbers = table.numbers(place)
        if not numbers:
            continue
        yield from _summary(numbers)
        yield from (first / count for count, first in enumerate(accumulate(numbers[:_FEW_ROWS]), 1))
        yield from accumulate(numbers)
        yield from accumulate(reversed(numbers))
        yield from accumulate(sorted(numbers, reverse=True))
        if 1 < len(numbers) == len(table.rows) <= _MOST_GROUPED:
            yield from _by_group(table, numbers, place)
    yield from _products(table)


def _summary(numbers: Sequence[float]) -> Iterator[float]:
    ordered, total = sorted(numbers), sum(numbers)
    half = len(ordered) // 2
    middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    yield from (total, total / len(numbers), middle, ordered[-1] - ordered[0])


def effects_of(messages: Iterable[str]) -> Iterator[float]:
    """Yield the sum of the rows that each message of an effect counts, and the sum over all messages."""
    sums = [sum(float(count.replace(",", "")) for count in _EFFECT.findall(message)) for message in messages]
    yield from [*sums, sum(sums)]


def clock_spans(table: Table) -> Iterator[float]:
    """Yield the seconds between every two times of day of a row."""
    for row in table.rows[:_FEW_ROWS]:
        clocks = [found.groups("0") for cell in row if isinstance(cell, str) and (found := _CLOCK.fullmatch(cell))]
        seconds = [3600 * int(hour) + 60 * int(minute) + int(second) for hour, minute, second in clocks]
        yield from (float((later - earlier) % 86_400) for earlier, later in permutations(seconds, 2))


def partial_shares(table: Table) -> Iterator[float]:
    """Yield what part of each column's sum its first rows make up."""
    for place in range(len(table.columns) if table.few else 0):
        numbers = table.numbers(place)
        if total := sum(numbers):
            yield from (part / total for part in accumulate(numbers))


def _by_group(table: Table, numbers: Sequence[float], place: int) -> Iterator[float]:
    for other in range(len(table.columns)):
        if other == place:
            continue
        groups: dict[Cell, list[float]] = defaultdict(list)
        for cell, number in zip(table.column(other), numbers, strict=True):
            groups[_hashable(cell)].append(number)
            if _is_date(cell):
                for length in (4, 7):
                    groups["date", cell[:length]].append(number)
        for group in groups.values():
            yield from (sum(group), sum(group) / len(group))


def _products(table: Table) -> Iterator[float]:
    """Yield the products of two cells of a row, such as a quantity and a price, and the sum of these over all rows."""
    columns = {place: numbers for place in range(len(table.columns)) if (numbers := table.numbers(place))}
    full = [
        place
        for place, numbers in columns.items()
        if len(numbers) == len(table.rows) and not _KEY.search(table.columns[place])
    ]
    for place, first in enumerate(full):
        for second in full[place + 1 :]:
            products = [a * b for a, b in zip(columns[first], columns[second], strict=True)]
            yield from [*products, sum(products)]


def pairable(tables: Sequence[Table]) -> list[list[float]]:
    """Return groups of numbers that may be compared with each other: a short column with its sum, a row, and what single rows hold."""
    groups: list[list[float]] = []
    for table in tables:
        columns = [table.numbers(place) for place in range(len(table.columns)) if not _is_key(table, place)]
        if table.few:
            groups += [[*column, sum(column)] for column in columns if column]
        elif table.whole:
            groups += [[sum(column), sum(column) / len(column), float(len(table.rows))] for column in columns if column]
        for row in table.rows[:_FEW_ROWS]:
            cells = [as_number(cell) for place, cell in enumerate(row) if not _is_key(table, place)]
            groups.append([cell for cell in cells if cell is not None])
    small = [table for table in tables if table.whole and len(table.rows) <= 3]
    single = [number for table in small for number in numbers_of_cells(table)]
    totals = [
        sum(numbers)
        for table in tables
        if table.whole
        for place in range(len(table.columns))
        if (numbers := table.numbers(place))
    ]
    sizes = [float(len(table.rows)) for table in tables if table.whole]
    return [*groups, [*single, *sizes, *totals][:_FEW_NUMBERS]]


def _is_key(table: Table, place: int) -> bool:
    return place < len(table.columns) and bool(_KEY.search(table.columns[place]))


def numbers_of_cells(table: Table) -> list[float]:
    """Return the numbers of a table's cells that are numbers, without those of keys."""
    cells = [cell for row in table.rows for place, cell in enumerate(row) if not _is_key(table, place)]
    return [number for cell in cells if (number := as_number(cell)) is not None]


def few_numbers(tables: Iterable[Table]) -> list[float]:
    """Return the numbers of the tables with few rows, as far as they are few themselves."""
    return [number for table in tables if len(table.rows) <= _SHORT for number in numbers_of_cells(table)][:_FEW_ROWS]


def numbers_in_texts(tables: Iterable[Table]) -> list[float]:
    """Return the numbers inside of the texts of the tables with few rows, such as a plan's; none if there are many."""
    texts = [
        cell
        for table in tables
        if len(table.rows) <= _SHORT
        for row in table.rows
        for cell in row
        if isinstance(cell, str)
    ]
    told = [
        number for text in texts if as_number(text) is None and not days_of([text]) for number in every_number(text)
    ]
    return told if len(told) <= _FEW_ROWS else []


def pairs(groups: Iterable[Sequence[float]]) -> Iterator[tuple[float, float]]:
    """Yield every two numbers of each group that is short."""
    for group in groups:
        yield from permutations(list(dict.fromkeys(group))[:_FEW_NUMBERS], 2)


def days_of(texts: Iterable[str]) -> set[date]:
    """Return the days that texts hold in the form of databases."""
    found = set()
    for text in texts:
        for year, month, day in _ISO_DATE.findall(text):
            try:
                found.add(date(int(year), int(month), int(day)))
            except ValueError:
                continue
    return found


def moments_of(texts: Iterable[str]) -> list[datetime]:
    """Return the times on a date that texts hold in the form of databases, each once, in order."""
    found = set()
    for text in texts:
        for written in _MOMENT.findall(text):
            try:
                found.add(datetime.fromisoformat(" ".join(written)))
            except ValueError:
                continue
    return sorted(found)
