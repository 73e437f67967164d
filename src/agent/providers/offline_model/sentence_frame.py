"""Finds the words that shape a question in any schema: "how many", "total", "top five", "sorted by"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.providers.offline_model.lexicon import Mention
from agent.providers.offline_model.query import Function
from agent.providers.offline_model.tokenizer import Sentence, count_of, words_of

Ranking = Literal["value", "length", "price", "time", "age", "related"]

_MEASURES: tuple[tuple[Function, tuple[str, ...]], ...] = (
    ("count", ("how many", "the? total? number of", "count of", "count", "the? amount of? of")),
    ("avg", ("average", "avg", "mean", "on average")),
    ("max", ("maximum", "max")),
    ("min", ("minimum", "min")),
    ("sum", ("sum of? of", "sum", "how much", "add up", "combined", "overall total", "total")),
)
_RANKINGS: tuple[tuple[str, Ranking, bool], ...] = (
    ("most|more expensive|costly", "price", True),
    ("least expensive", "price", False),
    ("priciest", "price", True),
    ("cheapest", "price", False),
    ("most recent|recently", "time", True),
    ("latest|newest", "time", True),
    ("earliest", "time", False),
    ("oldest", "age", False),
    ("youngest", "age", True),
    ("highest|largest|biggest|greatest|best|top", "value", True),
    ("lowest|smallest", "value", False),
    ("longest", "length", True),
    ("shortest", "length", False),
    ("most", "related", True),
    ("fewest|least", "related", False),
)
_DEFAULT_MANY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A superlative such as "top 5": what ranks, which end comes first, how many rows (None: not given), and where its words are."""

    by: Ranking
    descending: bool
    limit: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceFrame:
    """The measure, ranking, limit and sort order of a question. `measure_at` and `sort_at` are positions of words."""

    measure: Function | None = None
    measure_at: int = -1
    ranked: Ranked | None = None
    limit: int | None = None
    sort_at: int | None = None
    descending: bool = False


def take_sorting(s: Sentence) -> tuple[int | None, bool]:
    """Return where the sort column of "sorted by" starts, and whether the order is descending. Runs before "order" is taken for a table."""
    span = s.take("sorted|ordered|sort|ranked by", "sort|order them|it|these by", "in order of")
    if not span:
        for at in range(2, len(s.tokens)):
            if s.tokens[at].low == "order" and s.match(at, "order by"):
                span = (at, at + 2)
                s.use(*span)
    descending = bool(s.take("descending|desc", "highest|largest|newest|latest first", "in descending order"))
    s.take("ascending|asc", "lowest|smallest|oldest first", "alphabetically")
    return (span[1] if span else None), descending


def take_frame(s: Sentence, mentions: Sequence[Mention]) -> SentenceFrame:
    """Return the frame, and mark its words as used; words that are names in the schema do not count."""
    names = {i for mention in mentions for i in range(mention.start, mention.end)}
    ranked = _with_count(s, _ranked(s, names), mentions)
    measure, at = _measure(s, names, mentions)
    limit = _first_rows(s) if ranked is None else None
    return SentenceFrame(measure=measure, measure_at=at, ranked=ranked, limit=limit)


def _measure(s: Sentence, names: set[int], mentions: Sequence[Mention]) -> tuple[Function | None, int]:
    for function, phrases in _MEASURES:
        span = s.search(*phrases)
        if not span:
            continue
        start, end = span
        named = start in names and end == start + 1
        if named and not (s.tokens[start].low == "total" and _total_is_sum(s, start, mentions)):
            continue
        s.use(start, end)
        if function in ("sum", "avg") and s.match(end, "total|sum") and end not in names:
            s.use(end, end + 1)
        return function, start
    return None, -1


def _total_is_sum(s: Sentence, at: int, mentions: Sequence[Mention]) -> bool:
    """Return whether "total" adds up the column after it, and is not a column itself."""
    following = [mention for mention in mentions if at < mention.start <= at + 3]
    numeric = any(name.column.numeric for mention in following[:2] for name in mention.columns)
    relations = [name.relation for mention in following[:1] if mention.start == at + 1 for name in mention.relations]
    if relations and not any(words_of(column.name) == ("total",) for column in relations[0].columns):
        return True
    return numeric or any(s.match(near, "of|amount|value|revenue|sales") for near in (at + 1, at + 2))


def _ranked(s: Sentence, names: set[int]) -> Ranked | None:
    for phrase, by, descending in _RANKINGS:
        for start in range(len(s.tokens)):
            end = s.match(start, phrase)
            if end is None or (start in names and end == start + 1) or s.match(start - 1, "at"):
                continue
            return _with_limit(s, Ranked(by=by, descending=descending, limit=None, start=start, end=end))
    return _last_rows(s, names)


def _last_rows(s: Sentence, names: set[int]) -> Ranked | None:
    """Return the ranking by time of "the last 5 orders" or "first order"; "last name" is none."""
    for word, descending in (("last", True), ("first", False)):
        span = s.search(word)
        if span and span[0] not in names and not s.match(span[1], "name"):
            ranked = Ranked(by="time", descending=descending, limit=None, start=span[0], end=span[1])
            if word == "first" and s.free(span[1]) and count_of(s.tokens[span[1]]):
                return None  # "first 10 clients" is a limit without an order
            return _with_limit(s, ranked)
    return None


def _with_limit(s: Sentence, ranked: Ranked) -> Ranked:
    start, end, limit = ranked.start, ranked.end, None
    for at in (end, start - 1):
        if s.free(at) and (count := count_of(s.tokens[at])) and s.tokens[at].kind in ("number", "word"):
            limit = count
            start, end = min(start, at), max(end, at + 1)
            break
    s.use(start, end)
    return Ranked(by=ranked.by, descending=ranked.descending, limit=limit, start=start, end=end)


def _with_count(s: Sentence, ranked: Ranked | None, mentions: Sequence[Mention]) -> Ranked | None:
    """Add the limit of "the 3 clients with the most orders", where the number precedes the relation."""
    if ranked is None or ranked.limit is not None:
        return ranked
    for mention in mentions:
        at = mention.start - 1
        if (
            mention.relations
            and s.free(at)
            and (count := count_of(s.tokens[at]))
            and not s.match(at - 1, "than|least|over")
        ):
            s.use(at, at + 1)
            return replace(ranked, limit=count)
    return ranked


def _first_rows(s: Sentence) -> int | None:
    """Return the limit of "first 10 clients", "show 5 orders" or "limit 5"."""
    for phrase in ("first", "limit", "show|list|give|display|get|see me?"):
        span = s.search(phrase)
        if span and s.free(span[1]) and (count := count_of(s.tokens[span[1]])):
            s.use(span[0], span[1] + 1)
            return count
    return None


def default_limit(s: Sentence, mention: Mention | None) -> int:
    """Return the limit of a superlative without a number: 1 for "the latest order", more for "the latest orders"."""
    if mention is None:
        return 1
    last = s.tokens[mention.end - 1]
    return 1 if last.low == last.stem else _DEFAULT_MANY
