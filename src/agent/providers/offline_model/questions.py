"""The grammar of whole questions, and what is said when one cannot be read.

A question is read in every way in which each of its words has its place. What the fewest guesses explain is meant; if that is
several things, the user is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from agent.providers.offline_model.dates import period_at
from agent.providers.offline_model.join_graph import JoinGraph, measure_columns, row_field
from agent.providers.offline_model.names import Names
from agent.providers.offline_model.query import Defined, Field, Measure, Query, Unclear
from agent.providers.offline_model.ranking import aggregate, defined_number, ranked
from agent.providers.offline_model.reader import GRAMMAR, Place, Reader, TooManyReadings
from agent.providers.offline_model.rows import Queries, all_clauses, rows
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import LONGEST_PARSED, Sentence, count_of, sentence_of
from agent.providers.offline_model.values import all_conditions, wanted_in

_POLITE = "please|hi|hello|so|ok|can|could|would|you|also"
_WHAT = "what|who is|are|was|were? the?"
_LISTING = "list|show|give|display|find|get|fetch|print me|us? all? of? the?"
_MOST_READINGS = 200


def question(r: Reader, at: Place = 0) -> Iterator[Query]:
    """Yield each query that all words of the question make together."""
    at = r.skip(at, _POLITE)
    for form in (_count, _sum_of, _distinct, _list, _fields, _field_first, _asked_aggregate, _asked_rank):
        for query, end in form(r, at):
            if r.at_end(end):
                yield query


def _count(r: Reader, at: Place) -> Queries:
    start = r.word(
        at, "how many", f"{_WHAT} total? number of", "the? total? number of", f"{_LISTING} total? number of", "the? count of",
        f"{_WHAT} count of", "count all? of? the?", "tell me how many", f"{_LISTING} me? how many",
    )  # fmt: skip
    for query, end in rows(r, start) if start else ():
        if not query.order and not query.fields and query.measure in (None, Measure(function="count")):
            yield replace(query, measure=Measure(function="count")), end


def _sum_of(r: Reader, at: Place) -> Queries:
    """Yield "how many rooms do the coastal sites have together" and "how many clicks did brand channels bring": the sum of a column."""
    start = r.word(at, "how many|much total?", f"{_WHAT} total? number of")
    if start is None or next(r.relations(start), None):
        return
    for main in r.names.relations:
        for name, place, end in r.columns(start, main):
            if not name.short and place.relation.id == main.id and place.column in measure_columns(main):
                measure = Measure(function="sum", field=place)
                for query, after in _summed_rows(r, main, end):
                    if query.main.id == main.id and not (query.groups or query.measure or query.order):
                        yield replace(query, measure=measure), after


def _summed_rows(r: Reader, main: Relation, at: Place) -> Queries:
    """Yield the rows after the column: "do they have together", "are there in all of them", or a defined word."""
    has = r.word(at, "do|does|did|have|has")
    for query, end in rows(r, has, clauses=False) if has else ():
        verb = r.word(end, "have|has|had together|altogether", "have|has|had in total|all", "have|has|had")
        if verb:
            yield query, verb
    of = r.word(at, "are|is there in|at|of|on? all?", "in|at|on all")
    for query, end in rows(r, of) if of else ():
        yield query, r.word(end, "together|altogether", "in total|all") or end
    for query, end in all_clauses(r, Query(main=main), at):
        if any(isinstance(one, Defined) for one in query.conditions):
            yield query, end


def _distinct(r: Reader, at: Place) -> Queries:
    """Yield "how many different countries are there in clients": distinct values of a column."""
    start = r.word(
        at, "how many different|distinct|unique", "number of different|distinct|unique", "count distinct|unique the?"
    )
    if start is None:
        return
    for main in r.names.relations:
        for _, place, end in r.columns(start, main):
            of = r.word(end, "do|are|of|in|have|there|among|for")
            begin = r.skip(of, "there|in|of|the|among|we|have") if of else -1
            for query, after in rows(r, begin) if of else ():
                if query.main.id == main.id and place.relation.id == main.id and not query.groups and not query.order:
                    yield (
                        replace(query, measure=Measure(function="count", field=place)),
                        r.word(after, "have|come from") or after,
                    )


def _list(r: Reader, at: Place) -> Queries:
    opener = r.word(
        at,
        _LISTING,
        "which|what of? the?",
        "what|which are the?",
        _WHAT,
        "i want|need to see the?",
        "tell me which|what",
    )
    start = opener or at
    first = r.word(start, "first")
    count = count_of(r.s.tokens[first or start]) if r.s.free(first or start) else None
    begin = (first or start) + 1 if count else start
    for query, end in rows(r, begin):
        with_columns = [(query, end), *_with_their_columns(r, query, end)]
        for longer, after in with_columns:
            if count and (longer.groups or longer.order):
                continue
            if not (longer.groups and opener and r.word(at, "list|show|give|display") and _says_by(r, begin, after)):
                yield replace(longer, limit=count), after
            else:
                r.notes.append(
                    "'by' may mean how many there are per value, or an order; please say 'how many ... per ...' or 'sorted by'"
                )


def _says_by(r: Reader, start: Place, end: Place) -> bool:
    return any(token.low == "by" for token in r.s.tokens[start:end])


def _with_their_columns(r: Reader, query: Query, at: Place) -> Queries:
    """Yield "books with their authors" and "clients and their emails"."""
    start = r.word(at, "with|and|including|show their|its|the")
    if start and not query.groups:
        for fields, end in _columns(r, start, query.main):
            yield replace(query, fields=fields), end


def _columns(r: Reader, at: Place, main: Relation) -> Iterator[tuple[tuple[Field, ...], Place]]:
    """Yield a list of columns of `main`: "name, email and phone"."""
    for name, place, end in _column_or_owner(r, r.skip(at, "the|their|all"), main):
        if name:
            continue
        yield (place,), end
        again = r.word(end, ", and", "and|,")
        if again:
            yield from (((place, *more), after) for more, after in _columns(r, again, main) if place not in more)


def _column_or_owner(r: Reader, at: Place, main: Relation) -> Iterator[tuple[bool, Field, Place]]:
    found = False
    for name, place, end in r.columns(at, main):
        found = True
        yield name.negated or (name.short and name.state), place, end
    if not found:
        for role, end in r.roles(at, main):
            owner = _owner_name(r, main, role.relation, role.via)
            if owner:
                yield False, owner, end


def _owner_name(r: Reader, main: Relation, owner: Relation, via: object) -> Field | None:
    place = row_field(owner, via=via)  # type: ignore[arg-type]  # a foreign key or None
    return place if place and (via or owner.id != main.id) and r.graph.leads_up(main, owner, via=place.via) else None


def _fields(r: Reader, at: Place) -> Queries:
    """Yield "names and emails of active clients", "what is the status of client Quartz Health"."""
    start = r.word(at, _WHAT, _LISTING, "what|which", "tell me the?") or at
    if r.word(start, "total"):
        return  # a sum
    for main in r.names.relations:
        for fields, end in _columns(r, start, main):
            of = r.word(end, "of|from|for|in|does|do|did|has|have")
            for query, after in rows(r, of) if of else ():
                if query.main.id == main.id and not (query.groups or query.measure):
                    owner_verb = r.word(after, "have") if r.word(end, "does|do|did") else after
                    if owner_verb:
                        yield replace(query, fields=fields), owner_verb


def _field_first(r: Reader, at: Place) -> Queries:
    """Yield "customer names and emails" and "client 5's email": the noun first."""
    start = r.word(at, _WHAT, _LISTING) or at
    for query, end in rows(r, start, clauses=False):
        if query.main.columns and r.word(start, "total"):
            return
        for fields, after in _columns(r, end, query.main):
            if all(place.relation.id == query.main.id for place in fields) and not period_at(r.s, after):
                yield from all_clauses(r, replace(query, fields=fields), after)


def _asked_aggregate(r: Reader, at: Place) -> Queries:
    start = r.word(at, _WHAT, f"{_LISTING}", "calculate|compute the?") or at
    yield from aggregate(r, start)
    yield from defined_number(r, r.word(at, "how much") or start)


def _asked_rank(r: Reader, at: Place) -> Queries:
    start = r.word(at, _WHAT, _LISTING, "which|what are|is? the?", "who are|is the?") or at
    yield from ranked(r, start)


def read(asked: str, names: Names, graph: JoinGraph) -> tuple[Query, ...] | Unclear:
    """Return what `asked` can mean, or why it means nothing that this grammar knows."""
    s = sentence_of(asked)
    if len(s.tokens) > LONGEST_PARSED:
        return Unclear(reason=f"a question of more than {LONGEST_PARSED} words is not a simple one")
    readers = [Reader(sentence, names, graph, schema) for sentence, schema in _variants(s, names)]
    try:
        found = [query for r in readers for query in islice(question(r), _MOST_READINGS)]
    except TooManyReadings:
        return Unclear(reason="it can be read in too many ways; please ask more simply")
    found = [query for query in found if all(wanted.fields for wanted in wanted_in(all_conditions(query)))]
    missing = next((query.main for query in found if not query.main.columns), None)
    if missing:
        return Unclear(reason=f"I do not know the columns of {missing.display_name}", need=missing)
    return _best(found) or unclear(readers[0])


def _best(found: Sequence[Query]) -> tuple[Query, ...]:
    """Return the readings with the fewest guesses, each once."""
    fewest = min((query.guesses for query in found), default=None)
    return tuple(dict.fromkeys(q for q in found if q.guesses == fewest and not (q.fields and q.groups)))


def _variants(s: Sentence, names: Names) -> Iterator[tuple[Sentence, str | None]]:
    """Yield the sentence, and without "in the archive schema" if it names the schema of a table."""
    yield s, None
    shared = {r.schema for r in names.relations if r.shared}
    for schema in sorted({relation.schema for relation in names.relations}):
        for at in range(len(s.tokens)):
            start = s.match(at, "in|from|of|within|inside|under the? schema?")
            end = s.match(start, schema.lower()) if start else None
            closed = s.match(end, "schema") if end else None
            if end and (closed or schema in shared):
                yield s.without(at - 1 if s.match(at - 1, "are|is") else at, closed or end), schema


def unclear(r: Reader) -> Unclear:
    """Return which words have no place, or what else is missing."""
    known = r.names.known(r.s)
    named = [name.relation for at in range(len(r.s.tokens)) for name, _ in r.relations(at)]
    need = next((relation for relation in named if not relation.columns), None)
    unknown = [
        token.text
        for at, token in enumerate(r.s.tokens)
        if token.kind == "word" and at not in known and token.low not in GRAMMAR and count_of(token) is None
    ]
    if not r.s.tokens:
        reason = "there is no question"
    elif r.notes:
        reason = r.notes[0]
    elif unknown:
        reason = "I do not understand " + ", ".join(repr(word) for word in dict.fromkeys(unknown[:8]))
    elif 0 < r.furthest < len(r.s.tokens):
        reason = f"I do not understand {r.s.span(r.furthest, len(r.s.tokens))!r} after {r.s.span(0, r.furthest)!r}"
    else:
        reason = f"I do not understand {r.s.text.strip()[:80]!r}"
    return Unclear(reason=reason, need=need, no_relation=not named)
