"""Builds the parts of a query from a parse state: measure, fields, groups, order and conditions."""

from __future__ import annotations

from collections.abc import Iterable

from agent.providers.offline_model.entities import Entity
from agent.providers.offline_model.join_graph import (
    amount_column,
    birth_column,
    display_field,
    event_time_column,
    is_person,
)
from agent.providers.offline_model.lexicon import Mention
from agent.providers.offline_model.parse_state import ParseState, counted_relation, not_understood
from agent.providers.offline_model.query import Condition, Field, Group, Order, Related
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.value_binding import bind, bind_pending, column_of, owner_conditions


def measure_field(state: ParseState, main: Relation) -> Field:
    """Return the field that the measure is computed from. Raises `NotUnderstood`."""
    for entity in state.entities:
        if entity.column and entity.relation.id == main.id and entity.column.column.numeric and entity.role == "plain":
            return Field(relation=main, column=entity.column.column)
    for mention in state.free_columns():
        column = next((c.column for c in mention.columns if c.relation.id == main.id and c.column.numeric), None)
        if column:
            state.sentence.use(mention.start, mention.end)
            return Field(relation=main, column=column)
    if state.free_columns():
        raise not_understood(f"I do not know what to compute of {main.name}")
    return Field(relation=main, column=amount_of(state, main))


def amount_of(state: ParseState, main: Relation, *, prices: bool = False) -> Column:
    """Return the column with the worth of a row of `main`, and mark the words for it as used. Raises `NotUnderstood`."""
    column = amount_column(main, prices=prices)
    if column is None:
        raise not_understood(f"I do not know which column of {main.name} says how much; please name it")
    state.sentence.take("revenue|sales|spend|spent|spending|turnover|worth|money|earned|amount|valuable")
    return column


def ranking_field(state: ParseState, main: Relation) -> Field:
    """Return the field that the superlative ranks by. Raises `NotUnderstood`."""
    ranked = state.frame.ranked
    assert ranked is not None  # noqa: S101  # the caller has checked
    if ranked.by in ("time", "age"):
        column = _time_column(main, by_age=ranked.by == "age")
        if column is None:
            raise not_understood(f"I do not know which column of {main.name} says when; please name it")
        return Field(relation=main, column=column)
    if ranked.by == "price":
        return Field(relation=main, column=amount_of(state, main, prices=True))
    near = [m for m in state.free_columns() if m.start >= ranked.end]
    for mention in near:
        column = column_of(mention.columns, main)
        if column and (column.numeric or column.temporal):
            state.sentence.use(mention.start, mention.end)
            return Field(relation=main, column=column)
    for entity in state.entities:
        if entity.column and entity.relation.id == main.id and entity.column.column.numeric:
            return Field(relation=main, column=entity.column.column)
    if near or ranked.by in ("related", "length"):
        raise not_understood(f"I do not know what to rank {main.name} by")
    return Field(relation=main, column=amount_of(state, main))


def _time_column(main: Relation, *, by_age: bool) -> Column | None:
    if by_age and is_person(main):
        return birth_column(main)
    return event_time_column(main)


def sorting(state: ParseState, main: Relation) -> Order | None:
    """Return the order that "sorted by" asks for, or None. Raises `NotUnderstood`."""
    at = state.frame.sort_at
    if at is None:
        return None
    mention = next((m for m in state.mentions if m.start == at), None)
    column = column_of(mention.columns, main) if mention else None
    if column is None:
        raise not_understood(f"I do not know what to sort {main.name} by")
    return Order(field=Field(relation=main, column=column), descending=state.frame.descending)


def projection(state: ParseState, main: Relation) -> tuple[Field, ...]:
    """Return the fields that the question lists: "names and emails", "with the client name", "with their client".

    Raises `NotUnderstood`.
    """
    wanted: list[tuple[int, Field]] = []
    for mention in state.free_columns():
        listed = bind(mention.columns, state.entities, main, state.graph, at=mention.start, parents=False)
        if listed is None or count_or_sum(state, mention):
            words = " ".join(token.text for token in state.sentence.tokens[mention.start : mention.end])
            raise not_understood(f"I do not know which column {words!r} means")
        state.sentence.use(mention.start, mention.end)
        wanted.append((mention.start, listed))
    for entity in state.entities:
        if entity.column and entity.role in ("plain", "named"):
            field_ = Field(relation=entity.relation, column=entity.column.column, via=entity.via)
            name = display_field(entity.relation, via=entity.via)
            is_name = name and entity.column.short and name.column is field_.column
            wanted.append((entity.start, name if name and is_name else field_))
        elif _is_listed_parent(state, entity, main) and (name := display_field(entity.relation, via=entity.via)):
            wanted.append((entity.start, name))
    fields = [field_ for _, field_ in sorted(wanted, key=lambda pair: pair[0])]
    if fields and all(f.relation.id != main.id for f in fields) and not state.of_role("named"):
        own = display_field(main)
        keys = [Field(relation=main, column=c) for c in main.columns if c.readable and not main.is_link(c)][:5]
        fields = [*([own] if own else keys), *fields]
    return tuple(fields)


def count_or_sum(state: ParseState, mention: Mention) -> bool:
    """Return whether "total orders" is ambiguous: it may count the rows or add up a column total."""
    total = state.sentence.tokens[mention.start].low == "total"
    return total and any(e.start == mention.end and not e.column for e in state.entities)


def _is_listed_parent(state: ParseState, entity: Entity, main: Relation) -> bool:
    """Return whether `entity` is a parent without a condition, as in "orders with their clients"."""
    if entity.role != "plain" or entity.column or entity.relation.id == main.id:
        return False
    path = state.graph.path(main, entity.relation, via=entity.via)
    return bool(path) and all(step.up for step in path or ())


def groups_of(state: ParseState, main: Relation) -> tuple[Group, ...]:
    """Return what the question groups by, in its order. Raises `NotUnderstood`."""
    groups: list[tuple[int, Group]] = []
    for at, group in state.groups:
        if isinstance(group, str):
            column = event_time_column(main)
            if column is None:
                raise not_understood(f"I do not know which column of {main.name} says when; please name it")
            groups.append((at, Group(field=Field(relation=main, column=column), unit=group)))
        else:
            field_ = bind(group.columns, state.entities, main, state.graph, at=group.start)
            if field_ is None:
                raise not_understood("I do not know what to group by")
            groups.append((at, Group(field=field_)))
    groups += [
        (e.start, group_by_row(state, main, e))
        for e in state.of_role("group")
        if not (state.frame.ranked and e is counted_relation(state))
    ]
    return tuple(group for _, group in sorted(groups, key=lambda pair: pair[0]))


def group_by_row(state: ParseState, main: Relation, entity: Entity) -> Group:
    """Return a group for each row of `entity`, labelled with its name or with the column that the question names."""
    if entity.column:
        name = display_field(entity.relation, via=entity.via)
        if name is None or name.column is not entity.column.column:
            return Group(field=Field(relation=entity.relation, column=entity.column.column, via=entity.via))
    field_ = display_field(entity.relation, via=entity.via)
    if field_ is None:
        key = entity.relation.column(entity.relation.key[0]) if entity.relation.key else None
        if key is None:
            raise not_understood(f"I do not know how to tell the rows of {entity.relation.name} apart")
        field_ = Field(relation=entity.relation, column=key, via=entity.via)
    if state.graph.path(main, entity.relation, via=entity.via) is None:
        raise not_understood(f"I do not see how {main.name} and {entity.relation.name} are connected")
    return Group(field=field_, whole=True)


def conditions_of(
    state: ParseState, main: Relation, *, skip: Iterable[Entity] = ()
) -> tuple[tuple[Condition, ...], tuple[Related, ...]]:
    """Return the conditions with their columns, and those on rows below the main relation as `Related`.

    Raises `NotUnderstood`.
    """
    flat: list[Condition] = []
    for pending in state.pending:
        condition = bind_pending(pending, state.entities, main, state.graph)
        if condition is None:
            words = " ".join(t.text for t in state.sentence.tokens[pending.at : max(pending.end, pending.at + 1)])
            raise not_understood(f"I do not know which column {words!r} is about")
        flat.append(condition)
    flat += [e.reference for e in state.entities if e.reference]
    flat += owner_conditions(state.sentence, state.entities, main, state.graph)
    below = {
        e.relation.id: e for e in state.entities if _is_below(state, main, e) and e not in skip and e.role != "group"
    }
    related = []
    for entity in below.values():
        own = tuple(c for c in flat if c.field.relation.id == entity.relation.id)
        flat = [c for c in flat if c.field.relation.id != entity.relation.id]
        least = entity.least if entity.role in ("counted", "none") else 1
        related.append(Related(relation=entity.relation, least=least, most=entity.most, conditions=own))
    return tuple(flat), tuple(related)


def _is_below(state: ParseState, main: Relation, entity: Entity) -> bool:
    if entity.relation.id == main.id:
        return False
    path = state.graph.path(main, entity.relation, via=entity.via)
    if path is None:
        raise not_understood(f"I do not see how {main.name} and {entity.relation.name} are connected")
    if entity.role in ("none", "counted") and all(step.up for step in path):
        raise not_understood(f"each row of {main.name} has at most one of {entity.relation.name}")
    return not all(step.up for step in path)
