"""Understands questions that depend on the one before: "and only the active ones?", "how many of those?", "what about invoices?".

The earlier questions are parsed again, so the model keeps no state and the same conversation always means the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.providers.offline_model import parse_state, parser, query_parts
from agent.providers.offline_model.join_graph import event_time_column
from agent.providers.offline_model.lexicon import Lexicon
from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Field,
    Measure,
    Order,
    Query,
    Related,
    TimeRange,
    Unclear,
)
from agent.providers.offline_model.schema_parser import Relation

_CUE = re.compile(
    r"^\W*(?:ok(?:ay)?,? )?(?:(?P<about>(?:and |but )?(?:what|how) about)|and|but|only|just|now|(?:which|how many|who) (?:of|are)|their)\b",
    re.I,
)
_PRONOUN = re.compile(r"\b(?:those|them|these|they|their|ones?|it)\b", re.I)
_CUE_WORDS = ("and|but", "what|how about", "only|just|now", "those|them|these|they|their|one|ones|it|same")
_MOST_QUESTIONS = 6  # questions that are parsed, the last one included


def understand(questions: Sequence[str], lexicon: Lexicon) -> Query | Unclear:
    """Return what the last of `questions` asks, given the ones before it."""
    before: Query | None = None
    result: Query | Unclear = Unclear(reason="there is no question")
    for question in questions[-_MOST_QUESTIONS:]:
        result = _understand_next(question, before, lexicon)
        before = result if isinstance(result, Query) else before
    return result


def _understand_next(question: str, before: Query | None, lexicon: Lexicon) -> Query | Unclear:
    cue = _CUE.match(question)
    depends = bool(cue or _PRONOUN.search(question))
    if before is None or not depends:
        standalone = parser.parse_question(question, lexicon)
        if before is None or isinstance(standalone, Query):
            return standalone
        followup = _followup(question, before, lexicon, about=False)
        return followup if isinstance(followup, Query) else standalone
    followup = _followup(question, before, lexicon, about=bool(cue and cue["about"]))
    if isinstance(followup, Query):
        return followup
    standalone = parser.parse_question(question, lexicon)
    return standalone if isinstance(standalone, Query) and not _points_back(question) else followup


def _points_back(question: str) -> bool:
    return bool(re.search(r"\b(?:of|for) (?:those|them|these)\b", question, re.I))


def _followup(question: str, before: Query, lexicon: Lexicon, *, about: bool) -> Query | Unclear:
    """Return `before`, changed as `question` says; `about` allows another relation ("what about invoices?")."""
    state = parse_state.start_parse(question, lexicon)
    for words in _CUE_WORDS:
        while state.sentence.take(words):
            pass
    plain = [e for e in state.of_role("plain") if e.column is None]
    try:
        if plain and plain[0].relation.id != before.main.id:
            moves = about and len(state.entities) == 1
            changed = _about_other_relation(before, plain[0].relation, state) if moves else None
        else:
            changed = _changed_query(before, state)
        state.check_leftover()
    except parse_state.NotUnderstood as stop:
        return stop.unclear
    return changed or Unclear(reason="I do not see what that refers to")


def _changed_query(before: Query, state: parse_state.ParseState) -> Query | None:
    main = before.main
    groups = query_parts.groups_of(state, main)
    query = before
    measure = state.frame.measure
    if before.fewest and (measure or groups or state.pending):
        return None
    if before.limit and (measure or groups):
        return None  # the count for "how many of those" after "top 5" would ignore the limit
    has_total = any(state.sentence.tokens[m.start].low == "total" for m in state.free_columns())
    if query.measure and not measure and has_total:
        measure = "sum"
    if measure:
        field = None if measure == "count" else query_parts.measure_field(state, main)
        query = replace(query, measure=Measure(function=measure, field=field), fields=(), groups=(), order=None)
    if groups:
        query = replace(query, measure=query.measure or Measure(function="count"), groups=groups, fields=(), order=None)
    if state.frame.ranked and not query.measure:
        field = query_parts.ranking_field(state, main)
        limit = state.frame.ranked.limit or 1
        query = replace(query, order=Order(field=field, descending=state.frame.ranked.descending), limit=limit)
    if not query.measure and state.free_columns():
        query = replace(query, fields=query_parts.projection(state, main))
    if order := query_parts.sorting(state, main):
        query = replace(query, order=order)
    conditions, related = query_parts.conditions_of(state, main)
    changed = _with_conditions(query, conditions, related)
    return changed if changed != before or _asks_again(state) else None


def _asks_again(state: parse_state.ParseState) -> bool:
    """Return whether the question has a measure: "how many are there?" after a count is the same question."""
    return state.frame.measure is not None


def _with_conditions(query: Query, conditions: Sequence[Condition], related: Sequence[Related]) -> Query:
    """Add conditions; they replace those on the same column."""
    columns = {_subject(c) for c in conditions}
    kept = [c for c in query.conditions if _subject(c) not in columns]
    relations = {r.relation.id for r in related}
    kept_related = [r for r in query.related if r.relation.id not in relations]
    return replace(query, conditions=(*kept, *conditions), related=(*kept_related, *related))


def _subject(condition: Condition) -> object:
    field = condition.field
    named = isinstance(condition, Comparison) and (field.column.key or condition.operator == "word")
    return field.relation.id if named else (field.relation.id, field.column.name)


def _about_other_relation(before: Query, main: Relation, state: parse_state.ParseState) -> Query | None:
    """Return the same question about another relation, when that has columns for all the conditions."""
    if before.related or before.order or before.fields or before.fewest or before.groups:
        return None
    if before.measure and before.measure.field:
        return None
    conditions = [_transferred_condition(condition, before.main, main, state) for condition in before.conditions]
    if not all(conditions):
        return None
    own, related = query_parts.conditions_of(state, main)
    moved = Query(main=main, measure=before.measure, conditions=tuple(c for c in conditions if c), limit=before.limit)
    return _with_conditions(moved, own, related)


def _transferred_condition(
    condition: Condition, old: Relation, new: Relation, state: parse_state.ParseState
) -> Condition | None:
    field = condition.field
    if field.relation.id != old.id:
        return condition if state.graph.path(new, field.relation) else None
    if isinstance(condition, TimeRange):
        column = event_time_column(new)
        return replace(condition, field=Field(relation=new, column=column)) if column else None
    column = new.column(field.column.name)
    if column is None or condition.value is None or condition.memory:
        return None
    known = not column.values or condition.value.text in column.values
    return replace(condition, field=Field(relation=new, column=column)) if known and not column.key else None
