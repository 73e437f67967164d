"""One question on its way to a query: its words marked, and the relation that it is about found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.providers.offline_model.conditions import Pending, take_column_conditions, take_other_conditions
from agent.providers.offline_model.dates import UNITS, take_periods
from agent.providers.offline_model.entities import Entity, take_entities
from agent.providers.offline_model.join_graph import Graph, amount
from agent.providers.offline_model.lexicon import Lexicon, Mention
from agent.providers.offline_model.query import Unclear
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.sentence_frame import Frame, take_frame, take_sorting
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
    """Carries the `Unclear` that ends a reading."""

    def __init__(self, unclear: Unclear) -> None:
        super().__init__(unclear.reason)
        self.unclear = unclear


@dataclass(slots=True)
class Reading:
    """One question on its way to a query."""

    s: Sentence
    lexicon: Lexicon
    graph: Graph
    mentions: list[Mention]
    frame: Frame
    entities: list[Entity]
    pending: list[Pending]
    groups: list[tuple[int, Mention | str]] = field(default_factory=list)

    def of_role(self, *roles: str) -> list[Entity]:
        return [entity for entity in self.entities if entity.role in roles]

    def free_columns(self) -> list[Mention]:
        """Columns that are spoken of outside of conditions and groups."""
        return [m for m in self.mentions if m.columns and self.s.free(m.start)]


def start_reading(question: str, lexicon: Lexicon) -> Reading:
    """Mark what every part of `question` is."""
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
    return Reading(
        s=s, lexicon=lexicon, graph=Graph(lexicon.relations), mentions=mentions, frame=frame, entities=entities,
        pending=pending, groups=groups,
    )  # fmt: skip


def unclear(reason: str, *, no_relation: bool = False) -> NotUnderstood:
    return NotUnderstood(Unclear(reason=reason, no_relation=no_relation))


def main_relation(r: Reading) -> Relation:
    """The relation whose rows the question is about."""
    measured = _measured(r)
    if measured:
        return measured
    plain = [entity for entity in r.of_role("plain") if entity.column is None]
    if plain and plain[0].via is not None:
        raise unclear(f"I can use that role of {plain[0].relation.name} only together with what points at it")
    if plain:
        return _view_that_ranks(r, plain[0].relation) or plain[0].relation
    ranked = r.of_role("ranked")
    if ranked and any(m.columns for m in r.mentions):
        return ranked[0].relation
    compound = [entity.relation for entity in r.of_role("plain", "named")]
    if compound:
        return _lowest(r, compound)
    return _by_columns(r)


def _measured(r: Reading) -> Relation | None:
    """The relation of the column that is summed or averaged."""
    if r.frame.measure in (None, "count"):
        return None
    compound = [e.relation for e in r.entities if e.column and e.column.column.numeric and e.role == "plain"]
    if compound:
        return compound[0]
    for mention in r.free_columns():
        holders = [c.relation for c in mention.columns if c.column.numeric]
        spoken = [h for e in r.of_role("plain") for h in holders if h.id == e.relation.id]
        if spoken or len(holders) == 1:
            return (spoken or holders)[0]
    following = [e.relation for e in r.of_role("plain") if e.start > r.frame.measure_at]
    return next((relation for relation in following if amount(relation)), None)


def _view_that_ranks(r: Reading, subject: Relation) -> Relation | None:
    """For "top 3 clients by revenue": clients have no revenue, but the one view that is named after them and has it."""
    ranked = r.frame.ranked
    if ranked is None or ranked.by not in ("value", "related"):
        return None
    for mention in r.free_columns():
        if mention.start < ranked.end or any(c.relation.id == subject.id for c in mention.columns):
            continue
        views = [c.relation for c in mention.columns if c.column.numeric and _is_view_of(c.relation, subject)]
        if len(views) == 1:
            r.entities = [replace(e, relation=views[0]) if e.relation.id == subject.id else e for e in r.entities]
            return views[0]
    return None


def _is_view_of(relation: Relation, subject: Relation) -> bool:
    """Whether a relation without keys, as views are, carries the subject's name in its own."""
    return not relation.key and not relation.foreign and set(words_of(subject.name)) < set(words_of(relation.name))


def _lowest(r: Reading, relations: Sequence[Relation]) -> Relation:
    """The one from which foreign keys lead up to all the others: one row of it has one row of each."""
    for relation in relations:
        paths = [r.graph.path(relation, other) for other in relations]
        if all(path is not None and all(step.up for step in path) for path in paths):
            return relation
    raise unclear("I do not see how " + " and ".join(relation.name for relation in relations) + " hang together")


def _by_columns(r: Reading) -> Relation:
    groups = [what for _, what in r.groups if isinstance(what, Mention)]
    names = [m for m in (*r.free_columns(), *groups) if m.columns]
    if names:
        shared = [
            rel for rel in r.lexicon.relations if all(any(c.relation.id == rel.id for c in m.columns) for m in names)
        ]
        if len(shared) == 1:
            return shared[0]
        if shared:
            raise unclear("that could be about " + " or ".join(rel.said for rel in shared[:4]) + "; please say which")
    raise unclear("I do not recognise a table in that question", no_relation=True)


def _column_groups(s: Sentence, mentions: Sequence[Mention], frame: Frame) -> list[tuple[int, Mention | str]]:
    """For "per status", "by month", "monthly"; their words are marked as used."""
    groups: list[tuple[int, Mention | str]] = []
    for at, token in enumerate(s.tokens):
        if token.low in _ADVERBS and s.free(at) and not any(m.start <= at < m.end for m in mentions):
            s.use(at, at + 1)
            groups.append((at, _ADVERBS[token.low]))
    for pattern in _GROUPING:
        for at in range(len(s.tokens)):
            end = s.match(at, pattern)
            end = (s.match(end, "the") or end) if end else None
            if end is None or not s.free(end):
                continue
            mention = next((m for m in mentions if m.start == end), None)
            if mention is None and s.tokens[end].stem in UNITS:
                s.use(at, end + 1)
                groups.append((at, s.tokens[end].stem))
            elif mention and _groups_by(mention, pattern, frame):
                s.use(at, mention.end)
                groups.append((at, mention))
    return groups


def _groups_by(mention: Mention, pattern: str, frame: Frame) -> bool:
    """Whether the column after a grouping word groups; "top 5 products by price", "list employees by salary" sort."""
    if not mention.columns or mention.relations:
        return False
    if pattern != "by":
        return True
    sortable = all(c.column.numeric or c.column.temporal for c in mention.columns)
    return frame.ranked is None and not (frame.measure is None and sortable)


def counted_relation(r: Reading) -> Entity | None:
    """For "top 5 clients by orders": what follows "by" is counted."""
    return next((e for e in r.of_role("group") if e.column is None and _below(r, e)), None)


def _below(r: Reading, entity: Entity) -> bool:
    subject = next((e for e in r.of_role("plain")), None)
    path = r.graph.path(entity.relation, subject.relation) if subject else None
    return bool(path) and all(step.up for step in path or ())
