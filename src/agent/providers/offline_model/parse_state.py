"""Holds the state of one question while it is parsed, and finds the relation that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.providers.offline_model.conditions import PendingCondition, take_column_conditions, take_other_conditions
from agent.providers.offline_model.dates import UNITS, take_periods
from agent.providers.offline_model.entities import Entity, take_entities
from agent.providers.offline_model.join_graph import JoinGraph, amount_column
from agent.providers.offline_model.lexicon import Lexicon, Mention
from agent.providers.offline_model.query import Unclear
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.sentence_frame import SentenceFrame, take_frame, take_sorting
from agent.providers.offline_model.tokenizer import Sentence, sentence_of, words_of

_GROUPING = ("for each", "in each", "each|per|every|across", "grouped|group|broken|split down? by", "by")
_ADVERBS = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
    "annually": "year",
}


class NotUnderstood(Exception):
    """Ends the parsing of a question with an `Unclear`."""

    def __init__(self, unclear: Unclear) -> None:
        super().__init__(unclear.reason)
        self.unclear = unclear


@dataclass(slots=True)
class ParseState:
    """One question while it is parsed."""

    sentence: Sentence
    lexicon: Lexicon
    graph: JoinGraph
    mentions: list[Mention]
    frame: SentenceFrame
    entities: list[Entity]
    pending: list[PendingCondition]
    groups: list[tuple[int, Mention | str]] = field(default_factory=list)

    def of_role(self, *roles: str) -> list[Entity]:
        return [entity for entity in self.entities if entity.role in roles]

    def free_columns(self) -> list[Mention]:
        """Return the mentions of columns that no condition and no group has used."""
        return [m for m in self.mentions if m.columns and self.sentence.free(m.start)]

    def check_leftover(self) -> None:
        """Raise `NotUnderstood` when words with a meaning are not used."""
        if left := self.sentence.leftover():
            reason = "I do not understand " + ", ".join(repr(word) for word in left)
            raise NotUnderstood(Unclear(reason=reason, unknown=tuple(left)))


def start_parse(question: str, lexicon: Lexicon) -> ParseState:
    """Return the state with every part of `question` recognised."""
    s = sentence_of(question)
    sort_at, descending = take_sorting(s)
    periods = take_periods(s)
    mentions = lexicon.mentions(s)
    frame = take_frame(s, mentions)
    frame = replace(frame, sort_at=sort_at, descending=descending)
    groups = _column_groups(s, mentions, frame)
    sorting = [m for m in mentions if sort_at is not None and m.start == sort_at]
    for mention in sorting:
        s.use(mention.start, mention.end)
    free = [m for m in mentions if s.free(m.start)]
    known = take_column_conditions(s, free, periods)
    entities = take_entities(
        s, free, ranked_end=frame.ranked.end if frame.ranked and frame.ranked.by == "related" else None
    )
    pending = take_other_conditions(s, free, periods, known)
    return ParseState(
        sentence=s, lexicon=lexicon, graph=JoinGraph(lexicon.relations), mentions=mentions, frame=frame, entities=entities,
        pending=pending, groups=groups,
    )  # fmt: skip


def not_understood(reason: str, *, no_relation: bool = False) -> NotUnderstood:
    """Return the exception that ends the parsing of a question, for `raise`."""
    return NotUnderstood(Unclear(reason=reason, no_relation=no_relation))


def main_relation(state: ParseState) -> Relation:
    """Return the relation whose rows the question is about. Raises `NotUnderstood`."""
    measured = _measured_relation(state)
    if measured:
        return measured
    plain = [entity for entity in state.of_role("plain") if entity.column is None]
    if plain and plain[0].via is not None:
        raise not_understood(
            f"I understand that role of {plain[0].relation.name} only together with the table that refers to it"
        )
    if plain:
        return _view_that_ranks(state, plain[0].relation) or plain[0].relation
    ranked = state.of_role("ranked")
    if ranked and any(m.columns for m in state.mentions):
        return ranked[0].relation
    compound = [entity.relation for entity in state.of_role("plain", "named")]
    if compound:
        return _lowest_relation(state, compound)
    return _relation_by_columns(state)


def _measured_relation(state: ParseState) -> Relation | None:
    """Return the relation of the column that the measure is computed from."""
    if state.frame.measure in (None, "count"):
        return None
    compound = [e.relation for e in state.entities if e.column and e.column.column.numeric and e.role == "plain"]
    if compound:
        return compound[0]
    for mention in state.free_columns():
        holders = [c.relation for c in mention.columns if c.column.numeric]
        mentioned = [h for e in state.of_role("plain") for h in holders if h.id == e.relation.id]
        if mentioned or len(holders) == 1:
            return (mentioned or holders)[0]
    following = [e.relation for e in state.of_role("plain") if e.start > state.frame.measure_at]
    return next((relation for relation in following if amount_column(relation)), None)


def _view_that_ranks(state: ParseState, subject: Relation) -> Relation | None:
    """Return the one view for "top 3 clients by revenue" that is named after clients and has the revenue they lack."""
    ranked = state.frame.ranked
    if ranked is None or ranked.by not in ("value", "related"):
        return None
    for mention in state.free_columns():
        if mention.start < ranked.end or any(c.relation.id == subject.id for c in mention.columns):
            continue
        views = [c.relation for c in mention.columns if c.column.numeric and _is_view_of(c.relation, subject)]
        if len(views) == 1:
            state.entities = [
                replace(e, relation=views[0]) if e.relation.id == subject.id else e for e in state.entities
            ]
            return views[0]
    return None


def _is_view_of(relation: Relation, subject: Relation) -> bool:
    """Return whether a relation without keys, as views are, has the subject's name in its own."""
    return not relation.key and not relation.foreign_keys and set(words_of(subject.name)) < set(words_of(relation.name))


def _lowest_relation(state: ParseState, relations: Sequence[Relation]) -> Relation:
    """Return the relation from which foreign keys lead to all the others, so that each of its rows has one row of each."""
    for relation in relations:
        paths = [state.graph.path(relation, other) for other in relations]
        if all(path is not None and all(step.up for step in path) for path in paths):
            return relation
    raise not_understood("I do not see how " + " and ".join(relation.name for relation in relations) + " are connected")


def _relation_by_columns(state: ParseState) -> Relation:
    groups = [group for _, group in state.groups if isinstance(group, Mention)]
    names = [m for m in (*state.free_columns(), *groups) if m.columns]
    if names:
        shared = [
            rel
            for rel in state.lexicon.relations
            if all(any(c.relation.id == rel.id for c in m.columns) for m in names)
        ]
        if len(shared) == 1:
            return shared[0]
        if shared:
            raise not_understood(
                "that could be about " + " or ".join(rel.display_name for rel in shared[:4]) + "; please say which"
            )
    raise not_understood("I do not recognise a table in that question", no_relation=True)


def _column_groups(s: Sentence, mentions: Sequence[Mention], frame: SentenceFrame) -> list[tuple[int, Mention | str]]:
    """Return what "per status", "by month" or "monthly" group by, and mark the words as used."""
    groups: list[tuple[int, Mention | str]] = []
    for at, token in enumerate(s.tokens):
        if token.low in _ADVERBS and s.free(at) and not any(m.start <= at < m.end for m in mentions):
            s.use(at, at + 1)
            groups.append((at, _ADVERBS[token.low]))
    for phrase in _GROUPING:
        for at in range(len(s.tokens)):
            end = s.match(at, phrase)
            end = (s.match(end, "the") or end) if end else None
            if end is None or not s.free(end):
                continue
            mention = next((m for m in mentions if m.start == end), None)
            if mention is None and s.tokens[end].stem in UNITS:
                s.use(at, end + 1)
                groups.append((at, s.tokens[end].stem))
            elif mention and _groups_by(mention, phrase, frame):
                s.use(at, mention.end)
                groups.append((at, mention))
    return groups


def _groups_by(mention: Mention, phrase: str, frame: SentenceFrame) -> bool:
    """Return whether the column after a grouping word groups; in "top 5 products by price" it sorts."""
    if not mention.columns or mention.relations:
        return False
    if phrase != "by":
        return True
    sortable = all(c.column.numeric or c.column.temporal for c in mention.columns)
    return frame.ranked is None and not (frame.measure is None and sortable)


def counted_relation(state: ParseState) -> Entity | None:
    """Return what "top 5 clients by orders" counts: the relation after "by"."""
    return next((e for e in state.of_role("group") if e.column is None and _is_below_subject(state, e)), None)


def _is_below_subject(state: ParseState, entity: Entity) -> bool:
    subject = next((e for e in state.of_role("plain")), None)
    path = state.graph.path(entity.relation, subject.relation) if subject else None
    return bool(path) and all(step.up for step in path or ())
