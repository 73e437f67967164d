"""The grammar of measures and ranks: "total amount of paid invoices", "top 5 clients by number of orders", "cheapest product"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.providers.offline_model.join_graph import event_columns, measure_columns
from agent.providers.offline_model.query import Field, Function, Group, Measure, Order, Query, Related, Wanted
from agent.providers.offline_model.reader import Place, Reader
from agent.providers.offline_model.rows import Queries, all_clauses, related, rows
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import count_of, words_of
from agent.text.words import word_set

_FUNCTIONS: tuple[tuple[str, Function], ...] = (
    ("total sum of? the?", "sum"), ("sum|add up all? the?", "sum"), ("total|sum of? the?", "sum"), ("average|avg|mean value? of? the?", "avg"),
    ("highest|maximum|max|largest|biggest|greatest value? of? the?", "max"), ("lowest|minimum|min|smallest value? of? the?", "min"),
)  # fmt: skip
_MOST, _LEAST = "most|highest|largest|biggest|greatest|maximum", "fewest|least|lowest|smallest|minimum"
_NEWEST, _OLDEST = "latest|newest|last", "oldest|earliest"
# An adjective ranks by the only column whose name has one of these words.
_ADJECTIVES = (
    ("most expensive|costly", word_set("price cost"), True), ("cheapest", word_set("price cost"), False),
    ("least expensive", word_set("price cost"), False), ("longest", word_set("length duration"), True),
    ("shortest", word_set("length duration"), False), ("heaviest", word_set("weight"), True), ("lightest", word_set("weight"), False),
    ("youngest", word_set("birth birthdate birthday born dob"), True),
)  # fmt: skip
_BIRTH = word_set("birth birthdate birthday born dob")

Measured = Iterator[tuple[Query, Field, Place]]


def function_at(r: Reader, at: Place) -> tuple[Function, Place] | None:
    """Return the aggregate that the words at `at` name."""
    return next(((function, end) for phrase, function in _FUNCTIONS if (end := r.word(at, phrase))), None)


def measured(r: Reader, at: Place, *, clauses: bool = True) -> Measured:
    """Yield the rows and the number of "budget of active clients", "order total", "total order value" or "payment"."""
    at = r.skip(at, "the|all|of")
    for query, measure, end in _defined(r, at):
        follow = all_clauses(r, query, end) if clauses else [(query, end)]
        yield from ((longer, measure.field, after) for longer, after in follow if measure.field)
    yield from _column_of_rows(r, at, clauses=clauses)
    yield from _rows_column(r, at, clauses=clauses)
    for main in r.names.relations:
        for _, place, end in _own_columns(r, at, main):
            if r.word(end, "of"):
                continue
            follow = all_clauses(r, Query(main=main), end) if clauses else [(Query(main=main), end)]
            yield from ((query, place, after) for query, after in follow)


def _defined(r: Reader, at: Place) -> Iterator[tuple[Query, Measure, Place]]:
    """Yield the rows and the aggregate of a word that a fact defines as a number."""
    for term, end in r.defined_measures(at):
        yield Query(main=term.relation, conditions=(term.condition,)), term.measure, end


def defined_number(r: Reader, at: Place) -> Queries:
    """Yield "revenue in 2025" and "revenue per client": the aggregate is the one of the definition."""
    at = r.skip(at, "the|our|total|much")
    for query, measure, end in _defined(r, at):
        verb = r.word(end, "did we make|have|get|earn", "do we have", "have we made|had", "was there")
        for longer, after in all_clauses(r, query, verb or end):
            if not (longer.measure and longer.measure.field) and not longer.order:
                yield replace(longer, measure=measure), after


def _own_columns(r: Reader, at: Place, main: Relation) -> Iterator[tuple[bool, Field, Place]]:
    for name, place, end in r.columns(at, main):
        dates = place.column.temporal and not name.short
        if place.relation.id == main.id and (dates or place.column in measure_columns(main)):
            yield name.short, place, end


def _column_of_rows(r: Reader, at: Place, *, clauses: bool) -> Measured:
    """Yield "total of paid invoices" and "total order value": the column first."""
    for main in r.names.relations:
        for _, place, end in _own_columns(r, at, main):
            of = r.word(end, "of|in|for|on|from|across|over")
            for query, after in rows(r, of, clauses=clauses) if of else ():
                if query.main.id == main.id:
                    yield query, place, after
                elif query.conditions and r.graph.leads_up(main, query.main):
                    found = related(r, main, query)
                    if found:
                        yield Query(main=main, conditions=(found,), guesses=query.guesses), place, after
            for query, after in rows(r, end, clauses=False):
                value = r.word(after, "value|values") if query.main.id == main.id else None
                follow = all_clauses(r, query, value) if value and clauses else [(query, value)] if value else []
                yield from ((longer, place, last) for longer, last in follow)


def _rows_column(r: Reader, at: Place, *, clauses: bool) -> Measured:
    """Yield "order total" and "payment", where a payment has only one number."""
    for query, end in rows(r, at, clauses=False):
        for _, place, after in _own_columns(r, end, query.main):
            follow = all_clauses(r, query, after) if clauses else [(query, after)]
            yield from ((longer, place, last) for longer, last in follow)
        if any(place for main in r.names.relations for _, place, last in _own_columns(r, at, main) if last == end):
            continue  # "salary" is a column of another table too
        columns = measure_columns(query.main)
        singular = r.s.tokens[end - 1].low == r.s.tokens[end - 1].stem
        if len(columns) == 1 and (singular or not r.word(at - 1, "total")):
            place = Field(relation=query.main, column=columns[0])
            follow = all_clauses(r, replace(query, guesses=query.guesses + 1), end) if clauses else [(query, end)]
            yield from ((longer, place, last) for longer, last in follow)


def aggregate(r: Reader, at: Place) -> Queries:
    """Yield "average budget of campaigns per objective" and "total of all paid invoices"."""
    start = r.skip(at, "the")
    named = function_at(r, start)
    if named is None:
        return
    function, after = named
    places = [(function, after)]
    if function == "sum":
        places.append((function, start))  # "total" may be the column itself
    for fn, begin in places:
        for query, place, end in measured(r, begin):
            if (query.measure and query.measure.field) or query.order or not _fits(fn, place):
                continue
            if (
                fn in ("min", "max") and not query.groups and query.guesses
            ):  # "largest invoice": the row, not its number
                yield replace(query, order=Order(field=place, descending=fn == "max"), limit=1, guesses=0), end
            else:
                yield replace(query, measure=Measure(function=fn, field=place)), end
    if r.word(start, "total") == after:
        yield from _total_rows(r, after)


def _fits(function: Function, place: Field) -> bool:
    """Return whether values of a column can be aggregated so: dates have no sum."""
    return function in ("min", "max") or not place.column.temporal


def _total_rows(r: Reader, at: Place) -> Queries:
    """Yield "total orders per client": it may mean how many."""
    for query, end in rows(r, at):
        plural = any(t.low != t.stem and t.stem in words_of(query.main.name) for t in r.s.tokens[at:end])
        columns = measure_columns(query.main)
        sums = [c for c in columns if words_of(c.name) == ("total",)] or (columns if len(columns) == 1 else [])
        if sums:
            r.notes.append(
                f"it may mean the number of {query.main.display_name} or the sum of their {sums[0].name}; please say which"
            )
        elif plural and not query.order:
            yield replace(query, measure=Measure(function="count")), end


def measures(r: Reader, main: Relation, at: Place) -> Iterator[tuple[Measure | Field, Place]]:
    """Yield by what rows of `main` can be ranked: their own column, or a count or aggregate of rows that belong to them."""
    at = r.skip(at, "the|their|its")
    of_number = r.word(at, "total? number|count of", "how many")
    if of_number:
        yield from _count_below(r, main, of_number)
        return
    for _, place, end in _own_columns(r, at, main):
        yield place, end
    named = function_at(r, at)
    if named:
        yield from _aggregate_below(r, main, *named)
        if named[0] == "sum":
            yield from _aggregate_below(r, main, "sum", at)
    else:
        _note_unclear(r, main, at)


def _aggregate_below(r: Reader, main: Relation, function: Function, at: Place) -> Iterator[tuple[Measure, Place]]:
    for query, place, end in measured(r, at, clauses=False):
        below = _below(r, main, query)
        if below and _fits(function, place):
            yield Measure(function=function, field=place, below=below), end
    for query, place, end in measured(r, at):
        below = _below(r, main, query)
        if below and query.conditions and _fits(function, place):
            yield Measure(function=function, field=place, below=below), end


def _count_below(r: Reader, main: Relation, at: Place) -> Iterator[tuple[Measure, Place]]:
    for query, end in rows(r, at):
        below = _below(r, main, query)
        if below:
            yield Measure(function="count", below=below), end


def _below(r: Reader, main: Relation, query: Query) -> Related | None:
    if query.main.id == main.id or r.graph.leads_up(main, query.main):
        return None
    return related(r, main, query)


def _note_unclear(r: Reader, main: Relation, at: Place) -> None:
    for query, _ in rows(r, at, clauses=False):
        if query.main.id != main.id:
            name = query.main.display_name
            r.notes.append(f"I can rank {main.display_name} by the number of {name}, or by the total, average or highest value of one of its columns; please say which")  # fmt: skip


def ranked(r: Reader, at: Place) -> Queries:
    """Yield every way to ask for the first rows of an order."""
    at = r.skip(at, "the")
    yield from _top(r, at)
    yield from _with_the_most(r, at)
    yield from _superlative(r, at)
    yield from _ranked_groups(r, at)


def _limit(r: Reader, at: Place) -> tuple[int | None, Place]:
    count = count_of(r.s.tokens[at]) if r.s.free(at) else None
    return (count, at + 1) if count else (None, at)


def _ordered(query: Query, by: Measure | Field, *, descending: bool, limit: int | None) -> Query:
    if isinstance(by, Measure):
        guesses = len([c for c in by.below.conditions if isinstance(c, Wanted)]) if by.below else 0
        query = replace(query, guesses=query.guesses + guesses)
        return replace(query, measure=by, order=Order(field=None, descending=descending), limit=limit)
    return replace(query, order=Order(field=by, descending=descending), limit=limit)


def _plain(query: Query) -> bool:
    return not (query.groups or query.measure or query.order)


def _top(r: Reader, at: Place) -> Queries:
    """Yield "top 5 clients by total order value" and "clients by number of orders"."""
    down, up = r.word(at, "top|best"), r.word(at, "bottom|worst")
    limit, start = _limit(r, down or up or at)
    if r.word(at, "best|worst"):
        return
    for query, end in rows(r, start):
        by = r.word(end, "by|in", "ranked|sorted|ordered by", "in terms of")
        if not by or not _plain(query):
            continue
        for measure, after in measures(r, query.main, by):
            if down or up or isinstance(measure, Measure):
                descending, last = _direction(r, after, descending=up is None)
                yield _ordered(query, measure, descending=descending, limit=limit or (1 if down or up else None)), last


def _direction(r: Reader, at: Place, *, descending: bool) -> tuple[bool, Place]:
    down, up = r.word(at, "descending|desc", "in descending order"), r.word(at, "ascending|asc", "in ascending order")
    return (True, down) if down else (False, up) if up else (descending, at)


def _with_the_most(r: Reader, at: Place) -> Queries:
    """Yield "client with the most orders", "which branch has the highest budget"."""
    limit, start = _limit(r, at)
    for query, end in rows(r, start):
        has = r.word(end, "that|which|who? with|has|have|had the?")
        if not has or not _plain(query):
            continue
        for words, descending in ((_MOST, True), (_LEAST, False)):
            by = r.word(has, words)
            if by:
                for measure, after in _most_of(r, query.main, by, counts=bool(r.word(has, "most|fewest|least"))):
                    yield _ordered(query, measure, descending=descending, limit=limit or 1), after


def _most_of(r: Reader, main: Relation, at: Place, *, counts: bool) -> Iterator[tuple[Measure | Field, Place]]:
    if counts:
        yield from _count_below(r, main, at)
    yield from measures(r, main, at)


def _superlative(r: Reader, at: Place) -> Queries:
    """Yield "latest 3 orders", "the 5 most expensive products", "oldest member"."""
    before, start = _limit(r, at)
    yield from _largest(r, start, before)
    for words, kind, descending in (
        ("most recent", None, True), (_NEWEST, None, True), (_OLDEST, None, False), *_ADJECTIVES,
    ):  # fmt: skip
        begin = r.word(start, words)
        if begin is None:
            continue
        after, noun = _limit(r, begin)
        for query, end in rows(r, noun):
            place = _ranking_column(r, query.main, kind, words) if _plain(query) else None
            if place:
                limit = before or after or (1 if _is_singular(r, query.main, noun, end) else None)
                yield _ordered(query, place, descending=descending, limit=limit), end


def _largest(r: Reader, at: Place, before: int | None) -> Queries:
    """Yield "largest 4 invoices": the only number of a row ranks it."""
    for words, descending in (("largest|biggest|highest", True), ("smallest|lowest", False)):
        begin = r.word(at, words)
        after, noun = _limit(r, begin) if begin else (None, at)
        for query, end in rows(r, noun) if begin and (before or after) else ():
            columns = measure_columns(query.main)
            if len(columns) == 1 and _plain(query):
                place = Field(relation=query.main, column=columns[0])
                yield _ordered(query, place, descending=descending, limit=before or after), end


def _is_singular(r: Reader, main: Relation, start: Place, end: Place) -> bool:
    """Return whether one row is asked for: the noun stands in the singular."""
    nouns = [t for t in r.s.tokens[start:end] if t.stem == words_of(main.name)[-1] or t.stem in words_of(main.name)]
    return not nouns or nouns[0].low == nouns[0].stem


def _ranking_column(r: Reader, main: Relation, kind: frozenset[str] | None, words: str) -> Field | None:
    """Return the only column that an adjective can mean; else note which there are."""
    if kind is None:
        columns = event_columns(main)
        if any(_BIRTH.intersection(words_of(c.name)) for c in columns) and words != _OLDEST:
            columns = []
    else:
        columns = [
            c for c in main.columns if (c.numeric or c.temporal) and c.readable and kind.intersection(words_of(c.name))
        ]
    columns = [c for c in columns if kind and kind.intersection([c.name.lower()])] or columns
    if len(columns) != 1:
        names = ", ".join(column.name for column in columns) or "none"
        r.notes.append(
            f"I do not know which column of {main.display_name} ranks that way (possible: {names}); please name it"
        )
        return None
    return Field(relation=main, column=columns[0])


def _ranked_groups(r: Reader, at: Place) -> Queries:
    """Yield "top 5 countries by number of clients" and "which country has the most clients": a column is ranked."""
    top = r.word(at, "top")
    limit, start = _limit(r, top or at)
    for main in r.names.relations:
        for name, place, end in r.columns(start, main):
            if place.relation.id != main.id or (name.short and name.state):
                continue
            by = r.word(end, "by the? total? number|count of") if top else r.word(end, "with|has|have|had the? most")
            few = None if top else r.word(end, "with|has|have|had the? fewest|least")
            for query, after in rows(r, by or few or -1) if by or few else ():
                if query.main.id == main.id and _plain(query):
                    longer = replace(query, groups=(Group(field=place),), measure=Measure(function="count"))
                    yield replace(longer, order=Order(field=None, descending=bool(by)), limit=limit or 1), after
            yield from _ranked_averages(r, main, place, end, limit, top=bool(top))


def _ranked_averages(r: Reader, main: Relation, place: Field, at: Place, limit: int | None, *, top: bool) -> Queries:
    """Yield "which genre has the highest average price" for a column."""
    for words, descending in ((_MOST, True), (_LEAST, False)):
        start = r.word(at, "by the?") if top else r.word(at, f"with|has|have|had the? {words}")
        named = function_at(r, start) if start else None
        if named is None or (top and not descending):
            continue
        for query, value, end in measured(r, named[1], clauses=False):
            if query.main.id == main.id and _fits(named[0], value):
                longer = replace(query, groups=(Group(field=place),), measure=Measure(function=named[0], field=value))
                yield replace(longer, order=Order(field=None, descending=descending), limit=limit or 1), end
