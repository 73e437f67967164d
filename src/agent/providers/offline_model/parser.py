"""Parses a question into a `Query`.

Each step uses up the words that it understands. When words with a meaning are left over, the result is `Unclear`.
"""

from __future__ import annotations

from dataclasses import replace

from agent.providers.offline_model.lexicon import Lexicon
from agent.providers.offline_model.parse_state import (
    NotUnderstood,
    ParseState,
    counted_relation,
    main_relation,
    not_understood,
    start_parse,
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


def parse_question(question: str, lexicon: Lexicon) -> Query | Unclear:
    """Return the query that `question` asks for, or why it is unclear."""
    state = start_parse(question, lexicon)
    try:
        main = main_relation(state)
        if not main.columns:
            return Unclear(reason=f"I do not know the columns of {main.name} yet", need=main)
        query = _assemble(state, main)
        state.check_leftover()
    except NotUnderstood as stop:
        return stop.unclear
    return query


def _assemble(state: ParseState, main: Relation) -> Query:
    groups = groups_of(state, main)
    ranked = state.frame.ranked
    if ranked and ranked.by == "related" and state.of_role("ranked"):
        return ranked_by_related(state, main)
    if ranked and (state.frame.measure or counted_relation(state)):
        return ranked_by_measure(state, main)
    if state.frame.measure or groups:
        _total_as_sum(state)
        return _measured_query(state, main, groups)
    return _listing(state, main)


def _total_as_sum(state: ParseState) -> None:
    """Set the measure to sum in "total per client", where a column is named total."""
    column = next((m for m in state.free_columns() if state.sentence.tokens[m.start].low == "total"), None)
    if column and state.frame.measure is None and not count_or_sum(state, column):
        state.frame = replace(state.frame, measure="sum")


def _measured_query(state: ParseState, main: Relation, groups: tuple[Group, ...]) -> Query:
    function = state.frame.measure or "count"
    measure = Measure(function=function, field=None if function == "count" else measure_field(state, main))
    conditions, related = conditions_of(state, main)
    return Query(main=main, measure=measure, groups=groups, conditions=conditions, related=related)


def _listing(state: ParseState, main: Relation) -> Query:
    ranked = state.frame.ranked
    if ranked:
        return ranked_rows(state, main)
    if state.frame.descending and state.frame.sort_at is None:
        raise not_understood("I do not know what to sort by")
    order = sorting(state, main)
    fields = projection(state, main)
    conditions, related = conditions_of(state, main)
    return Query(main=main, fields=fields, conditions=conditions, related=related, order=order, limit=state.frame.limit)
