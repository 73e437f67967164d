"""From a question to a `Query`: who is asked about, under which conditions, and what of it.

Every step uses up the words that it understands. Words with a meaning that are left over make the answer `Unclear`: to say that one does
not understand is better than a number that answers another question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent.providers.offline.binding import bind, bind_pending, column_of, owner_conditions
from agent.providers.offline.conditions import Pending, take_column_conditions, take_other_conditions
from agent.providers.offline.dates import UNITS, take_periods
from agent.providers.offline.entities import Entity, take_entities
from agent.providers.offline.frame import Frame, default_limit, take_frame, take_sorting
from agent.providers.offline.language import Sentence, sentence_of
from agent.providers.offline.lexicon import Lexicon, Mention
from agent.providers.offline.query import Condition, Field, Group, Measure, Order, Query, Related, Unclear
from agent.providers.offline.relations import Graph, amount, birth, display, event_time, is_person
from agent.providers.offline.schema_text import Column, Relation

_LISTING = frozenset({"show", "list", "give", "display", "get", "print"})
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


def unclear(reason: str, *, no_relation: bool = False) -> NotUnderstood:
    return NotUnderstood(Unclear(reason=reason, no_relation=no_relation))


def main_relation(r: Reading) -> Relation:
    """The relation whose rows the question is about."""
    measured = _measured(r)
    if measured:
        return measured
    plain = [entity for entity in r.of_role("plain") if entity.column is None]
    if plain:
        return plain[0].relation
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
            raise unclear("that could be about " + " or ".join(rel.name for rel in shared[:4]) + "; please say which")
    raise unclear("I do not recognise a table in that question", no_relation=True)


def _assemble(r: Reading, main: Relation) -> Query:
    groups = groups_of(r, main)
    ranked = r.frame.ranked
    if ranked and ranked.by == "related" and r.of_role("ranked"):
        return _ranked_by_related(r, main)
    if ranked and (r.frame.measure or _by_relation(r)):
        return _ranked_by_measure(r, main)
    if r.frame.measure or groups:
        r = _total_as_sum(r)
        return _measured_query(r, main, groups)
    return _listing(r, main)


def _total_as_sum(r: Reading) -> Reading:
    """For "total per client": with groups, a column named total is added up."""
    column = next((m for m in r.free_columns() if r.s.tokens[m.start].low == "total"), None)
    if column and r.frame.measure is None and not _count_or_sum(r, column):
        r.frame = replace(r.frame, measure="sum")
    return r


def _measured_query(r: Reading, main: Relation, groups: tuple[Group, ...]) -> Query:
    function = r.frame.measure or "count"
    measure = Measure(function=function, field=None if function == "count" else measure_field(r, main))
    conditions, related = conditions_of(r, main)
    return Query(main=main, measure=measure, groups=groups, conditions=conditions, related=related)


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
    return Field(relation=main, column=_amount(r, main))


def _amount(r: Reading, main: Relation, *, prices: bool = False) -> Column:
    column = amount(main, prices=prices)
    if column is None:
        raise unclear(f"I do not know which column of {main.name} says how much; please name it")
    r.s.take("revenue|sales|spend|spent|spending|turnover|worth|money|earned|amount|valuable")
    return column


def _ranked_by_related(r: Reading, main: Relation) -> Query:
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
        groups = (_whole(r, child, subject),)
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


def _by_relation(r: Reading) -> Entity | None:
    """For "top 5 clients by orders": what follows "by" is counted."""
    return next((e for e in r.of_role("group") if e.column is None and _below(r, e)), None)


def _below(r: Reading, entity: Entity) -> bool:
    subject = next((e for e in r.of_role("plain")), None)
    path = r.graph.path(entity.relation, subject.relation) if subject else None
    return bool(path) and all(step.up for step in path or ())


def _ranked_by_measure(r: Reading, main: Relation) -> Query:
    """For "top 5 clients by total order value", "the department with the highest average salary"."""
    ranked, counted = r.frame.ranked, _by_relation(r)
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
        main=measured, groups=(_whole(r, measured, subject),), measure=Measure(function=function, field=wanted),
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


def _ranked_rows(r: Reading, main: Relation) -> Query:
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


def ranking_field(r: Reading, main: Relation) -> Field:
    ranked = r.frame.ranked
    assert ranked is not None  # noqa: S101  # the caller looked
    if ranked.by in ("time", "age"):
        column = _time_column(main, by_age=ranked.by == "age")
        if column is None:
            raise unclear(f"I do not know which column of {main.name} says when; please name it")
        return Field(relation=main, column=column)
    if ranked.by == "price":
        return Field(relation=main, column=_amount(r, main, prices=True))
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
    return Field(relation=main, column=_amount(r, main))


def _time_column(main: Relation, *, by_age: bool) -> Column | None:
    if by_age and is_person(main):
        return birth(main)
    return event_time(main)


def _listing(r: Reading, main: Relation) -> Query:
    ranked = r.frame.ranked
    if ranked:
        return _ranked_rows(r, main)
    order = sorting(r, main)
    fields = projection(r, main)
    conditions, related = conditions_of(r, main)
    return Query(main=main, fields=fields, conditions=conditions, related=related, order=order, limit=r.frame.limit)


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
        if found is None or _count_or_sum(r, mention):
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


def _count_or_sum(r: Reading, mention: Mention) -> bool:
    """For "total orders" of a table with a column total: how many, or how much?"""
    total = r.s.tokens[mention.start].low == "total"
    return total and any(e.start == mention.end and not e.column for e in r.entities)


def _shown_along(r: Reading, entity: Entity, main: Relation) -> bool:
    """For "orders with their clients": a parent that stands there without any condition."""
    if entity.role != "plain" or entity.column or entity.relation.id == main.id:
        return False
    path = r.graph.path(main, entity.relation, via=entity.via)
    return bool(path) and all(step.up for step in path or ())


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
        (e.start, _whole(r, main, e)) for e in r.of_role("group") if not (r.frame.ranked and e is _by_relation(r))
    ]
    return tuple(group for _, group in sorted(groups, key=lambda pair: pair[0]))


def _whole(r: Reading, main: Relation, entity: Entity) -> Group:
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
