"""The grammar of rows: a noun that names a table, words before it, and clauses after it.

"active clients in Berlin with more than 3 orders" is a `Query` over clients with three conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from agent.providers.offline_model.conditions import (
    bare_comparison,
    bare_period,
    compared_column,
    condition,
    lacking,
    modifier,
    owner_test,
    possessing,
    quantity,
    reference,
    tests,
)
from agent.providers.offline_model.dates import UNITS, period_at
from agent.providers.offline_model.join_graph import display_field, event_columns, row_field, text_fields
from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Defined,
    Field,
    Group,
    Measure,
    Order,
    Query,
    Related,
    TimeRange,
    Wanted,
)
from agent.providers.offline_model.reader import GRAMMAR, Place, Reader, negated
from agent.providers.offline_model.schema_parser import Relation

Queries = Iterator[tuple[Query, Place]]

_DETERMINERS = "the|a|an|all|any|our|my|of|every|this|these|those|their"
_NOW = ("right? now", "currently", "at present", "at the moment")
_MOST_WORDS_BEFORE = 4
_BE = "are|is|were|was|be"
_VERBS = "have|has|contain|contains|include|place|make|own|get|placed|made"
_OWNED = "placed|made|issued|written|owned|bought|belonging|belong"


def rows(r: Reader, at: Place, *, clauses: bool = True) -> Queries:
    """Yield the rows that the words at `at` name, with or without the clauses after the noun."""
    at = r.skip(at, _DETERMINERS)
    for noun in range(at, min(at + _MOST_WORDS_BEFORE + 1, len(r.s.tokens))):
        for name, end in r.relations(noun):
            for query in _modified(r, Query(main=name.relation, guesses=int(name.guess)), at, noun):
                r.step(end)
                for referred, after in _referred(r, query, end):
                    if clauses:
                        yield from all_clauses(r, referred, after)
                    else:
                        yield referred, after
        for relation, found, end in r.defined_rows(noun):
            guesses = int(isinstance(found, Comparison) and not found.memory)
            for query in _modified(r, Query(main=relation, conditions=(found,), guesses=guesses), at, noun):
                r.step(end)
                yield from all_clauses(r, query, end) if clauses else ((query, end),)


def _modified(r: Reader, query: Query, at: Place, noun: Place) -> Iterator[Query]:
    """Yield `query` with the conditions that the words from `at` to `noun` stand for."""
    if at == noun:
        yield query
        return
    for found, end in modifier(r, query.main, at):
        if end <= noun:
            yield from _modified(r, _with(query, found), r.word(end, "and", ",") or end, noun)
    tokens = r.s.tokens[at:noun]
    if (
        all(t.kind == "quoted" for t in tokens) or not any(t.low in GRAMMAR or t.kind == "quoted" for t in tokens)
    ) and not any(True for n in range(at, noun) for _ in r.relations(n)):
        text = tokens[0].text if tokens[0].kind == "quoted" else r.s.span(at, noun)
        names = [place for parent, via in r.graph.above(query.main) if (place := display_field(parent, via=via))]
        own = _own_value(query.main, text)
        yield _with(query, replace(own, fields=(*own.fields, *names)), guesses=1)


def _referred(r: Reader, query: Query, at: Place) -> Queries:
    yield query, at
    singular = r.s.tokens[at - 1].low == r.s.tokens[at - 1].stem
    for found, end in reference(r, query.main, at, named=singular):
        yield _with(query, found), end


def _with(query: Query, found: Condition, *, guesses: int = 0) -> Query:
    return replace(query, conditions=(*query.conditions, found), guesses=query.guesses + guesses)


def _own_value(main: Relation, text: str) -> Wanted:
    """Return the condition that some text column of `main` itself holds `text`: what a row is said to be."""
    return Wanted(text=text, fields=tuple(text_fields(main)))


def wanted(r: Reader, main: Relation, text: str) -> Wanted:
    """Return the condition that some text column of `main`, or of the rows that it refers to, holds `text`."""
    above = [place for parent, via in r.graph.above(main) for place in text_fields(parent, via=via)]
    return Wanted(text=text, fields=(*text_fields(main), *above))


def all_clauses(r: Reader, query: Query, at: Place) -> Queries:
    """Yield `query` with any number of the clauses that follow."""
    r.step(at)
    yield query, at
    start = r.word(at, "and|,") or at
    for clause in _CLAUSES:
        for longer, end in clause(r, query, start):
            if end > at:
                yield from all_clauses(r, longer, end)


def _presence(r: Reader, query: Query, at: Place) -> Queries:
    end = r.word(
        at, "are|is|were|was there", "there are|is", "do|did we have", "we have", "do|did you have", "exist|exists",
        "are|is in the database", "in the database", "in total", "yet|altogether", "in our? system", "that we have",
        "are|is registered|recorded", "are|is registered|recorded with us", "on file|record", "on the books",
    )  # fmt: skip
    if end:
        yield query, end
    among = r.word(at, "are|is there? among|in our|the|all?")
    for name, last in r.relations(among) if among else ():
        if name.relation.id == query.main.id:
            yield query, last


def _who(r: Reader, query: Query, at: Place) -> Queries:
    """Yield clauses after "that", "which" or "who", and predicates after "are"."""
    relative = r.word(at, "that|which|who")
    start = relative or at
    being = r.word(start, f"have|has been {_BE}?", _BE)
    undone = r.word(start, "have|has not yet? been", "have|has never been")
    for found, end in r.labels(undone, query.main) if undone else ():
        opposite = negated(found)
        if opposite:
            yield _with(query, opposite), end
    if being:
        yield from _predicate(r, query, being)
    elif relative:
        for clause in (_having, _place, _state_in_time, _lives, _described):
            yield from clause(r, query, start)
        yield from ((_with(query, found), end) for found, end in owner_test(r, query.main, start))


def _described(r: Reader, query: Query, at: Place) -> Queries:
    """Yield a state after its noun: "invoices not paid", "orders shipped"."""
    dated = any(place.column.temporal and period_at(r.s, end) for _, place, end in r.columns(at, query.main))
    for found, end in modifier(r, query.main, at) if not dated else ():
        if not r.word(end, "to|from|by|via"):  # "shipped to Germany" is about the place, not about what was done
            yield _with(query, found), end
            yield from ((_with(query, found), now) for now in (r.word(end, *_NOW),) if now)


def _predicate(r: Reader, query: Query, at: Place) -> Queries:
    """Yield what may stand after "are": a label, a state, a place, an owner, a value that the question does not place."""
    if r.word(at, "named|called"):
        yield from ((_with(query, found), end) for found, end in reference(r, query.main, at, named=True))
    yield from _described(r, query, at)
    yield from _in_time(r, query, at)
    yield from _state_in_time(r, query, at)
    yield from _place(r, query, at)
    yield from _lives(r, query, at)
    yield from ((_with(query, found), end) for found, end in compared_column(r, query.main, at))
    start = r.word(at, "not") or at
    for text, end in r.value(start):
        yield _with(query, replace(_own_value(query.main, text), negated=start != at), guesses=1), end


def _having(r: Reader, query: Query, at: Place) -> Queries:
    """Yield conditions after "with", "whose", "where", "have", joined by "and"."""
    without = r.word(
        at,
        "without any?",
        "with|having|have|has|had no",
        "do|does|did not have any?",
        "lacking any?",
        "not having any?",
    )
    if without:
        yield from _lacking(r, query, without)
    start = r.word(at, "with", "having", "where", "whose", "have|has|had", "for which")
    if start is None:
        return
    for found, end in condition(r, query.main, start):
        yield from _more(r, _with(query, found), end)
    for found, end in possessing(r, query.main, start):
        if not (r.at_end(end) or r.word(end, "and|,|in|from|of|who|that|per|sorted|ordered")):
            continue
        yield from _more(r, _with(query, found), end)
    yield from _counted(r, query, start)


def _more(r: Reader, query: Query, at: Place) -> Queries:
    yield query, at
    start = r.word(at, "and|,")
    if start:
        for found, end in condition(r, query.main, start):
            yield from _more(r, _with(query, found), end)


def _lacking(r: Reader, query: Query, at: Place) -> Queries:
    for found, end in lacking(r, query.main, at):
        yield _with(query, found), end
    for inner, end in rows(r, at):
        found_rows = related(r, query.main, inner, least=None, most=0)
        if found_rows:
            yield _with(query, found_rows, guesses=inner.guesses), end


def _counted(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "more than 3 orders", "orders in 2025" (at least one) and "no orders"."""
    quantities = [*quantity(r, at), ((1, None), at)]
    for (least, most), start in quantities:
        for inner, end in rows(r, start):
            found = related(r, query.main, inner, least=least, most=most)
            if found and not (start == at and inner.conditions == () and r.graph.leads_up(query.main, inner.main)):
                yield _with(query, found, guesses=inner.guesses), end


def related(
    r: Reader, main: Relation, inner: Query, *, least: int | None = 1, most: int | None = None
) -> Related | None:
    """Return the condition that rows of `inner` belong to a row of `main`, or None when the schema does not tell how."""
    if inner.groups or inner.fields or inner.order or inner.limit or inner.measure or inner.main.id == main.id:
        return None
    path = r.graph.path(main, inner.main)
    if path is None:
        r.notes.append(f"no single foreign key leads from {main.display_name} to {inner.main.display_name}")
        return None
    return Related(relation=inner.main, least=least, most=most, conditions=inner.conditions)


def _place(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "in Berlin", "from client 7", "of the artist AC/DC", "by Anna": an owner, or a value that the data must place."""
    outside = r.word(at, "outside|beyond of?")
    opposite = outside or r.word(at, "not")
    start = outside or r.word(opposite or at, f"{_OWNED}? in|from|of|by|for|on|at|to")
    if start is None:
        return
    for inner, end in rows(r, start):
        found = related(r, query.main, inner, least=None if opposite else 1, most=0 if opposite else None)
        if found and inner.conditions:
            dated = sum(isinstance(c, TimeRange) for c in inner.conditions)  # "orders of client 7 in 2025": the orders
            yield _with(query, found, guesses=inner.guesses + dated), end
    if not opposite:
        yield from (
            (_with(query, found), end)
            for found, end in condition(r, query.main, start)
            if r.word(at, "in|on|at|of|for")
        )
    if r.word(at, "by") and next(r.columns(start, query.main), None):
        return  # an order or a group, no value
    for begin in {start, r.skip(start, "the|a|an|our")}:
        for text, end in r.value(begin):
            yield _with(query, replace(wanted(r, query.main, text), negated=bool(opposite)), guesses=1), end
        for found_value, end in r.labels(begin, query.main):
            turned = negated(found_value) if opposite else found_value
            if turned:
                yield _with(query, turned), end


def _owner_has(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "does client 7 have" and "did each department place" after "how many orders"."""
    start = r.word(at, "does|do|did|has|have")
    if start is None:
        return
    each = r.word(start, "each|every")
    for grouped, after in _groups(r, query, each) if each else ():
        verb = r.word(after, _VERBS)
        if verb:
            yield grouped, verb
    for text, end in r.value(start) if not each else ():
        verb = r.word(end, _VERBS)
        if verb:
            yield _with(query, wanted(r, query.main, text), guesses=1), verb
    for inner, end in rows(r, each or start, clauses=False):
        verb = r.word(end, _VERBS)
        if not verb:
            continue
        found = None if each else related(r, query.main, inner)
        if found and inner.conditions:
            yield _with(query, found, guesses=inner.guesses), verb


def _defined_has(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "did the brand channels bring": a defined word is said to have the rows."""
    start = r.word(at, "does|do|did|has|have")
    for label, end in r.labels(r.skip(start, "the|our"), query.main) if start else ():
        verb = r.word(end, f"{_VERBS}|bring|cause|generate|cost")
        if verb and isinstance(label, Defined):
            yield _with(query, label), verb


def _owned_by(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "report to Nancy": the words are the role of the row that is referred to."""
    yield from ((_with(query, found), end) for found, end in owner_test(r, query.main, at) if found.via)


def _in_time(r: Reader, query: Query, at: Place) -> Queries:
    for found, end in bare_period(r, query.main, r.word(at, "placed|made") or at):
        yield _with(query, found), end


def _state_in_time(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "placed in 2025" and "released after 2006": a column, then its test."""
    for name, place, end in r.columns(at, query.main):
        if place.column.temporal or (place.column.numeric and name.short):
            yield from ((_with(query, found), after) for found, after in tests(r, name, place, end) if after > end)


def _compared(r: Reader, query: Query, at: Place) -> Queries:
    for found, end in bare_comparison(r, query.main, at):
        yield _with(query, found, guesses=1), end


def _sorted(r: Reader, query: Query, at: Place) -> Queries:
    start = r.word(at, "sorted|ordered|order|sort by the?")
    if start is None or query.order:
        return
    for _, place, end in r.columns(start, query.main):
        down = r.word(
            end, "descending|desc", "in descending order", "from high to low", "highest|largest|newest|latest first"
        )
        up = r.word(
            end, "ascending|asc", "in ascending order", "alphabetically", "lowest|smallest|oldest|earliest first"
        )
        yield replace(query, order=Order(field=place, descending=bool(down))), down or up or end


def _lives(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "live in Berlin": the verb says no more than "in"."""
    start = r.word(at, "not? live|lives|living|work|works|working|located|based|come|comes|reside|sit|sits|lie|lies")
    if start and r.word(start, "in|from|at|on|outside"):
        if r.word(at, "not"):
            return
        yield from _place(r, query, start)


def _per(r: Reader, query: Query, at: Place) -> Queries:
    start = r.word(at, "per", "by the?", "for|in|of|at each|every", "grouped by", "group by", "each")
    if start is not None:
        yield from _groups(r, query, start)


def _groups(r: Reader, query: Query, at: Place) -> Queries:
    """Yield `query` with one result for each value, each row or each unit of time that the words at `at` name."""
    for group, end in group_of(r, query.main, at):
        longer = replace(query, groups=(*query.groups, group), measure=query.measure or Measure(function="count"))
        yield longer, end
        again = r.word(end, "and")
        if again and not query.groups:
            yield from _groups(r, longer, again)


def group_of(r: Reader, main: Relation, at: Place) -> Iterator[tuple[Group, Place]]:
    """Yield what rows of `main` can be grouped by: a column, a row that they belong to, a unit of time."""
    found = False
    owners = {(role.relation.id, end) for role, end in r.roles(at, main)} - {
        (main.id, end) for end in range(len(r.s.tokens) + 1)
    }
    for name, place, end in r.columns(at, main):
        if (
            (place.relation.id, end) not in owners
            and not (name.short and name.state)
            and not (place.column.temporal and name.short)
        ):
            found = found or place.relation.id == main.id
            yield Group(field=place), end
    for role, end in r.roles(at, main):
        owner = row_field(role.relation, via=role.via)
        path = r.graph.path(main, role.relation, via=role.via)
        if owner and path and not found and _groups_rows(path):
            yield Group(field=owner, whole=True), end
    if r.s.free(at) and r.s.tokens[at].stem in UNITS and not found:
        yield from _time_group(r, main, at)


def _groups_rows(path: tuple[object, ...]) -> bool:
    """Return whether a path leads up, or over one table that links both sides."""
    ups = [bool(getattr(step, "up", False)) for step in path]
    return all(ups) or ups == [False, True]


def _time_group(r: Reader, main: Relation, at: Place) -> Iterator[tuple[Group, Place]]:
    unit = r.s.tokens[at].stem
    of = r.word(at + 1, "of the?")
    named = [(place, end) for name, place, end in r.columns(of, main) if place.column.temporal] if of else []
    yield from ((Group(field=place, unit=unit), end) for place, end in named)
    columns = event_columns(main)
    if len(columns) == 1:
        yield Group(field=Field(relation=main, column=columns[0]), unit=unit), at + 1
    elif columns:
        names = ", ".join(column.name for column in columns)
        r.notes.append(
            f"{main.display_name} has several times ({names}); please say of which one, as in 'per {unit} of {columns[0].name}'"
        )


_CLAUSES: tuple[Callable[[Reader, Query, Place], Queries], ...] = (
    _presence, _who, _described, _having, _place, _owner_has, _defined_has, _owned_by, _in_time, _state_in_time, _compared, _sorted, _lives, _per,
)  # fmt: skip
