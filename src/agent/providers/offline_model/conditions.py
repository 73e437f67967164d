"""The grammar of one condition: "status is paused", "more than 3 orders", "budget over 5000", "in 2025", "no phone"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from agent.providers.offline_model.dates import month_at, period_at, year_at
from agent.providers.offline_model.join_graph import event_columns, measure_columns, naming_fields
from agent.providers.offline_model.names import ColumnName
from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Defined,
    Field,
    LiteralValue,
    Operator,
    Related,
    TimeRange,
    Wanted,
)
from agent.providers.offline_model.reader import (
    Place,
    Reader,
    key_condition,
    negated,
    state_condition,
)
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.tokenizer import count_of

Conditions = Iterator[tuple[Condition, Place]]

_ARTICLES = "the|a|an|its|their|any|some"
_COMPARATORS: tuple[tuple[str, Operator], ...] = (
    ("more than or equal to", ">="), ("greater|higher|larger|bigger than or equal to", ">="), ("less|lower|smaller than or equal to", "<="),
    ("more|greater|higher|larger|bigger|longer than", ">"), ("over|above|exceeding", ">"),
    ("less|fewer|lower|smaller|shorter than", "<"), ("under|below", "<"),
    ("at least", ">="), ("at most", "<="), ("up to", "<="), ("not more than", "<="), ("not less than", ">="),
    ("exactly", "="), ("equal|equals to?", "="), ("> =", ">="), ("< =", "<="), (">=|≥", ">="), ("<=|≤", "<="), (">", ">"), ("<", "<"),
)  # fmt: skip
_EMPTY = "empty|null|missing|blank|unknown"
_SET = "set|filled|present|known"
_YES, _NO = "true|yes|on", "false|no|off"


def comparator(r: Reader, at: Place) -> tuple[Operator, Place] | None:
    """Return the comparison that the words at `at` stand for."""
    return next(((operator, end) for phrase, operator in _COMPARATORS if (end := r.word(at, phrase))), None)


def condition(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield what may stand after "with", "where" or "have": a test of a column, a state, an owner, or a number of rows."""
    r.step(at)
    for start in {at, r.skip(at, _ARTICLES)}:
        yield from _column_test(r, main, start)
        yield from compared_column(r, main, start)
        yield from owner_test(r, main, start)
        yield from r.labels(start, main)
        for found, end in r.labels(start, main):  # "a family card"
            yield from ((found, last) for _, place, last in r.columns(end, main) if _is_about(found, place))


def _column_test(r: Reader, main: Relation, at: Place) -> Conditions:
    for name, place, end in r.columns(at, main):
        yield from tests(r, name, place, end)


def tests(r: Reader, name: ColumnName, place: Field, at: Place) -> Conditions:
    """Yield what may be said of a column after its name."""
    after = r.word(at, "is|are|was|were|of|=|:|equals") or at
    opposite = r.word(after, "not")
    for start, turn in ((after, False), *(((opposite, True),) if opposite else ())):
        for found, end in _plain_tests(r, place, start, said=after != at):
            result = negated(found) if turn else found
            if result is not None:
                yield result, end
    if place.column.boolean and not name.negated:
        yield state_condition(place, holds=True), at


def _plain_tests(r: Reader, place: Field, at: Place, *, said: bool) -> Conditions:
    if end := r.word(at, _EMPTY):
        yield Comparison(field=place, operator="is null"), end
    if end := r.word(at, _SET):
        yield Comparison(field=place, operator="is not null"), end
    column = place.column
    if column.boolean:
        for words, holds in ((_YES, True), (_NO, False)):
            if end := r.word(at, words):
                yield state_condition(place, holds=holds), end
    elif column.temporal:
        yield from periods(r, place, at)
    elif column.numeric:
        yield from _number_tests(r, place, at)
    elif not column.opaque:
        yield from _text_tests(r, place, at, said=said)


def _number_tests(r: Reader, place: Field, at: Place) -> Conditions:
    yield from _years(r, place, at)
    compared = comparator(r, at)
    operator: Operator
    operator, start = compared or ("=", at)
    for number, end in r.number(start):
        yield compare(place, operator, number), end
    between = r.word(at, "between")
    if between:
        for low, middle in r.number(between):
            for high, end in r.number(r.word(middle, "and") or -1):
                yield _between(place, low, high), end
    if not compared:
        yield from _labelled(r, place, at)


def _between(place: Field, low: str, high: str) -> Condition:
    own = replace(place, via=None)
    both = (compare(own, ">=", low), compare(own, "<=", high))
    return Related(relation=place.relation, via=place.via, conditions=both)


def _years(r: Reader, place: Field, at: Place) -> Conditions:
    """Yield "released in 2006" for a column with a year as a number."""
    if not re.search("year", place.column.name, re.I):
        return
    operators: tuple[tuple[str, Operator], ...] = (
        ("in", "="),
        ("after", ">"),
        ("before", "<"),
        ("since", ">="),
        ("until", "<="),
    )
    for words, operator in operators:
        start = r.word(at, words)
        if start and (year := year_at(r.s, start)):
            yield compare(place, operator, str(year)), start + 1


def compare(place: Field, operator: Operator, number: str) -> Comparison:
    """Return the comparison of a column with a number."""
    return Comparison(field=place, operator=operator, value=LiteralValue(text=number, number=True))


def periods(r: Reader, place: Field, at: Place) -> Conditions:
    """Yield the span of time at `at` as a condition on a column."""
    span = period_at(r.s, at)
    if span:
        yield TimeRange(field=place, lower=span[0], upper=span[1], text=r.s.span(at, span[2])), span[2]


def _text_tests(r: Reader, place: Field, at: Place, *, said: bool) -> Conditions:
    """Yield what a text is, contains, begins or ends with. Only what is said to be so ("is", "=") may be said to be nowhere."""
    operators: tuple[tuple[str, Operator], ...] = (
        ("contains|containing", "contains"), ("starts|starting|begins|beginning with", "starts"), ("ends|ending with", "ends"),
    )  # fmt: skip
    for words, operator in operators:
        for text, end in r.value(r.word(at, words) or -1, named=True):
            yield Comparison(field=place, operator=operator, value=LiteralValue(text=text)), end
    yield from _labelled(r, place, at)
    for text, end in r.value(at, named=True):
        label = label_of(place, text)
        if label is None and place.column.values and not place.column.more_values:
            r.notes.append(
                f"{text!r} is not one of the values of {place.column.name}: {', '.join(place.column.values)}"
            )
        elif label is not None:
            yield Comparison(field=place, operator="=", value=LiteralValue(text=label)), end
        elif place.second:  # a full name, or one of its parts
            parts = (replace(place, second=None), replace(place, column=place.second, second=None))
            yield Wanted(text=text, fields=(place, *parts)), end
        else:
            yield Wanted(text=text, fields=(place,), named=said or r.s.tokens[at].kind == "quoted"), end


def _labelled(r: Reader, place: Field, at: Place) -> Conditions:
    """Yield the value that a remembered fact gives to the word at `at`, as in "status is paused"."""
    for found, end in r.labels(at, place.relation):
        if isinstance(found, Comparison) and found.memory and found.field.column == place.column:
            yield replace(found, inferred=False), end
        if (
            isinstance(found, Defined)
            and not found.memory
            and {_column(one) for one in found.conditions} == {place.column}
        ):
            yield found, end


def _column(condition: Condition) -> Column | None:
    return condition.field.column if isinstance(condition, Comparison) else None


def label_of(place: Field, text: str) -> str | None:
    """Return the label that `text` is: exactly, else in another letter case if only one is."""
    values = place.column.values
    same = [value for value in values if value.lower() == text.lower()]
    return text if text in values else same[0] if len(same) == 1 and not place.column.more_values else None


def compared_column(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield "over 600 pages": the comparison stands before the column."""
    compared = comparator(r, at)
    if not compared:
        return
    for number, after in r.number(compared[1]):
        for _, place, end in r.columns(after, main):
            if place.column.numeric:
                yield compare(place, compared[0], number), end


def owner_test(r: Reader, main: Relation, at: Place) -> Iterator[tuple[Related, Place]]:
    """Yield "genre is Rock" or "manager Mid", where the word names the row that a row of `main` refers to."""
    for name, end in r.roles(at, main):
        if not r.graph.leads_up(main, name.relation, via=name.via) or (
            name.relation.id == main.id and name.via is None
        ):
            continue
        start = r.word(end, "is|=|:|named|called|are") or end
        turned = r.word(start, "not") or start
        for found, after in reference(r, name.relation, turned, named=True):
            opposite = Related(relation=name.relation, via=name.via, least=None, most=0, conditions=(found,))
            if turned != start:
                yield opposite, after
            else:
                yield Related(relation=name.relation, via=name.via, conditions=(found,)), after


def reference(r: Reader, relation: Relation, at: Place, *, named: bool) -> Conditions:
    """Yield the condition that picks one row of `relation`: by its key, or by a value without quotes if `named` allows it."""
    start = r.word(at, "with? id|number|no", "id|number|no", "# ") or at
    for number, end in r.number(start):
        found = key_condition(relation, number.removeprefix("#"))
        if found and re.fullmatch(r"\d+", number) and r.s.tokens[start].kind == "number":
            yield found, end
    called = r.word(at, "named|called", "with the? name")
    start = called or at
    quoted = r.s.free(start) and r.s.tokens[start].kind in ("quoted", "email")
    if not (named or called or quoted):
        return
    for text, end in r.value(start, named=True):
        if not (re.fullmatch(r"#?\d+", text) and key_condition(relation, "1")):
            yield Wanted(text=text, fields=tuple(naming_fields(relation))), end


def lacking(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield what may stand after "without" or "no": a column that is empty."""
    start = r.skip(at, _ARTICLES)
    for name, place, end in r.columns(start, main):
        if place.relation.id == main.id and not place.column.boolean and not (name.short and name.state):
            yield Comparison(field=place, operator="is null"), end
    for role, end in r.roles(start, main):
        if role.via is None and any(key.target == main.id for key in role.relation.foreign_keys):
            continue  # rows that refer to this one
        keys = [role.via] if role.via else [key for key in main.foreign_keys if key.target == role.relation.id]
        column = main.column(keys[0].columns[0]) if len(keys) == 1 and len(keys[0].columns) == 1 else None
        if column:  # "without an advisor": it refers to none
            yield Comparison(field=Field(relation=main, column=column), operator="is null"), end


def possessing(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield "with a phone": a column that is not empty."""
    for found, end in lacking(r, main, at):
        opposite = negated(found)
        if opposite:
            yield opposite, end


def quantity(r: Reader, at: Place) -> Iterator[tuple[tuple[int | None, int | None], Place]]:
    """Yield (least, most) of "more than 3", "at least 2", "no", "exactly 1" at `at`."""
    if end := r.word(at, "no|zero", "not have? any", "not a"):
        yield (None, 0), end
    compared = comparator(r, at)
    count = count_of(r.s.tokens[compared[1]]) if compared and r.s.free(compared[1]) else None
    if compared and count is not None:
        least = {">": count + 1, ">=": count, "=": count}.get(compared[0])
        most = {"<": count - 1, "<=": count, "=": count}.get(compared[0])
        yield (least, most), compared[1] + 1
    elif r.s.free(at) and (count := count_of(r.s.tokens[at])):
        more, less = r.word(at + 1, "or more"), r.word(at + 1, "or fewer|less")
        yield (count if not less else None, count if not more else None), more or less or at + 1


def bare_period(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield a span of time without a column: it means the only time that a row has."""
    if not period_at(r.s, at):
        month = month_at(r.s, r.word(at, "in|since|before|after|during") or at)
        if month:
            r.notes.append(f"{month!r} is in every year; please say which")
        return
    columns = event_columns(main)
    if len(columns) == 1:
        yield from periods(r, Field(relation=main, column=columns[0]), at)
    elif columns:
        r.notes.append(_which(main, [column.name for column in columns], "time"))


def bare_comparison(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield "over 100" without a column: it means the only number that a row has."""
    if not (comparator(r, at) or r.word(at, "between")) or period_at(r.s, at):
        return
    columns = measure_columns(main)
    if len(columns) == 1:
        yield from _number_tests(r, Field(relation=main, column=columns[0]), at)
    elif columns:
        r.notes.append(_which(main, [column.name for column in columns], "number"))


def _which(main: Relation, columns: list[str], kind: str) -> str:
    return f"{main.display_name} has several columns with a {kind} ({', '.join(columns)}); please name the one that you mean"


def modifier(r: Reader, main: Relation, at: Place) -> Conditions:
    """Yield a word before the noun: a label or state, "not" with one, or a value in quotes."""
    opposite = r.word(at, "not|non")
    for found, end in r.labels(opposite or at, main):
        result = negated(found) if opposite else found
        if result is not None:
            yield result, end
            yield from ((result, last) for _, place, last in r.columns(end, main) if _is_about(found, place))


def _is_about(found: Condition, place: Field) -> bool:
    """Return whether a label stands before its own column, as in "high priority orders"."""
    return isinstance(found, Comparison) and found.field == place
