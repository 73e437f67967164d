"""From a question to a `Query`: who is asked about, under which conditions, and what of it.

Every step uses up the words that it understands. Words with a meaning that are left over make the answer `Unclear`: to say that one does
not understand is better than a number that answers another question.
"""

from __future__ import annotations

from dataclasses import replace

from agent.providers.offline_model.lexicon import Lexicon
from agent.providers.offline_model.parse_state import (
    NotUnderstood,
    Reading,
    counted_relation,
    main_relation,
    start_reading,
    unclear,
)
from agent.providers.offline_model.query import Group, Measure, Query, Unclear
from agent.providers.offline_model.query_parts import (
    conditions_of,
    count_or_sum,
    groups_of,
    measure_field,
    projection,
    sorting,
)
from agent.providers.offline_model.ranking import ranked_by_measure, ranked_by_related, ranked_rows
from agent.providers.offline_model.schema_parser import Relation


def read(question: str, lexicon: Lexicon) -> Query | Unclear:
    """The query that `question` asks, or why it is not understood."""
    r = start_reading(question, lexicon)
    try:
        main = main_relation(r)
        if not main.columns:
            return Unclear(reason=f"I do not know the columns of {main.name} yet", need=main)
        query = _assemble(r, main)
    except NotUnderstood as stop:
        return stop.unclear
    left = r.s.leftover()
    if left:
        return Unclear(reason="I do not understand " + ", ".join(repr(word) for word in left), unknown=tuple(left))
    return query


def _assemble(r: Reading, main: Relation) -> Query:
    groups = groups_of(r, main)
    ranked = r.frame.ranked
    if ranked and ranked.by == "related" and r.of_role("ranked"):
        return ranked_by_related(r, main)
    if ranked and (r.frame.measure or counted_relation(r)):
        return ranked_by_measure(r, main)
    if r.frame.measure or groups:
        r = _total_as_sum(r)
        return _measured_query(r, main, groups)
    return _listing(r, main)


def _total_as_sum(r: Reading) -> Reading:
    """For "total per client": with groups, a column named total is added up."""
    column = next((m for m in r.free_columns() if r.s.tokens[m.start].low == "total"), None)
    if column and r.frame.measure is None and not count_or_sum(r, column):
        r.frame = replace(r.frame, measure="sum")
    return r


def _measured_query(r: Reading, main: Relation, groups: tuple[Group, ...]) -> Query:
    function = r.frame.measure or "count"
    measure = Measure(function=function, field=None if function == "count" else measure_field(r, main))
    conditions, related = conditions_of(r, main)
    return Query(main=main, measure=measure, groups=groups, conditions=conditions, related=related)


def _listing(r: Reading, main: Relation) -> Query:
    ranked = r.frame.ranked
    if ranked:
        return ranked_rows(r, main)
    if r.frame.descending and r.frame.sort_at is None:
        raise unclear("I do not know what to sort by")
    order = sorting(r, main)
    fields = projection(r, main)
    conditions, related = conditions_of(r, main)
    return Query(main=main, fields=fields, conditions=conditions, related=related, order=order, limit=r.frame.limit)
