"""Finds spans of time in a question: "last 7 days", "this month", "in March 2025", "since 2024", "between ... and ...".

The bounds are SQL expressions over `now()`, so the database's clock decides and the model stays deterministic.
"""

from __future__ import annotations

import datetime as dt
import re

from agent.providers.offline_model.tokenizer import Sentence, count_of
from agent.text.calendar_words import MONTHS

UNITS = ("day", "week", "month", "quarter", "year", "hour")
_UNIT = "|".join(UNITS)
_MONTH_NUMBER = {name: n for n, name in enumerate(MONTHS, 1)} | {name[:3]: n for n, name in enumerate(MONTHS, 1)}


Span = tuple[str | None, str | None, int]  # lower bound, upper bound, end of its words


def period_at(s: Sentence, at: int) -> Span | None:
    """Return the span of time that the words at `at` name: from the lower up to but not including the upper bound."""
    if not s.free(at):
        return None
    for parse in (_between, _bounded, _distance, _from, _inside):
        span = parse(s, at)
        if span:
            return span
    return None


def month_at(s: Sentence, at: int) -> str | None:
    """Return the name of the month that the token at `at` is, or None."""
    return s.tokens[at].text if s.free(at) and s.tokens[at].low in MONTHS else None


def year_at(s: Sentence, at: int) -> int | None:
    """Return the year that the token at `at` is, or None."""
    if not s.free(at) or not re.fullmatch(r"(?:19|20)\d\d", s.tokens[at].text):
        return None
    return int(s.tokens[at].text)


def _between(s: Sentence, at: int) -> Span | None:
    start = s.match(at, "between|from")
    if start is None:
        return None
    first = _moment(s, start)
    if first is None:
        return _months_of_one_year(s, start)
    middle = s.match(first[2], "and|to|until|till|through")
    second = _moment(s, middle) if middle else None
    return (first[0], second[1], second[2]) if second else None


def _months_of_one_year(s: Sentence, at: int) -> Span | None:
    """Return the span of "March and May 2023"."""
    second = s.match(at + 1, "and|to|until|till|through") if month_at(s, at) else None
    year = year_at(s, second + 1) if second and month_at(s, second) else None
    if second is None or year is None:
        return None
    first, last = _MONTH_NUMBER[s.tokens[at].low], _MONTH_NUMBER[s.tokens[second].low]
    return _months(year, first, last - first + 1, second + 2) if first <= last else None


def _bounded(s: Sentence, at: int) -> Span | None:
    for words, side in (
        ("on or after", "from start"),
        ("on or before", "to end"),
        ("since|starting", "from start"),
        ("after", "from end"),
        ("later than", "from end"),
        ("before|prior|earlier", "to start"),
        ("until|till|through", "to end"),
    ):
        start = s.match(at, words)
        start = (s.match(start, "than|to|with|the|from") or start) if start else None
        moment = _moment(s, start) if start else None
        if moment:
            first, last, end = moment
            return {
                "from start": (first, None, end),
                "from end": (last, None, end),
                "to start": (None, first, end),
                "to end": (None, last, end),
            }[side]
    return None


def _distance(s: Sentence, at: int) -> Span | None:
    """Return spans measured from now: "last 7 days", "older than 2 weeks", "more than 30 days ago"."""
    start = s.match(at, "older than") or s.match(at, "more than|over")
    if start:
        span = _count_and_unit(s, start)
        ago = s.match(span[1], "ago") if span else None
        if span and (ago or s.tokens[at].low == "older"):
            return None, f"now() - interval '{span[0]}'", ago or span[1]
    start = s.match(at, "in|within|during|over|for|of|from? the|these? last|past|previous") or s.match(
        at, "last|past|previous|within"
    )
    span = _count_and_unit(s, start) if start else None
    if span:
        return f"now() - interval '{span[0]}'", "now()", span[1]
    start = s.match(at, "in|within|during? the? next|coming")
    span = _count_and_unit(s, start) if start else None
    return ("now()", f"now() + interval '{span[0]}'", span[1]) if span else None


def _from(s: Sentence, at: int) -> Span | None:
    """Return the span of "from June 2023": that month; with "on" or "onwards" behind it, all since then."""
    start = s.match(at, "from the?")
    moment = _moment(s, start) if start else None
    onwards = s.match(moment[2], "on|onward|onwards|forward") if moment else None
    return (moment[0], None, onwards) if moment and onwards else moment


def _inside(s: Sentence, at: int) -> Span | None:
    start = s.match(at, "in|on|during|of|for|within|throughout the? month?")
    if start:
        moment = _moment(s, start)
        if moment:
            return moment
    token = s.tokens[at]
    if token.kind == "number" and not s.match(at - 1, "year"):
        return None  # a bare 2025 may be any number
    return _moment(s, at) if s.free(at) else None


def _count_and_unit(s: Sentence, at: int) -> tuple[str, int] | None:
    if not s.free(at) or not s.free(at + 1):
        return None
    count, unit = count_of(s.tokens[at]), s.tokens[at + 1].stem
    if count is None or unit not in UNITS:
        return None
    return (f"{count * 3} months" if unit == "quarter" else f"{count} {unit}s"), at + 2


def _moment(s: Sentence, at: int | None) -> Span | None:
    """Return the start and end of a named stretch of time, and the end of its words."""
    if at is None or not s.free(at):
        return None
    return _relative(s, at) or _calendar(s, at)


def _relative(s: Sentence, at: int) -> Span | None:
    token = s.tokens[at]
    shift = {"today": 0, "yesterday": -1, "tomorrow": 1}.get(token.low)
    if shift is not None:
        return _around_now("day", shift, at + 1)
    shift = {"this": 0, "current": 0, "last": -1, "previous": -1, "past": -1, "next": 1}.get(token.low)
    if shift is not None and s.match(at + 1, _UNIT) and not s.tokens[at + 1].low.endswith("s"):
        return _around_now(s.tokens[at + 1].stem, shift, at + 2)
    return None


def _around_now(unit: str, shift: int, end: int) -> Span:
    step = "3 months" if unit == "quarter" else f"1 {unit}"
    begin = f"date_trunc('{unit}', now())"
    after = f"{begin} + interval '{step}'"
    if shift < 0:
        return f"{begin} - interval '{step}'", begin, end
    if shift > 0:
        return after, f"{after} + interval '{step}'", end
    return begin, after, end


def _calendar(s: Sentence, at: int) -> Span | None:
    token = s.tokens[at]
    if token.kind == "date":
        return _days(_date(token.text), at + 1)
    if re.fullmatch(r"q[1-4]", token.low) and (year := year_at(s, at + 1)):
        return _months(year, int(token.low[1]) * 3 - 2, 3, at + 2)
    if token.kind == "word" and token.low in _MONTH_NUMBER:
        return _month(s, at)
    at = s.match(at, "year") or at
    if year := year_at(s, at):
        return _months(year, 1, 12, at + 1)
    return None


def _month(s: Sentence, at: int) -> Span | None:
    """Return the span of "March 2025". A month without its year may be any."""
    year = year_at(s, at + 1)
    return _months(year, _MONTH_NUMBER[s.tokens[at].low], 1, at + 2) if year else None


def _date(text: str) -> dt.date | None:
    year, month, day = map(int, text.split("-"))
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _days(day: dt.date | None, end: int) -> Span | None:
    if day is None or day == dt.date.max:
        return None
    return _literal(day), _literal(day + dt.timedelta(days=1)), end


def _months(year: int, month: int, count: int, end: int) -> Span:
    last = year * 12 + month - 1 + count
    return _literal(dt.date(year, month, 1)), _literal(dt.date(last // 12, last % 12 + 1, 1)), end


def _literal(day: dt.date) -> str:
    return f"date '{day.isoformat()}'"
