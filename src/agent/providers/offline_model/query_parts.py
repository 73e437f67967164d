"""The parts of a query that a reading gives: what is measured, shown, grouped, sorted and required."""

from __future__ import annotations

from collections.abc import Iterable

from agent.providers.offline_model.entities import Entity
from agent.providers.offline_model.join_graph import amount, birth, display, event_time, is_person
from agent.providers.offline_model.lexicon import Mention
from agent.providers.offline_model.parse_state import Reading, counted_relation, unclear
from agent.providers.offline_model.query import Condition, Field, Group, Order, Related
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.value_binding import bind, bind_pending, column_of, owner_conditions


def measure_field(r: Reading, main: Relation) -> Field:
    for entity in r.entities:
        if entity.column and entity.relation.id == main.id and entity.column.column.numeric and entity.role == "plain":
            return Field(relation=main, column=entity.column.column)
    for mention in r.free_columns():
        column = next((c.column for c in mention.columns if c.relation.id == main.id and c.column.numeric), None)
        if column:
            r.s.use(mention.start, mention.end)
            return Field(relation=main, column=column)
    if r.free_columns():
        raise unclear(f"I do not know what to compute of {main.name}")
    return Field(relation=main, column=amount_of(r, main))


def amount_of(r: Reading, main: Relation, *, prices: bool = False) -> Column:
    column = amount(main, prices=prices)
    if column is None:
        raise unclear(f"I do not know which column of {main.name} says how much; please name it")
    r.s.take("revenue|sales|spend|spent|spending|turnover|worth|money|earned|amount|valuable")
    return column


def ranking_field(r: Reading, main: Relation) -> Field:
    ranked = r.frame.ranked
    assert ranked is not None  # noqa: S101  # the caller looked
    if ranked.by in ("time", "age"):
        column = _time_column(main, by_age=ranked.by == "age")
        if column is None:
            raise unclear(f"I do not know which column of {main.name} says when; please name it")
        return Field(relation=main, column=column)
    if ranked.by == "price":
        return Field(relation=main, column=amount_of(r, main, prices=True))
    near = [m for m in r.free_columns() if m.start >= ranked.end]
    for mention in near:
        column = column_of(mention.columns, main)
        if column and (column.numeric or column.temporal):
            r.s.use(mention.start, mention.end)
            return Field(relation=main, column=column)
    compound = next((e for e in r.entities if e.column and e.relation.id == main.id and e.column.column.numeric), None)
    if compound and compound.column:
        return Field(relation=main, column=compound.column.column)
    if near or ranked.by in ("related", "length"):
        raise unclear(f"I do not know what the most of {main.name} means")
    return Field(relation=main, column=amount_of(r, main))


def _time_column(main: Relation, *, by_age: bool) -> Column | None:
    if by_age and is_person(main):
        return birth(main)
    return event_time(main)


def sorting(r: Reading, main: Relation) -> Order | None:
    at = r.frame.sort_at
    if at is None:
        return None
    mention = next((m for m in r.mentions if m.start == at), None)
    column = column_of(mention.columns, main) if mention else None
    if column is None:
        raise unclear(f"I do not know what to sort {main.name} by")
    return Order(field=Field(relation=main, column=column), descending=r.frame.descending)


def projection(r: Reading, main: Relation) -> tuple[Field, ...]:
    """The columns that are asked for: "names and emails", "with the client name", "with their client"."""
    wanted: list[tuple[int, Field]] = []
    for mention in r.free_columns():
        found = bind(mention.columns, r.entities, main, r.graph, at=mention.start, parents=False)
        if found is None or count_or_sum(r, mention):
            raise unclear(
                f"I do not know whose {' '.join(t.text for t in r.s.tokens[mention.start : mention.end])} is meant"
            )
        r.s.use(mention.start, mention.end)
        wanted.append((mention.start, found))
    for entity in r.entities:
        if entity.column and entity.role in ("plain", "named"):
            field_ = Field(relation=entity.relation, column=entity.column.column, via=entity.via)
            shown = display(entity.relation, via=entity.via)
            wanted.append(
                (entity.start, shown if shown and entity.column.short and shown.column is field_.column else field_)
            )
        elif _shown_along(r, entity, main) and (shown := display(entity.relation, via=entity.via)):
            wanted.append((entity.start, shown))
    fields = [found for _, found in sorted(wanted, key=lambda pair: pair[0])]
    if fields and all(f.relation.id != main.id for f in fields) and not r.of_role("named"):
        own = display(main)
        keys = [Field(relation=main, column=c) for c in main.columns if c.readable and not main.is_link(c)][:5]
        fields = [*([own] if own else keys), *fields]
    return tuple(fields)


def count_or_sum(r: Reading, mention: Mention) -> bool:
    """For "total orders" of a table with a column total: how many, or how much?"""
    total = r.s.tokens[mention.start].low == "total"
    return total and any(e.start == mention.end and not e.column for e in r.entities)


def _shown_along(r: Reading, entity: Entity, main: Relation) -> bool:
    """For "orders with their clients": a parent that stands there without any condition."""
    if entity.role != "plain" or entity.column or entity.relation.id == main.id:
        return False
    path = r.graph.path(main, entity.relation, via=entity.via)
    return bool(path) and all(step.up for step in path or ())


def groups_of(r: Reading, main: Relation) -> tuple[Group, ...]:
    groups: list[tuple[int, Group]] = []
    for at, what in r.groups:
        if isinstance(what, str):
            column = event_time(main)
            if column is None:
                raise unclear(f"I do not know which column of {main.name} says when; please name it")
            groups.append((at, Group(field=Field(relation=main, column=column), unit=what)))
        else:
            found = bind(what.columns, r.entities, main, r.graph, at=what.start)
            if found is None:
                raise unclear("I do not know what to group by")
            groups.append((at, Group(field=found)))
    groups += [
        (e.start, whole(r, main, e)) for e in r.of_role("group") if not (r.frame.ranked and e is counted_relation(r))
    ]
    return tuple(group for _, group in sorted(groups, key=lambda pair: pair[0]))


def whole(r: Reading, main: Relation, entity: Entity) -> Group:
    """One line for each row of `entity`, shown by its name, or by the column that was said."""
    if entity.column:
        shown = display(entity.relation, via=entity.via)
        if shown is None or shown.column is not entity.column.column:
            return Group(field=Field(relation=entity.relation, column=entity.column.column, via=entity.via))
    field_ = display(entity.relation, via=entity.via)
    if field_ is None:
        key = entity.relation.column(entity.relation.key[0]) if entity.relation.key else None
        if key is None:
            raise unclear(f"I do not know how to tell the rows of {entity.relation.name} apart")
        field_ = Field(relation=entity.relation, column=key, via=entity.via)
    if r.graph.path(main, entity.relation, via=entity.via) is None:
        raise unclear(f"I do not see how {main.name} and {entity.relation.name} hang together")
    return Group(field=field_, whole=True)


def conditions_of(
    r: Reading, main: Relation, *, skip: Iterable[Entity] = ()
) -> tuple[tuple[Condition, ...], tuple[Related, ...]]:
    """Every condition with its column; those on rows that hang below the main relation together, as `Related`."""
    flat: list[Condition] = []
    for pending in r.pending:
        condition = bind_pending(pending, r.entities, main, r.graph)
        if condition is None:
            words = " ".join(t.text for t in r.s.tokens[pending.at : max(pending.end, pending.at + 1)])
            raise unclear(f"I do not know which column {words!r} is about")
        flat.append(condition)
    flat += [e.reference for e in r.entities if e.reference]
    flat += owner_conditions(r.s, r.entities, main, r.graph)
    below = {e.relation.id: e for e in r.entities if _is_below(r, main, e) and e not in skip and e.role != "group"}
    related = []
    for entity in below.values():
        own = tuple(c for c in flat if c.field.relation.id == entity.relation.id)
        flat = [c for c in flat if c.field.relation.id != entity.relation.id]
        least = entity.least if entity.role in ("counted", "none") else 1
        related.append(Related(relation=entity.relation, least=least, most=entity.most, conditions=own))
    return tuple(flat), tuple(related)


def _is_below(r: Reading, main: Relation, entity: Entity) -> bool:
    if entity.relation.id == main.id:
        return False
    path = r.graph.path(main, entity.relation, via=entity.via)
    if path is None:
        raise unclear(f"I do not see how {main.name} and {entity.relation.name} hang together")
    if entity.role in ("none", "counted") and all(step.up for step in path):
        raise unclear(f"each row of {main.name} has at most one of {entity.relation.name}")
    return not all(step.up for step in path)
