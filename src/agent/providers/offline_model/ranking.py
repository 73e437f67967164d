"""Builds the queries of superlatives: "the 5 most expensive products", "which client has the most orders"."""

from __future__ import annotations

from agent.providers.offline_model.join_graph import display_field
from agent.providers.offline_model.parse_state import ParseState, counted_relation, not_understood
from agent.providers.offline_model.query import Field, Group, Measure, Order, Query, Related
from agent.providers.offline_model.query_parts import (
    conditions_of,
    group_by_row,
    groups_of,
    measure_field,
    projection,
    ranking_field,
)
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.sentence_frame import default_limit
from agent.providers.offline_model.value_binding import column_of


def ranked_by_related(state: ParseState, main: Relation) -> Query:
    """Return the query of "which client has the most orders" or "the status with the fewest orders"."""
    child, ranked = state.of_role("ranked")[0].relation, state.frame.ranked
    subject = next((e for e in state.of_role("plain") if e.relation.id != child.id), None)
    assert ranked is not None  # noqa: S101  # the caller has checked
    if subject is None:
        mention = next((m for m in state.free_columns()), None)
        wanted = column_of(mention.columns, main) if mention else None
        if mention is None or wanted is None or not ranked.descending:
            raise not_understood(f"I do not know what has the most {child.name}")
        state.sentence.use(mention.start, mention.end)
        groups: tuple[Group, ...] = (Group(field=Field(relation=main, column=wanted)),)
        limit = default_limit(state.sentence, mention)
    else:
        groups = (group_by_row(state, child, subject),)
        limit = default_limit(state.sentence, subject.mention)
    limit = ranked.limit or limit
    conditions, related = conditions_of(state, child, skip=(subject,) if subject else ())
    if subject and not ranked.descending:
        below = Related(relation=child, conditions=conditions)
        return Query(main=subject.relation, fewest=below, limit=limit)
    return Query(
        main=child, groups=groups, measure=Measure(function="count"), conditions=conditions, related=related,
        order=Order(field=None, descending=True), limit=limit,
    )  # fmt: skip


def ranked_by_measure(state: ParseState, main: Relation) -> Query:
    """Return the query of "top 5 clients by total order value" or "the department with the highest average salary"."""
    ranked, counted = state.frame.ranked, counted_relation(state)
    assert ranked is not None  # noqa: S101  # the caller has checked
    function = state.frame.measure or "count"
    plain = [e for e in state.of_role("plain") if e.column is None]
    if function == "count" and counted is None and len(plain) == 2:
        counted = plain[1]
    measured = counted.relation if counted else main
    subject = next((e for e in plain if e.relation.id != measured.id), None)
    if subject is None:
        return _ranked_groups(state, main, groups_of(state, main))
    wanted = None if function == "count" else measure_field(state, measured)
    if function == "count" and counted is None:
        raise not_understood(f"I do not know what to count for {subject.relation.name}")
    conditions, related = conditions_of(state, measured, skip=(subject,))
    return Query(
        main=measured, groups=(group_by_row(state, measured, subject),), measure=Measure(function=function, field=wanted),
        conditions=conditions, related=related, order=Order(field=None, descending=ranked.descending),
        limit=ranked.limit or default_limit(state.sentence, subject.mention),
    )  # fmt: skip


def _ranked_groups(state: ParseState, main: Relation, groups: tuple[Group, ...]) -> Query:
    """Return the query of "which genre has the highest average price"."""
    ranked, function = state.frame.ranked, state.frame.measure
    assert ranked is not None  # noqa: S101  # the caller has checked
    mention = next((m for m in state.free_columns() if m.start < ranked.start), None)
    wanted = column_of(mention.columns, main) if mention and not groups else None
    if mention and wanted:
        state.sentence.use(mention.start, mention.end)
        groups = (Group(field=Field(relation=main, column=wanted)),)
    if not groups or function is None:
        raise not_understood(f"I do not know what of {main.name} to rank")
    measured = None if function == "count" else measure_field(state, main)
    conditions, related = conditions_of(state, main)
    return Query(
        main=main, groups=groups, measure=Measure(function=function, field=measured), conditions=conditions, related=related,
        order=Order(field=None, descending=ranked.descending), limit=ranked.limit or 1,
    )  # fmt: skip


def ranked_rows(state: ParseState, main: Relation) -> Query:
    """Return the query of "the 5 most expensive products", "latest order" or "the employee with the highest salary"."""
    ranked = state.frame.ranked
    assert ranked is not None  # noqa: S101  # the caller has checked
    wanted = ranking_field(state, main)
    fields = projection(state, main)
    conditions, related = conditions_of(state, main)
    mention = next((e.mention for e in state.entities if e.relation.id == main.id), None)
    return Query(
        main=main, fields=tuple(dict.fromkeys((*fields, wanted))) if display_field(main) or fields else (),
        conditions=(*conditions,), related=related, order=Order(field=wanted, descending=ranked.descending),
        limit=ranked.limit or default_limit(state.sentence, mention),
    )  # fmt: skip
