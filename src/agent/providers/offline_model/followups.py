"""Reads a question that leans on the one before, where that is exact: "and by status?", "how many of those?", "only the paused ones"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.providers.offline_model.conditions import modifier
from agent.providers.offline_model.join_graph import JoinGraph
from agent.providers.offline_model.names import Names
from agent.providers.offline_model.query import Comparison, Condition, Measure, Query, Unclear
from agent.providers.offline_model.questions import read
from agent.providers.offline_model.reader import Place, Reader
from agent.providers.offline_model.rows import group_of
from agent.providers.offline_model.tokenizer import sentence_of


def understand(asked: Sequence[str], names: Names, graph: JoinGraph) -> Sequence[Query] | Unclear:
    """Return what the last of `asked` can mean: by itself, else together with the question before it."""
    alone = read(asked[-1], names, graph)
    if not isinstance(alone, Unclear) or len(asked) < 2 or alone.need:
        return alone
    before = understand(asked[:-1], names, graph)
    if isinstance(before, Unclear):
        return alone
    r = Reader(sentence_of(asked[-1]), names, graph)
    together = tuple(dict.fromkeys(query for one in before for query in _leaning(r, one)))
    return together or alone


def _leaning(r: Reader, before: Query) -> Iterator[Query]:
    at = r.word(0, "and|so|ok") or 0
    for query, end in _forms(r, before, r.word(at, ",") or at):
        if r.at_end(end):
            yield query


def _forms(r: Reader, before: Query, at: Place) -> Iterator[tuple[Query, Place]]:
    by = r.word(at, "what|how about? per|by", "per|by", "for each")
    if by and before.measure and not before.order:
        for group, end in group_of(r, before.main, by):
            yield replace(before, groups=(group,)), end
    yield from _counted(r, before, at)
    only = r.word(at, "only|just the?", "only|just", "the", "which|how of those are") or -1
    for found, end in modifier(r, before.main, only) if r.s.free(only) else ():
        ones = r.word(end, "one|ones") or (end if r.word(at, "which") else None)
        if ones:
            yield _narrowed(before, found), ones


def _counted(r: Reader, before: Query, at: Place) -> Iterator[tuple[Query, Place]]:
    """Yield "how many of those?" and "how many are paused?"."""
    start = r.word(at, "how many")
    if start is None or before.limit:
        return
    rows = replace(before, measure=Measure(function="count"), groups=(), order=None, fields=())
    end = r.word(start, "of those|them|these", "are there", "are those|these|they")
    if end:
        yield rows, end
    predicate = r.word(start, "of? those|them? are|were|is")
    for found, after in modifier(r, before.main, predicate) if predicate else ():
        yield _narrowed(rows, found), after


def _narrowed(before: Query, found: Condition) -> Query:
    """Return `before` with `found` in place of a condition on the same column."""
    place = found.field if isinstance(found, Comparison) else None
    kept = (c for c in before.conditions if not (isinstance(c, Comparison) and c.field == place))
    return replace(before, conditions=(*kept, found))
