"""Words the answer to a result: a number, the rows, whether there are more, or what went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from agent.providers.offline_model.query import Comparison, Condition, Query
from agent.providers.offline_model.sql_writer import DEFAULT_ROWS
from agent.remarks import with_remarks

_CELL_WIDTH = 60
_MOST_COLUMNS = 8
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}$")
_VERBS = {"sum": "The total", "avg": "The average", "min": "The smallest", "max": "The largest"}


def answer_text(query: Query, result: Mapping[str, Any]) -> str:
    """Return the answer to `query` from its `result`."""
    rows = result.get("rows") or []
    text = _scalar(query, rows[0][0]) if query.measure and not query.groups and rows else _rows(query, result)
    remembered = _used_meanings(query)
    if remembered:
        text += f"\n(By what I remember: {remembered}.)"
    if query.main.shared:
        text += f"\n(These are rows of {query.main.display_name}; other tables have that name too.)"
    return with_remarks(text, result.get("remarks") or ())


def failure_message(result: Mapping[str, Any]) -> str:
    """Return why there is no result: waiting, rejected, expired, refused or failed."""
    status, error = result.get("status"), str(result.get("error") or "no reason was given").strip()
    approval = f" (approval {result['approval_id']})" if result.get("approval_id") else ""
    match status:
        case "waiting":
            return f"This waits for a human's approval{approval}; nothing has been changed yet."
        case "rejected":
            return f"It was rejected{approval}, so it was not done and nothing was changed."
        case "expired":
            return f"Nobody approved it in time{approval}, so it was not done and nothing was changed."
        case "refused":
            return f"It was refused, so it was not done: {error}"
        case _:
            return f"That did not work: {error}"


def change_message(result: Mapping[str, Any], change: str) -> str:
    """Return the outcome of a change; a human may have answered the request, or edited the change."""
    message = str(result.get("message") or "")
    if result.get("status") == "answered" or message.startswith("A human changed"):
        return message
    count = result.get("row_count")
    rows = f" {count} row{'s' if count != 1 else ''} changed." if isinstance(count, int) else ""
    text = f"Nothing was changed: no row matches ({change})." if count == 0 else f"Done: {change}.{rows}"
    return with_remarks(text, result.get("remarks") or ())


def _scalar(query: Query, value: Any) -> str:
    measure = query.measure
    about = query.main.name.replace("_", " ")
    with_conditions = _conditions(query)
    if measure is None or measure.field is None:
        return f"{value} {about}{with_conditions}."
    column = measure.field.column.name.replace("_", " ")
    if value is None:
        return f"There is no {column} to compute: no {about} with a value{with_conditions}."
    return f"{_VERBS.get(measure.function, measure.function)} {column} of {about}{with_conditions} is {_cell(_rounded(value, query))}."


def _rows(query: Query, result: Mapping[str, Any]) -> str:
    rows, columns = result.get("rows") or [], result.get("columns") or []
    about = query.main.name.replace("_", " ")
    if not rows:
        return f"No {about} found{_conditions(query)}."
    most = query.limit or DEFAULT_ROWS
    more = len(rows) > most or bool(result.get("truncated"))
    first = rows[:most]
    if len(first) == 1 and len(columns) == 1:
        return f"{columns[0]}: {_cell(first[0][0])}{_conditions(query)}"
    text = table(columns, [[*row[:-1], _rounded(row[-1], query)] if query.groups and row else row for row in first])
    if more:
        text += f"\n\nThese are the first {len(first)}; there are more. Ask how many, or narrow the question."
    return f"{_heading(query, len(first), more=more)}\n\n{text}"


def _heading(query: Query, count: int, *, more: bool) -> str:
    if query.groups:
        function = query.measure.function if query.measure else "count"
        of = f" of {query.measure.field.column.name}" if query.measure and query.measure.field else ""
        by = ", ".join(
            g.unit or g.field.relation.name if g.whole else g.unit or g.field.column.name for g in query.groups
        )
        return f"{query.main.name}{_conditions(query)}: {function}{of} by {by}."
    number = f"the first {count}" if more else str(count)
    return f"{query.main.name.replace('_', ' ')}{_conditions(query)}: {number}."


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table, or a list for one column. Columns that do not fit are named below the table."""
    if len(columns) == 1:
        return "\n".join(f"- {_cell(row[0])}" for row in rows)
    kept = columns[:_MOST_COLUMNS]
    lines = ["| " + " | ".join(_cell(name) for name in kept) + " |", "|" + " --- |" * len(kept)]
    lines += ["| " + " | ".join(_cell(value) for value in row[: len(kept)]) + " |" for row in rows]
    if len(columns) > len(kept):
        left = columns[len(kept) :]
        lines.append(f"\n(and {len(left)} more {'column' if len(left) == 1 else 'columns'}: {', '.join(left)})")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False)
    text = "" if value is None else str(value)
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"


def _rounded(value: Any, query: Query) -> Any:
    """Round an average to two decimals, or to three digits where it is small. Stored values are never rounded."""
    if query.measure is None or query.measure.function != "avg" or not _LONG_DECIMAL.match(str(value)):
        return value
    number = Decimal(str(value))
    decimals = max(2, 2 - number.adjusted())
    return format(round(number, decimals), "f")


def _all_conditions(query: Query) -> list[Condition]:
    return [*query.conditions, *(c for related in query.related for c in related.conditions)]


def _used_meanings(query: Query) -> str:
    meanings = [
        f"{c.field.column.name} {c.value.text} ({c.memory})"
        for c in _all_conditions(query)
        if isinstance(c, Comparison) and c.memory and c.value
    ]
    return ", ".join(dict.fromkeys(meanings))


def _conditions(query: Query) -> str:
    """Return the conditions in words, so that the user notices a misunderstanding."""
    parts = [_condition(c) for c in query.conditions]
    for related in query.related:
        name = related.relation.name.replace("_", " ")
        inner = " and ".join(_condition(c) for c in related.conditions)
        count = "no" if related.most == 0 else _bounds(related.least, related.most)
        parts.append(f"{count} {name}{f' ({inner})' if inner else ''}".strip())
    return f" with {' and '.join(parts)}" if parts else ""


def _bounds(least: int | None, most: int | None) -> str:
    if least == 1 and most is None:
        return ""
    if least is not None and most is not None:
        return str(least) if least == most else f"{least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}"


def _condition(condition: Condition) -> str:
    column = condition.field.column.name
    if not isinstance(condition, Comparison):
        return f"{column} {condition.text}"
    if condition.value is None:
        words = {"is null": "empty", "is not null": "set", "=": "true", "<>": "false"}
        return f"{column} {words.get(condition.operator, condition.operator)}"
    operator = {"word": "has", "starts": "starts with"}.get(condition.operator, condition.operator)
    value = condition.value.text if condition.value.number else repr(condition.value.text)
    return f"{column} {operator} {value}"
