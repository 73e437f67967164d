"""Finds the days, times and spans of time that a text means, however people write them. Pure.

A model turns "tomorrow at 3pm" into `2026-11-30 15:00`. Nobody said that constant, and nobody needs to: it matters only
whether it is a moment that a text in the data asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAYS = (
    re.compile(r"(?<!\d)\d{4}-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?<![\d.])(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.(?!\d{3}\.)"),
    re.compile(r"(?<![\d/])(?P<month>\d{1,2})/(?P<day>\d{1,2})(?![\d])"),
    re.compile(r"(?<![\d/])(?P<day>\d{1,2})/(?P<month>\d{1,2})(?![\d])"),
    re.compile(rf"\b{_MONTH}\s+(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b", re.I),
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{_MONTH}\b", re.I),
)
_TIME = re.compile(
    r"(?<![\d:.-])(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::\d{2})?\s?(?P<half>[ap])?\.?(?P<m>m\b)?", re.I
)
_SPAN = re.compile(r"(?P<number>\d+)\s*(?P<unit>second|minute|min|hour|hr|h|day|week|month|year)s?\b", re.I)
_CONSTANT = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?(?:Z|[+-]\d{2}(?::?\d{2})?))?)?|\d{1,2}:\d{2}(?::\d{2})?"
    r"|P(?:T?\d+[DHMSWY])+|(?:[+-]?\d+\s*(?:second|minute|min|hour|hr|day|week|month|year)s?[, ]*)+|(?:now|today|tomorrow)",
    re.I,
)
_MENTIONS = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|noon|midnight|morning|afternoon|evening|now|later|earlier|weekend|o'clock|daily|weekly"
    r"|monthly|yearly|duration|long(?:er)?|(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
    r"|(?:second|minute|hour|day|week|month|year|quarter)s?|\d{1,2}(?:st|nd|rd|th))\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments in a text: (month, day), (hour, minute), and (number, unit) of spans. `mentions` says whether it speaks of time."""

    days: frozenset[tuple[int, int]]
    times: frozenset[tuple[int, int]]
    spans: frozenset[tuple[int, str]]
    mentions: bool

    @classmethod
    def of(cls, text: str) -> Moments:
        """Return the moments in a text, with every reading of an ambiguous one."""
        days = frozenset(_day(match) for pattern in _DAYS for match in pattern.finditer(text))
        rest = re.sub(r"\d{4}-\d{1,2}-\d{1,2}T?", " ", text)
        times = frozenset(time for match in _TIME.finditer(rest) for time in _readings(match))
        spans = frozenset((int(match["number"][:9]), match["unit"][:2].lower()) for match in _SPAN.finditer(text))
        return cls(days, times, spans, bool(days or times or _MENTIONS.search(text)))


def is_moment(constant: str) -> bool:
    """Return whether a constant of a statement is a date, a time, or a span of time, and nothing else."""
    return bool(_CONSTANT.fullmatch(constant.strip()))


def is_asked_for(constant: str, said: Moments, told: Moments) -> bool:
    """Return whether the user named a moment, or spoke of time and no text in the data named it (`told`)."""
    own = Moments.of(constant)
    if own.spans:
        return own.spans <= said.spans or (said.mentions and not own.spans & told.spans)
    times = {time for time in own.times if time != (0, 0)}
    unsaid = (own.days - said.days) | (times - said.times)
    return not unsaid or (said.mentions and not unsaid & (told.days | told.times))


def _day(match: re.Match[str]) -> tuple[int, int]:
    month = match["month"].lower()[:3]
    return (_MONTHS.index(month) + 1 if month in _MONTHS else int(month), int(match["day"]))


def _readings(match: re.Match[str]) -> list[tuple[int, int]]:
    """Return the times that an hour may mean; a bare number means one only beside minutes or am and pm."""
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    if match["half"] and match["m"]:
        return [(hour % 12 + (12 if match["half"].lower() == "p" else 0), minute)]
    return [(hour, minute)] if match["minute"] else []
