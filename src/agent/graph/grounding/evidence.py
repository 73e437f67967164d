"""Hold what an answer may be from: the question, earlier turns, memories, what else the model read, and the calls with results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

from agent.graph.grounding.derived_numbers import Table, days_of, moments_of, tables_of
from agent.graph.grounding.number_words import StatedDate, dates_in
from agent.types import CallKey, ToolResult

_EARLIER_RESULTS = 3
_MOST_MOMENTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of the turn: the tool, its arguments and its result, as they are stored; `key` where the call has one."""

    tool: str
    arguments: Mapping[str, Any]
    result: ToolResult
    key: CallKey | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an answer may be from. `earlier` are the questions and answers of earlier turns, `context` what else the model read."""

    question: str
    today: date
    earlier: Sequence[tuple[str, str]] = ()
    memories: Sequence[str] = ()
    context: Sequence[str] = ()
    calls: Sequence[Call] = ()
    earlier_calls: Sequence[Call] = ()

    @cached_property
    def tables(self) -> list[Table]:
        """The rows of the results, and of the last ones of earlier turns."""
        calls = (*self.earlier_calls[-_EARLIER_RESULTS:], *self.calls)
        return [table for call in calls for table in tables_of(call.result)]

    @cached_property
    def texts(self) -> list[str]:
        """The texts that people, memories and the set-up gave."""
        said = [text for turn in self.earlier for text in turn]
        return [self.question, *said, *self.memories, *self.context]

    @cached_property
    def days(self) -> set[date]:
        """Every day that a result, an argument or a text holds."""
        calls = [str(part) for call in (*self.earlier_calls, *self.calls) for part in (call.arguments, call.result)]
        written = [
            day for text in self.texts for stated in dates_in(text)[0] for day in readings_of_day(stated, self.today)
        ]
        return days_of([*calls, *self.texts]) | {*written, self.today}

    @cached_property
    def moments(self) -> list[datetime]:
        """The last times of day on a date that results hold."""
        calls = (*self.earlier_calls[-_EARLIER_RESULTS:], *self.calls)
        return moments_of(str(call.result) for call in calls)[-_MOST_MOMENTS:]


def readings_of_day(stated: StatedDate, today: date) -> Iterator[date]:
    for month, day in {(stated.month, stated.day), *([(stated.day, stated.month)] if stated.swapped else [])}:
        try:
            yield date(stated.year or today.year, month, day)
        except ValueError:
            continue
