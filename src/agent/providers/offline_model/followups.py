"""Questions that lean on the one before: "and only the active ones?", "how many of those?", "what about invoices?".

The earlier questions are read again, so the model keeps no state: the same conversation always means the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.providers.offline_model import parse_state, parser, query_parts
from agent.providers.offline_model.join_graph import event_time
from agent.providers.offline_model.lexicon import Lexicon
from agent.providers.offline_model.query import (
    Compared,
    Condition,
    During,
    Field,
    Measure,
    Order,
    Query,
    Related,
    Unclear,
)
from agent.providers.offline_model.schema_parser import Relation

_CUE = re.compile(
    r"^\W*(?:ok(?:ay)?,? )?(?:(?P<about>(?:and |but )?(?:what|how) about)|and|but|only|just|now|(?:which|how many|who) (?:of|are)|their)\b",
    re.I,
)
_POINTING = re.compile(r"\b(?:those|them|these|they|their|ones?|it)\b", re.I)
_CUE_WORDS = ("and|but", "what|how about", "only|just|now", "those|them|these|they|their|one|ones|it|same")
_MEMORY = 6  # questions back


def understand(questions: Sequence[str], lexicon: Lexicon) -> Query | Unclear:
    """What the last of `questions` asks, given the ones before it."""
    before: Query | None = None
    result: Query | Unclear = Unclear(reason="there is no question")
    for question in questions[-_MEMORY:]:
        result = _read(question, before, lexicon)
        before = result if isinstance(result, Query) else before
    return result


def _read(question: str, before: Query | None, lexicon: Lexicon) -> Query | Unclear:
    cue = _CUE.match(question)
    leaning = bool(cue or _POINTING.search(question))
    if before is None or not leaning:
        fresh = parser.read(question, lexicon)
        if before is None or isinstance(fresh, Query):
            return fresh
        follow = _follow(question, before, lexicon, about=False)
        return follow if isinstance(follow, Query) else fresh
    follow = _follow(question, before, lexicon, about=bool(cue and cue["about"]))
    if isinstance(follow, Query):
        return follow
    fresh = parser.read(question, lexicon)
    return fresh if isinstance(fresh, Query) and not _bare_pointing(question) else follow


def _bare_pointing(question: str) -> bool:
    return bool(re.search(r"\b(?:of|for) (?:those|them|these)\b", question, re.I))


def _follow(question: str, before: Query, lexicon: Lexicon, *, about: bool) -> Query | Unclear:
    """`before`, changed as `question` says."""
    r = parse_state.start_reading(question, lexicon)
    for words in _CUE_WORDS:
        while r.s.take(words):
            pass
    plain = [e for e in r.of_role("plain") if e.column is None]
    try:
        if plain and plain[0].relation.id != before.main.id:
            changed = _moved(before, plain[0].relation, r) if about and len(r.entities) == 1 else None
        else:
            changed = _narrowed(before, r)
    except parse_state.NotUnderstood as stop:
        return stop.unclear
    left = r.s.leftover()
    if left:
        return Unclear(reason="I do not understand " + ", ".join(repr(word) for word in left), unknown=tuple(left))
    return changed or Unclear(reason="I do not see what that refers to")


def _narrowed(before: Query, r: parse_state.Reading) -> Query | None:
    main = before.main
    groups = query_parts.groups_of(r, main)
    query = before
    measure = r.frame.measure
    if before.fewest and (measure or groups or r.pending):
        return None
    if before.limit and (measure or groups):
        return None  # "how many of those" after "top 5" is not what a count without the limit says
    if query.measure and not measure and any(r.s.tokens[m.start].low == "total" for m in r.free_columns()):
        measure = "sum"
    if measure:
        field = None if measure == "count" else query_parts.measure_field(r, main)
        query = replace(query, measure=Measure(function=measure, field=field), fields=(), groups=(), order=None)
    if groups:
        query = replace(query, measure=query.measure or Measure(function="count"), groups=groups, fields=(), order=None)
    if r.frame.ranked and not query.measure:
        field = query_parts.ranking_field(r, main)
        limit = r.frame.ranked.limit or 1
        query = replace(query, order=Order(field=field, descending=r.frame.ranked.descending), limit=limit)
    if not query.measure and r.free_columns():
        query = replace(query, fields=query_parts.projection(r, main))
    if order := query_parts.sorting(r, main):
        query = replace(query, order=order)
    conditions, related = query_parts.conditions_of(r, main)
    changed = _with_conditions(query, conditions, related)
    return changed if changed != before or _asks_again(r) else None


def _asks_again(r: parse_state.Reading) -> bool:
    """For "how many are there?" after a count is the same question."""
    return r.frame.measure is not None


def _with_conditions(query: Query, conditions: Sequence[Condition], related: Sequence[Related]) -> Query:
    """New conditions take the place of those on the same column."""
    columns = {_subject(c) for c in conditions}
    kept = [c for c in query.conditions if _subject(c) not in columns]
    relations = {r.relation.id for r in related}
    kept_related = [r for r in query.related if r.relation.id not in relations]
    return replace(query, conditions=(*kept, *conditions), related=(*kept_related, *related))


def _subject(condition: Condition) -> object:
    field = condition.field
    named = isinstance(condition, Compared) and (field.column.key or condition.comparison == "word")
    return field.relation.id if named else (field.relation.id, field.column.name)


def _moved(before: Query, main: Relation, r: parse_state.Reading) -> Query | None:
    """The same question about another relation, when all its conditions exist there too."""
    if before.related or before.order or before.fields or before.fewest or before.groups:
        return None
    if before.measure and before.measure.field:
        return None
    conditions = [_moved_condition(condition, before.main, main, r) for condition in before.conditions]
    if not all(conditions):
        return None
    own, related = query_parts.conditions_of(r, main)
    moved = Query(main=main, measure=before.measure, conditions=tuple(c for c in conditions if c), limit=before.limit)
    return _with_conditions(moved, own, related)


def _moved_condition(condition: Condition, old: Relation, new: Relation, r: parse_state.Reading) -> Condition | None:
    field = condition.field
    if field.relation.id != old.id:
        return condition if r.graph.path(new, field.relation) else None
    if isinstance(condition, During):
        column = event_time(new)
        return replace(condition, field=Field(relation=new, column=column)) if column else None
    column = new.column(field.column.name)
    if column is None or condition.value is None or condition.memory:
        return None
    known = not column.values or condition.value.text in column.values
    return replace(condition, field=Field(relation=new, column=column)) if known and not column.key else None
