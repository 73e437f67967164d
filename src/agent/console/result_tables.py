"""Turns the result of a statement into a table that can be sorted, paged, downloaded and, where its shape allows it, plotted. Pure."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from agent.console import plots
from agent.text.amounts import cell

_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?\Z")
_DAY = re.compile(r"\d{4}-\d{2}(?:-\d{2})?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_BARS, _MOST_POINTS, _MOST_SERIES = 40, 400, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTable:
    """Rows with their columns. `numeric` says which columns hold numbers only; `total` counts the rows before paging."""

    columns: tuple[str, ...]
    rows: tuple[Sequence[Any], ...]
    numeric: tuple[bool, ...]
    total: int
    first: int = 0
    truncated: bool = False
    cut_cells: int = 0

    def sorted_by(self, place: int | None, *, descending: bool = False) -> ResultTable:
        """Return the table sorted by a column; nulls come last either way."""
        if place is None or not 0 <= place < len(self.columns):
            return self
        known = [row for row in self.rows if row[place] is not None]
        unknown = [row for row in self.rows if row[place] is None]
        known.sort(key=lambda row: _key(row[place], numeric=self.numeric[place]), reverse=descending)
        return self._with((*known, *unknown))

    def page(self, first: int, most: int) -> ResultTable:
        """Return `most` rows from row `first` on (the first row is 0)."""
        first = max(0, min(first, self.total))
        return self._with(self.rows[first : first + most], first=first)

    def _with(self, rows: tuple[Sequence[Any], ...], *, first: int = 0) -> ResultTable:
        return ResultTable(
            columns=self.columns, rows=rows, numeric=self.numeric, total=self.total, first=first, truncated=self.truncated,
            cut_cells=self.cut_cells,
        )  # fmt: skip


def table_of(result: Mapping[str, Any] | None) -> ResultTable | None:
    """Return the table in a tool's result, or None if it has none."""
    columns, rows = (result or {}).get("columns"), (result or {}).get("rows")
    if not result or not isinstance(columns, list) or not isinstance(rows, list) or not columns:
        return None
    whole = tuple(row for row in rows if isinstance(row, list) and len(row) == len(columns))
    numeric = tuple(_is_numeric([row[place] for row in whole]) for place in range(len(columns)))
    return ResultTable(
        columns=tuple(map(str, columns)), rows=whole, numeric=numeric, total=len(whole), truncated=bool(result.get("truncated")),
        cut_cells=int(result.get("cut_cells") or 0),
    )  # fmt: skip


def csv_of(table: ResultTable) -> Iterator[str]:
    """Yield the table as CSV. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in (table.columns, *table.rows):
        writer.writerow([_inert(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def plot_of(table: ResultTable) -> Markup | None:
    """Return a plot where the first column names things or times and the others are numbers; None for every other shape."""
    others = [place for place in range(1, len(table.columns)) if table.numeric[place]]
    named = len(table.columns) > 1 and not table.numeric[0] and len(others) == len(table.columns) - 1 <= _MOST_SERIES
    if not named or table.total < 2:
        return None
    times = all(isinstance(row[0], str) and _DAY.match(row[0]) for row in table.rows)
    rows = sorted(table.rows, key=lambda row: str(row[0])) if times else table.rows
    if len(rows) > (_MOST_POINTS if times else _MOST_BARS):
        return None
    lines = [plots.Line(name=table.columns[place], values=[_value(row[place]) for row in rows]) for place in others]
    labels = ["null" if row[0] is None else cell(row[0]) for row in rows]
    unit = ", ".join(table.columns[place] for place in others)
    if times or len(others) > 1 or any((value or 0) < 0 for line in lines for value in line.values):
        return plots.curves(labels, lines, unit=unit)
    return plots.bars(labels, lines, unit=unit)


def _is_numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(_value(value) is not None for value in known)


def _value(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not _NUMBER.match(value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _key(value: Any, *, numeric: bool) -> tuple[float, str]:
    return (_value(value) or 0.0, "") if numeric else (0.0, cell(value).casefold())


def _inert(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return cell(value)
    text = value if isinstance(value, str) else cell(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.match(text) else text
