"""Which column a condition is about: of the relation it stands next to, of the main one, or of one that the main one points at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.providers.offline_model.conditions import Pending
from agent.providers.offline_model.dates import Period
from agent.providers.offline_model.entities import Entity, name_end, named
from agent.providers.offline_model.join_graph import Graph, amount, display, event_time, is_person, place
from agent.providers.offline_model.lexicon import ColumnName, ValueName
from agent.providers.offline_model.query import Compared, Condition, During, Field, Given
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.tokenizer import Sentence

_STATUS = ("status", "state")


def column_of(names: Sequence[ColumnName | ValueName], relation: Relation) -> Column | None:
    """The one column of `relation` among `names`; a whole name wins over a part of one, a status over other labels."""
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
    graph: Graph,
    *,
    at: int,
    end: int | None = None,
    parents: bool = True,
) -> Field | None:
    """The field that `names`, standing at word `at`, mean in a question about `main`; None when that is not clear.

    `parents` allows a relation that was not mentioned, when `main` points at it: not for labels ("paused campaigns" are not those of
    paused clients), nor for what is shown.
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
    """Those that a word may belong to: the one right after it, the nearest before it, then the rest."""
    after = [e for e in entities if end is not None and e.start in (end, end + 1)]
    before = sorted((e for e in entities if e.start < at), key=lambda e: -e.start)
    rest = [e for e in entities if e.start > at and e not in after]
    return [e for e in (*after, *before, *rest) if e.role != "group"]


def bind_pending(pending: Pending, entities: Sequence[Entity], main: Relation, graph: Graph) -> Condition | None:
    """The condition with its column, None when it is not clear which."""
    if pending.period:
        return _bind_period(pending, pending.period, entities, main, graph)
    if pending.values:
        return _bind_label(pending, entities, main, graph)
    if not pending.columns:
        return _bind_measure(pending, entities, main)
    field = bind(pending.columns, entities, main, graph, at=pending.at, end=pending.end)
    if field is None or not _holds(field.column, pending):
        return None
    return _on(field, pending)


def _on(field: Field, pending: Pending) -> Compared:
    value = pending.value
    if field.column.temporal and value and value.number and re.fullmatch(r"(19|20)\d\d", value.text):
        value = None
    label = next((v for v in field.column.values if value and v.lower() == value.text.lower()), None)
    if label is not None:
        value = Given(text=label, number=field.column.numeric)
    return Compared(field=field, comparison=pending.comparison, value=value)


def _holds(column: Column, pending: Pending) -> bool:
    """Whether the comparison makes sense for the column's type."""
    if pending.value is None:
        return True
    if pending.comparison in ("contains", "starts"):
        return column.textual
    if pending.value.number:
        return column.numeric or (column.textual and pending.comparison in ("=", "<>"))
    return pending.comparison in ("=", "<>") and not column.numeric and not column.boolean and not column.temporal


def _bind_label(pending: Pending, entities: Sequence[Entity], main: Relation, graph: Graph) -> Condition | None:
    names: tuple[ColumnName | ValueName, ...] = (*pending.values, *pending.adjectives)
    field = bind(names, entities, main, graph, at=pending.at, end=pending.end, parents=False)
    if field is None:
        return None
    if field.column.boolean:
        return Compared(field=field, comparison=pending.comparison)
    term = next(v for v in pending.values if v.relation.id == field.relation.id and v.column == field.column)
    value = Given(text=term.value, number=field.column.numeric)
    return Compared(field=field, comparison=pending.comparison, value=value, memory=term.memory)


def _bind_measure(pending: Pending, entities: Sequence[Entity], main: Relation) -> Condition | None:
    """For "orders over 100": the nearest relation before it that has one column for amounts."""
    before = sorted((e for e in entities if e.start < pending.at), key=lambda e: -e.start)
    for entity in (*before[:1], None):
        relation = entity.relation if entity else main
        column = (entity.column.column if entity and entity.column else None) or amount(relation)
        if column and column.numeric:
            return Compared(
                field=Field(relation=relation, column=column), comparison=pending.comparison, value=pending.value
            )
    return None


def _bind_period(
    pending: Pending, period: Period, entities: Sequence[Entity], main: Relation, graph: Graph
) -> Condition | None:
    if pending.columns:
        field = bind(pending.columns, entities, main, graph, at=pending.at, end=pending.end)
    else:
        field = _when(period, entities, main)
    if field is None:
        return None
    if field.column.numeric:
        return _in_year(field, period)
    if period.upper == "now()" and pending.columns and "due" in field.column.name:
        return None
    return During(field=field, lower=period.lower, upper=period.upper, text=period.text)


def _when(period: Period, entities: Sequence[Entity], main: Relation) -> Field | None:
    """The column that says when, of the nearest relation before the span of time, else of the main one."""
    before = sorted(
        (e for e in entities if e.start < period.at and e.role not in ("group", "named")), key=lambda e: -e.start
    )
    for relation in (*(e.relation for e in before), main):
        column = event_time(relation) or _year_column(relation)
        if column:
            return Field(relation=relation, column=column)
    return None


def _year_column(relation: Relation) -> Column | None:
    years = [c for c in relation.columns if c.numeric and "year" in c.name.lower()]
    return years[0] if len(years) == 1 else None


def _in_year(field: Field, period: Period) -> Condition | None:
    """A column that holds years, for spans that begin and end with one."""
    bounds = [
        re.fullmatch(r"date '(\d{4})-01-01'", bound).group(1)  # type: ignore[union-attr]  # it matches
        if bound and re.fullmatch(r"date '(\d{4})-01-01'", bound)
        else bound
        for bound in (period.lower, period.upper)
    ]
    if any(bound and not bound.isdigit() for bound in bounds):
        return None
    return During(field=field, lower=bounds[0], upper=bounds[1], text=period.text)


def owner_conditions(s: Sentence, entities: Sequence[Entity], main: Relation, graph: Graph) -> list[Condition]:
    """Names that stand alone: "orders from 'Acme'", "clients in Berlin", "Acme's orders"."""
    found: list[Condition] = []
    for at in range(len(s.tokens)):
        end = name_end(s, at)
        if end == at:
            continue
        before = s.tokens[at - 1].low if at else ""
        nearest = next((e.relation for e in sorted(entities, key=lambda e: -e.start) if e.start < at), main)
        target = _owner(before, nearest, main, graph)
        condition = _named_at(s, target, at, end) if target else None
        if condition:
            found.append(condition)
    return found


def _named_at(s: Sentence, target: Field | Relation, at: int, end: int) -> Condition | None:
    if isinstance(target, Relation):
        return named(s, target, at, end, since=at)
    text = " ".join(token.text for token in s.tokens[at:end])
    s.use(at, end)
    label = next((v for v in target.column.values if v.lower() == text.lower()), text)
    return Compared(field=target, comparison="=", value=Given(text=label))


def _owner(before: str, nearest: Relation, main: Relation, graph: Graph) -> Field | Relation | None:
    """Whose name it is, by the word before it: a place after "in", a parent after "of", the row itself otherwise."""
    if before in ("in", "at"):
        column = place(nearest)
        parents = [p for _, p in graph.parents(nearest) if p.id != nearest.id and display(p) and not is_person(p)]
        if column:
            return Field(relation=nearest, column=column) if not parents else None
        return parents[0] if len(parents) == 1 else None
    parents = [p for _, p in graph.parents(main) if p.id != main.id and display(p)]
    if before in ("of", "for", "from", "by", "to", "did", "does", "has", "have"):
        return parents[0] if len(parents) == 1 else None
    return nearest if display(nearest) else None
