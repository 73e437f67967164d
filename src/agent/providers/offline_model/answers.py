"""Words the answer to a result: a number, the rows, whether there are more, or what went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.providers.offline_model.query import Comparison, Condition, Defined, Field, Query, Related, TimeRange
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.sql_writer import DEFAULT_ROWS, returns_rows
from agent.providers.offline_model.values import all_conditions
from agent.remarks import with_remarks

_CELL_WIDTH = 60
_MOST_COLUMNS = 8
_MOST_MEANINGS = 5
_FUNCTIONS = {"count": "number", "sum": "total", "avg": "average", "min": "smallest", "max": "largest"}
_VERBS = {"sum": "The total", "avg": "The average", "min": "The smallest", "max": "The largest"}


def answer_text(query: Query, result: Mapping[str, Any]) -> str:
    """Return the answer to `query` from its `result`. It says each condition, with the column of a word that is no name."""
    rows = result.get("rows") or []
    text = _rows(query, result) if returns_rows(query) or not rows else _scalar(query, rows[0][0])
    notes = [*_absent(query), *_inferred(query)]
    remembered = _used_meanings(query)
    if remembered:
        notes.append(f"By what I remember: {remembered}.")
    if query.main.shared:
        notes.append(f"These are rows of {query.main.display_name}; other tables have that name too.")
    text = "\n".join([text, *(f"({note})" for note in notes)])
    return with_remarks(text, result.get("remarks") or ())


def plain_rows(result: Mapping[str, Any]) -> str:
    """Return the rows of a result in words, for SQL that was not made from the question."""
    rows, columns = result.get("rows") or [], result.get("columns") or []
    if not rows:
        return with_remarks("No rows.", result.get("remarks") or ())
    if len(rows) == 1 and len(rows[0]) == 1:
        return with_remarks(f"{columns[0] if columns else 'result'}: {_cell(rows[0][0])}.", result.get("remarks") or ())
    lines = [" | ".join(map(_cell, row[:_MOST_COLUMNS])) for row in rows[:DEFAULT_ROWS]]
    more = (
        f"\n... of {result.get('row_count', len(rows))} rows"
        if len(rows) > DEFAULT_ROWS or result.get("truncated")
        else ""
    )
    return with_remarks(
        "\n".join([" | ".join(map(str, columns[:_MOST_COLUMNS])), *lines]) + more, result.get("remarks") or ()
    )


def nowhere(texts: Sequence[str], tables: Sequence[str]) -> str:
    """Return that no column holds the values of a question."""
    shortest = sorted(texts, key=len)[:1] if all(texts[0].split()[0] == t.split()[0] for t in texts) else texts
    named = " or ".join(repr(text) for text in shortest)
    return (
        f"I cannot answer that: I found {named} in no text column of {_listed(tables)}. "
        "Please write the value as it is stored, in quotes, and name its column."
    )


def asks_which(queries: Sequence[Query]) -> str:
    """Return the question which of several meanings is meant."""
    meanings = "\n".join(f"- {meaning(query)}" for query in queries[:_MOST_MEANINGS])
    return f"That can mean several things; please say which, with the name of the table and column:\n{meanings}"


def meaning(query: Query) -> str:
    """Return a query in words."""
    what = f"{query.main.schema}.{query.main.name}{_conditions(query, full=True)}"
    measure = query.measure
    if measure:
        of = f" of {measure.field.relation.name}.{measure.field.column.name}" if measure.field else ""
        below = f" ({measure.below.relation.name})" if measure.below else ""
        what = f"the {_FUNCTIONS[measure.function]}{of}{below} for {what}"
    if query.groups:
        what += " by " + ", ".join(_group_words(query))
    if query.order and query.order.field:
        what += f", in the order of {query.order.field.column.name}"
    if query.fields:
        what = f"{', '.join(f.column.name for f in query.fields)} of {what}"
    return what


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
    if measure.function == "count":
        return f"{value} different values of {column} in {about}{with_conditions}."
    if value is None:
        return f"There is no {column} to compute: no {about} with a value{with_conditions}."
    return f"{_VERBS[measure.function]} {column} of {about}{with_conditions} is {_cell(value)}."


def _rows(query: Query, result: Mapping[str, Any]) -> str:
    rows, columns = result.get("rows") or [], result.get("columns") or []
    about = query.main.name.replace("_", " ")
    if not rows:
        return f"No {about} found{_conditions(query)}."
    most = len(rows) if query.limit else DEFAULT_ROWS
    more = len(rows) > most or bool(result.get("truncated"))
    first = rows[:most]
    if len(first) == 1 and len(columns) == 1:
        return f"{columns[0]}: {_cell(first[0][0])}{_conditions(query)}"
    text = table(columns, first)
    if more:
        text += f"\n\nThese are the first {len(first)}; there are more. Ask how many, or narrow the question."
    if query.limit and query.order and len(rows) > query.limit:
        text += f"\n\nThese are {len(rows)}, because several rank equally."
    return f"{_heading(query, len(first), more=more)}\n\n{text}"


def _heading(query: Query, count: int, *, more: bool) -> str:
    order = _order(query)
    if query.groups:
        function = _FUNCTIONS[query.measure.function] if query.measure else "count"
        of = f" of {query.measure.field.column.name}" if query.measure and query.measure.field else ""
        return f"{query.main.name}{_conditions(query)}: {function}{of} by {', '.join(_group_words(query))}{order}."
    number = f"the first {count}" if more else str(count)
    return f"{query.main.name.replace('_', ' ')}{_conditions(query)}: {number}{order}."


def _order(query: Query) -> str:
    """Return in words by what the rows are ranked."""
    if query.order is None:
        return ""
    direction = "highest first" if query.order.descending else "lowest first"
    measure = query.measure
    if query.order.field is not None:
        by = query.order.field.column.name
    elif measure and measure.below:
        of = f"of {measure.field.column.name} of" if measure.field else "of"
        by = f"the {_FUNCTIONS[measure.function]} {of} {measure.below.relation.name}{_inner(measure.below)}"
    else:
        return ""
    return f", by {by}, {direction}"


def _group_words(query: Query) -> list[str]:
    return [
        f"{g.unit} of {g.field.column.name}" if g.unit else g.field.relation.name if g.whole else g.field.column.name
        for g in query.groups
    ]


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


def _flat(conditions: Iterable[Condition]) -> Iterator[Condition]:
    for one in conditions:
        yield one
        if isinstance(one, Related | Defined):
            yield from _flat(one.conditions)


def _comparisons(query: Query) -> list[Comparison]:
    return [one for one in _flat(all_conditions(query)) if isinstance(one, Comparison)]


def _used_meanings(query: Query) -> str:
    meanings = [
        f"{c.field.column.name} {c.value.text} ({c.memory})" for c in _comparisons(query) if c.memory and c.value
    ]
    meanings += [
        f"{c.phrase} ({c.memory})" for c in _flat(all_conditions(query)) if isinstance(c, Defined) and c.memory
    ]
    return ", ".join(dict.fromkeys(meanings))


def _absent(query: Query) -> list[str]:
    return [
        f"No row of {c.field.relation.display_name} has {c.value.text!r} in {c.field.column.name}."
        for c in _comparisons(query)
        if c.absent and c.value
    ]


def _inferred(query: Query) -> list[str]:
    """Say which column was taken for a word that does not name it."""
    notes = [
        f"I took {c.value.text!r} for a value of {c.field.relation.display_name}.{_column(c.field)}."
        for c in _comparisons(query)
        if c.inferred and c.value and not c.memory
    ]
    return list(dict.fromkeys(notes))


def _conditions(query: Query, *, full: bool = False) -> str:
    """Return the conditions in words, so that the user notices a misunderstanding."""
    parts = [_condition(c, query.main, full=full) for c in query.conditions]
    return f" with {' and '.join(parts)}" if parts else ""


def _condition(condition: Condition, main: Relation, *, full: bool = False) -> str:
    match condition:
        case Related():
            count = "no" if condition.most == 0 else _bounds(condition.least, condition.most)
            role = f" by {', '.join(condition.via.columns)}" if condition.via else ""
            return f"{count} {condition.relation.name.replace('_', ' ')}{role}{_inner(condition)}".strip()
        case TimeRange():
            return f"{'not ' if condition.negated else ''}{condition.field.column.name} {condition.text}"
        case Comparison():
            return _comparison(condition, main, full=full)
        case Defined():
            parts = [_condition(one, main, full=full) for one in condition.conditions]
            said = (" or " if condition.either else " and ").join(parts)
            return f"{'not ' if condition.negated else ''}{condition.phrase}{f' ({said})' if said else ''}"
    return repr(condition.text)


def _inner(related: Related) -> str:
    parts = [_condition(one, related.relation) for one in related.conditions]
    return f" ({' and '.join(parts)})" if parts else ""


def _comparison(condition: Comparison, main: Relation, *, full: bool) -> str:
    place = condition.field
    column = f"{place.relation.name}." if full or place.relation.id != main.id else ""
    column += _column(place)
    column += f" (by {', '.join(place.via.columns)})" if place.via else ""
    if condition.value is None:
        words = {"is null": "empty", "is not null": "set", "=": "not true" if condition.negated else "true"}
        return f"{column} {words[condition.operator]}"
    operator = {"starts": "starts with", "ends": "ends with", "same": "="}.get(condition.operator, condition.operator)
    value = condition.value.text if condition.value.number else repr(condition.value.text)
    return f"{'not ' if condition.negated else ''}{column} {operator} {value}"


def _column(place: Field) -> str:
    return f"{place.column.name} {place.second.name}" if place.second else place.column.name


def _bounds(least: int | None, most: int | None) -> str:
    if least == 1 and most is None:
        return ""
    if least is not None and most is not None:
        return str(least) if least == most else f"{least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
