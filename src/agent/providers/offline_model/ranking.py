"""Superlatives: "the 5 most expensive products", "which client has the most orders", "top 3 departments by average salary"."""

from __future__ import annotations

from agent.providers.offline_model.join_graph import display
from agent.providers.offline_model.parse_state import Reading, counted_relation, unclear
from agent.providers.offline_model.query import Field, Group, Measure, Order, Query, Related
from agent.providers.offline_model.query_parts import (
    conditions_of,
    groups_of,
    measure_field,
    projection,
    ranking_field,
    whole,
)
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.sentence_frame import default_limit
from agent.providers.offline_model.value_binding import column_of


def ranked_by_related(r: Reading, main: Relation) -> Query:
    """For "which client has the most orders", "the status with the fewest orders"."""
    child, ranked = r.of_role("ranked")[0].relation, r.frame.ranked
    subject = next((e for e in r.of_role("plain") if e.relation.id != child.id), None)
    assert ranked is not None  # noqa: S101  # the caller looked
    if subject is None:
        mention = next((m for m in r.free_columns()), None)
        wanted = column_of(mention.columns, main) if mention else None
        if mention is None or wanted is None or not ranked.descending:
            raise unclear(f"I do not know what has the most {child.name}")
        r.s.use(mention.start, mention.end)
        groups: tuple[Group, ...] = (Group(field=Field(relation=main, column=wanted)),)
        limit = default_limit(r.s, mention)
    else:
        groups = (whole(r, child, subject),)
        limit = default_limit(r.s, subject.mention)
    limit = ranked.limit or limit
    conditions, related = conditions_of(r, child, skip=(subject,) if subject else ())
    if subject and not ranked.descending:
        below = Related(relation=child, conditions=conditions)
        return Query(main=subject.relation, fewest=below, limit=limit)
    return Query(
        main=child, groups=groups, measure=Measure(function="count"), conditions=conditions, related=related,
        order=Order(field=None, descending=True), limit=limit,
    )  # fmt: skip


def ranked_by_measure(r: Reading, main: Relation) -> Query:
    """For "top 5 clients by total order value", "the department with the highest average salary"."""
    ranked, counted = r.frame.ranked, counted_relation(r)
    assert ranked is not None  # noqa: S101  # the caller looked
    function = r.frame.measure or "count"
    plain = [e for e in r.of_role("plain") if e.column is None]
    if function == "count" and counted is None and len(plain) == 2:
        counted = plain[1]
    measured = counted.relation if counted else main
    subject = next((e for e in plain if e.relation.id != measured.id), None)
    if subject is None:
        return _ranked_groups(r, main, groups_of(r, main))
    wanted = None if function == "count" else measure_field(r, measured)
    if function == "count" and counted is None:
        raise unclear(f"I do not know what to count for {subject.relation.name}")
    conditions, related = conditions_of(r, measured, skip=(subject,))
    return Query(
        main=measured, groups=(whole(r, measured, subject),), measure=Measure(function=function, field=wanted),
        conditions=conditions, related=related, order=Order(field=None, descending=ranked.descending),
        limit=ranked.limit or default_limit(r.s, subject.mention),
    )  # fmt: skip


def _ranked_groups(r: Reading, main: Relation, groups: tuple[Group, ...]) -> Query:
    """For "which genre has the highest average price"."""
    ranked, function = r.frame.ranked, r.frame.measure
    assert ranked is not None  # noqa: S101  # the caller looked
    mention = next((m for m in r.free_columns() if m.start < ranked.start), None)
    wanted = column_of(mention.columns, main) if mention and not groups else None
    if mention and wanted:
        r.s.use(mention.start, mention.end)
        groups = (Group(field=Field(relation=main, column=wanted)),)
    if not groups or function is None:
        raise unclear(f"I do not know what of {main.name} to rank")
    measured = None if function == "count" else measure_field(r, main)
    conditions, related = conditions_of(r, main)
    return Query(
        main=main, groups=groups, measure=Measure(function=function, field=measured), conditions=conditions, related=related,
        order=Order(field=None, descending=ranked.descending), limit=ranked.limit or 1,
    )  # fmt: skip


def ranked_rows(r: Reading, main: Relation) -> Query:
    """For "the 5 most expensive products", "latest order", "the employee with the highest salary"."""
    ranked = r.frame.ranked
    assert ranked is not None  # noqa: S101  # the caller looked
    wanted = ranking_field(r, main)
    fields = projection(r, main)
    conditions, related = conditions_of(r, main)
    mention = next((e.mention for e in r.entities if e.relation.id == main.id), None)
    return Query(
        main=main, fields=tuple(dict.fromkeys((*fields, wanted))) if display(main) or fields else (),
        conditions=(*conditions,), related=related, order=Order(field=wanted, descending=ranked.descending),
        limit=ranked.limit or default_limit(r.s, mention),
    )  # fmt: skip
