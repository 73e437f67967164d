"""Finds new values that come from the clock or from chance, in the text of the statement, defaults and triggers. Pure.

Two trials show the values that differ between them. They do not show a rounded clock (today's date), nor random values that
were the same twice; so the text is searched for these. A value that is missed is compared like any other: a statement
that runs after midnight then goes back to a human, which is the safe error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from agent.statements.parser import Message, Statement, kind_of, name_of, walk

_CLOCK = re.compile(
    r"\b(now|current_date|current_time|current_timestamp|localtime|localtimestamp|clock_timestamp|statement_timestamp|"
    r"transaction_timestamp|timeofday)\b|'(now|today|tomorrow|yesterday)\b",
    re.IGNORECASE,
)
# Random values may be the same twice and differ the third time; a number of a sequence or a UUID is never the same.
_CHANCE = re.compile(r"\b(random\w*|array_shuffle|array_sample|tablesample)\b", re.IGNORECASE)
_MOMENTS = {"now", "today", "tomorrow", "yesterday"}
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What may set a table's columns beside the statement: its defaults by column, and the bodies of its triggers."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    triggers: Sequence[str] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> Sources:
        """Build from a row of the query `sources`."""
        return cls(defaults=(row or {}).get("defaults") or {}, triggers=(row or {}).get("triggers") or ())


def may_be_chance(statement: Statement, sources: Sources) -> bool:
    """Return whether random values may be among the new ones."""
    named = {name.name for name in statement.names.functions}
    inserted = sources.defaults.values() if statement.kind in {"InsertStmt", "MergeStmt"} else ()
    return any(_CHANCE.search(text) for text in (*named, *inserted, *sources.triggers))


def clock_columns(
    statement: Statement, sources: Sources, rows: Sequence[Mapping[str, Any]], *, now: datetime
) -> set[str]:
    """Return the columns of new rows whose dates and times come from the clock, `now`."""
    direct = {name for name, value in _assigned(statement) if _reads_clock(value)}
    if statement.kind == "InsertStmt":
        direct |= {name for name, text in sources.defaults.items() if _CLOCK.search(text)}
    anywhere = statement.kind == "InsertStmt" and _reads_clock(statement.node.select_stmt)
    return {
        name
        for name in {name for row in rows for name in row}
        if (moments := [_moment(row.get(name)) for row in rows if row.get(name) is not None])
        and all(moments)
        and (name in direct or ((anywhere or _set_by_trigger(name, sources)) and all(_near(moment, now) for moment in moments)))
    }  # fmt: skip


def _set_by_trigger(name: str, sources: Sources) -> bool:
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return any(_CLOCK.search(body) and word.search(body) for body in sources.triggers)


def _assigned(statement: Statement) -> Iterator[tuple[str, Message]]:
    if statement.kind == "UpdateStmt":
        yield from ((part.res_target.name, part.res_target.val) for part in statement.node.target_list)
    if statement.kind == "InsertStmt":
        targets = statement.node.on_conflict_clause.target_list
        yield from ((part.res_target.name, part.res_target.val) for part in targets)


def _reads_clock(value: Message) -> bool:
    for part in walk(value):
        kind = kind_of(part)
        if kind == "FuncCall" and _CLOCK.search(name_of(part.funcname).name):
            return True
        if kind == "SQLValueFunction" and any(word in _operation(part) for word in ("DATE", "TIME")):
            return True
        if kind == "A_Const" and part.sval.sval.strip().lower() in _MOMENTS:
            return True
    return False


def _operation(part: Message) -> str:
    return str(part.DESCRIPTOR.fields_by_name["op"].enum_type.values_by_number[part.op].name)


def _moment(value: object) -> datetime | date | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _near(moment: datetime | date | None, now: datetime) -> bool:
    if not isinstance(moment, datetime):
        return False
    return abs((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now) <= 2 * _A_DAY
