"""Chooses the column of each condition: of the relation next to it, of the main one, or of one that the main one refers to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.providers.offline_model.conditions import PendingCondition
from agent.providers.offline_model.dates import Period
from agent.providers.offline_model.entities import Entity, name_end, row_named
from agent.providers.offline_model.join_graph import (
    JoinGraph,
    amount_column,
    display_field,
    event_time_column,
    is_person,
    place_column,
)
from agent.providers.offline_model.lexicon import ColumnName, ValueName
from agent.providers.offline_model.query import Comparison, Condition, Field, LiteralValue, TimeRange
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.tokenizer import Sentence

_STATUS = ("status", "state")


def column_of(names: Sequence[ColumnName | ValueName], relation: Relation) -> Column | None:
    """Return the one column of `relation` among `names`. Whole names win over parts of names, a status over other labels."""
    own = [name for name in names if name.relation.id == relation.id]
    full = [name for name in own if not (isinstance(name, ColumnName) and name.short)]
    columns = list(dict.fromkeys(name.column for name in (full or own)))
    if len(columns) > 1:
        columns = [column for column in columns if column.name in _STATUS] or columns
    return columns[0] if len(columns) == 1 else None


def bind(
    names: Sequence[ColumnName | ValueName],
    entities: Sequence[Entity],
    main: Relation,
    graph: JoinGraph,
    *,
    at: int,
    end: int | None = None,
    parents: bool = True,
) -> Field | None:
    """Return the field that `names`, at word `at`, mean in a question about `main`, or None when that is not clear.

    With `parents` it may be a column of a relation that is not mentioned but that `main` refers to. That is wrong for labels
    ("paused campaigns" are not those of paused clients) and for listed fields.
    """
    for entity in _by_nearness(entities, main, at=at, end=end):
        if column := column_of(names, entity.relation):
            return Field(relation=entity.relation, column=column, via=entity.via)
    if column := column_of(names, main):
        return Field(relation=main, column=column)
    if not parents:
        return None
    above = [
        Field(relation=parent, column=column, via=key)
        for key, parent in graph.parents(main)
        if (column := column_of(names, parent))
    ]
    return above[0] if len(above) == 1 else None


def _by_nearness(entities: Sequence[Entity], main: Relation, *, at: int, end: int | None) -> list[Entity]:
    """Return the entities that a word may belong to: right after it, before it from the nearest on, then the rest."""
    after = [e for e in entities if end is not None and e.start in (end, end + 1)]
    before = sorted((e for e in entities if e.start < at), key=lambda e: -e.start)
    rest = [e for e in entities if e.start > at and e not in after]
    return [e for e in (*after, *before, *rest) if e.role != "group"]


def bind_pending(
    pending: PendingCondition, entities: Sequence[Entity], main: Relation, graph: JoinGraph
) -> Condition | None:
    """Return the condition with its column, or None when the column is not clear."""
    if pending.period:
        return _bind_period(pending, pending.period, entities, main, graph)
    if pending.values:
        return _bind_label(pending, entities, main, graph)
    if not pending.columns:
        return _bind_measure(pending, entities, main)
    field = bind(pending.columns, entities, main, graph, at=pending.at, end=pending.end)
    if field is None or not _fits_type(field.column, pending):
        return None
    return _comparison_on(field, pending)


def _comparison_on(field: Field, pending: PendingCondition) -> Comparison:
    value = pending.value
    if field.column.temporal and value and value.number and re.fullmatch(r"(19|20)\d\d", value.text):
        value = None
    label = next((v for v in field.column.values if value and v.lower() == value.text.lower()), None)
    if label is not None:
        value = LiteralValue(text=label, number=field.column.numeric)
    return Comparison(field=field, operator=pending.operator, value=value)


def _fits_type(column: Column, pending: PendingCondition) -> bool:
    """Return whether the comparison makes sense for the column's type."""
    if pending.value is None:
        return True
    if pending.operator in ("contains", "starts"):
        return column.textual
    if pending.value.number:
        return column.numeric or (column.textual and pending.operator in ("=", "<>"))
    return pending.operator in ("=", "<>") and not column.numeric and not column.boolean and not column.temporal


def _bind_label(
    pending: PendingCondition, entities: Sequence[Entity], main: Relation, graph: JoinGraph
) -> Condition | None:
    names: tuple[ColumnName | ValueName, ...] = (*pending.values, *pending.adjectives)
    field = bind(names, entities, main, graph, at=pending.at, end=pending.end, parents=False)
    if field is None:
        return None
    if field.column.boolean:
        return Comparison(field=field, operator=pending.operator)
    term = next(v for v in pending.values if v.relation.id == field.relation.id and v.column == field.column)
    value = LiteralValue(text=term.value, number=field.column.numeric)
    return Comparison(field=field, operator=pending.operator, value=value, memory=term.memory)


def _bind_measure(pending: PendingCondition, entities: Sequence[Entity], main: Relation) -> Condition | None:
    """Bind "over 100" in "orders over 100" to the amount of the nearest relation before it, else of the main one."""
    before = sorted((e for e in entities if e.start < pending.at), key=lambda e: -e.start)
    for entity in (*before[:1], None):
        relation = entity.relation if entity else main
        column = (entity.column.column if entity and entity.column else None) or amount_column(relation)
        if column and column.numeric:
            return Comparison(
                field=Field(relation=relation, column=column), operator=pending.operator, value=pending.value
            )
    return None


def _bind_period(
    pending: PendingCondition, period: Period, entities: Sequence[Entity], main: Relation, graph: JoinGraph
) -> Condition | None:
    if pending.columns:
        field = bind(pending.columns, entities, main, graph, at=pending.at, end=pending.end)
    else:
        field = _time_field(period, entities, main)
    if field is None:
        return None
    if field.column.numeric:
        return _in_year(field, period)
    if period.upper == "now()" and pending.columns and "due" in field.column.name:
        return None
    return TimeRange(field=field, lower=period.lower, upper=period.upper, text=period.text)


def _time_field(period: Period, entities: Sequence[Entity], main: Relation) -> Field | None:
    """Return the time column of the nearest relation before the span of time, else of the main one."""
    before = sorted(
        (e for e in entities if e.start < period.at and e.role not in ("group", "named")), key=lambda e: -e.start
    )
    for relation in (*(e.relation for e in before), main):
        column = event_time_column(relation) or _year_column(relation)
        if column:
            return Field(relation=relation, column=column)
    return None


def _year_column(relation: Relation) -> Column | None:
    years = [c for c in relation.columns if c.numeric and "year" in c.name.lower()]
    return years[0] if len(years) == 1 else None


def _in_year(field: Field, period: Period) -> Condition | None:
    """Return the condition on a column of years, for spans whose bounds are starts of years."""
    bounds = [
        re.fullmatch(r"date '(\d{4})-01-01'", bound).group(1)  # type: ignore[union-attr]  # it matches
        if bound and re.fullmatch(r"date '(\d{4})-01-01'", bound)
        else bound
        for bound in (period.lower, period.upper)
    ]
    if any(bound and not bound.isdigit() for bound in bounds):
        return None
    return TimeRange(field=field, lower=bounds[0], upper=bounds[1], text=period.text)


def owner_conditions(s: Sentence, entities: Sequence[Entity], main: Relation, graph: JoinGraph) -> list[Condition]:
    """Return the conditions of names that stand alone: "orders from 'Acme'", "clients in Berlin", "Acme's orders"."""
    conditions: list[Condition] = []
    for at in range(len(s.tokens)):
        end = name_end(s, at)
        if end == at:
            continue
        before = s.tokens[at - 1].low if at else ""
        nearest = next((e.relation for e in sorted(entities, key=lambda e: -e.start) if e.start < at), main)
        target = _owner(before, nearest, main, graph)
        condition = _name_condition(s, target, at, end) if target else None
        if condition:
            conditions.append(condition)
    return conditions


def _name_condition(s: Sentence, target: Field | Relation, at: int, end: int) -> Condition | None:
    if isinstance(target, Relation):
        return row_named(s, target, at, end, since=at)
    text = " ".join(token.text for token in s.tokens[at:end])
    s.use(at, end)
    label = next((v for v in target.column.values if v.lower() == text.lower()), text)
    return Comparison(field=target, operator="=", value=LiteralValue(text=label))


def _owner(before: str, nearest: Relation, main: Relation, graph: JoinGraph) -> Field | Relation | None:
    """Return whose name it is, by the word before it: a place after "in", a parent after "of", otherwise the row itself."""
    if before in ("in", "at"):
        column = place_column(nearest)
        parents = [p for _, p in graph.parents(nearest) if p.id != nearest.id and display_field(p) and not is_person(p)]
        if column:
            return Field(relation=nearest, column=column) if not parents else None
        return parents[0] if len(parents) == 1 else None
    parents = [p for _, p in graph.parents(main) if p.id != main.id and display_field(p)]
    if before in ("of", "for", "from", "by", "to", "did", "does", "has", "have"):
        return parents[0] if len(parents) == 1 else None
    return nearest if display_field(nearest) else None
