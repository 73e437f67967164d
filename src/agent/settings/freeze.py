"""Reads AGENT_FREEZE: the times in which nothing may be changed, or only with more people's yes. Pure.

    Fri 16:00-Mon 08:00 Europe/Berlin; Mon-Fri 09:00-17:00 approvers=2; 12-20..01-06

A time is that of the clock on the wall in the window's time zone, also where the clock is set forward or back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEK = 7 * 24 * 3600
_DAY = 24 * 3600
_MOST_APPROVERS = 100
_FORM = (
    "must have windows such as 'Fri 16:00-Mon 08:00 Europe/Berlin', 'Mon-Fri 09:00-17:00 approvers=2' or "
    "'12-20..01-06', with a ; between them"
)
_WORD, _TIME = r"[a-z]+", r"\d{1,2}:\d{2}"
_SPAN = re.compile(rf"({_WORD}) ({_TIME})-({_WORD}) ({_TIME})")
_HOURS = re.compile(rf"(?:({_WORD})(?:-({_WORD}))? )?({_TIME})-({_TIME})")
_DATES = re.compile(r"(\d{4}-)?(\d{2}-\d{2})\.\.(\d{4}-)?(\d{2}-\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """One window. `approvers` people must agree to a change in it; 0 says that nothing is changed.

    Either `spans` has its seconds of the week (an end may lie in the next week), or `first` and `last` are its days: with the
    year, or without it for every year.
    """

    text: str
    zone: ZoneInfo
    approvers: int = 0
    spans: tuple[tuple[int, int], ...] = ()
    first: str = ""
    last: str = ""

    def end(self, now: datetime) -> datetime | None:
        """Return when the window that covers `now` ends; None if it does not cover it."""
        local = now.astimezone(self.zone)
        return self._end_by_dates(local) if self.first else self._end_by_week(local)

    def _end_by_week(self, local: datetime) -> datetime | None:
        passed = local.weekday() * _DAY + local.hour * 3600 + local.minute * 60 + local.second
        left = [end - at for start, end in self.spans for at in (passed, passed + _WEEK) if start <= at < end]
        if not left:
            return None
        wall = local.replace(tzinfo=None, microsecond=0) + timedelta(seconds=max(left))
        return wall.replace(tzinfo=self.zone)

    def _end_by_dates(self, local: datetime) -> datetime | None:
        if not self._has(local.date()):
            return None
        later = (local.date() + timedelta(days=number) for number in range(1, 367))
        after = next((day for day in later if not self._has(day)), local.date() + timedelta(days=366))
        return datetime.combine(after, time(), tzinfo=self.zone)

    def _has(self, day: date) -> bool:
        text = day.isoformat()[-len(self.first) :]
        if self.first > self.last:
            return self.first <= text or text <= self.last
        return self.first <= text <= self.last


def freeze_windows(text: str) -> tuple[FreezeWindow, ...]:
    """Return the windows in `text`. Raises `ValueError`, which says the form."""
    return tuple(_window(part.strip()) for part in text.split(";") if part.strip())


def _window(text: str) -> FreezeWindow:
    words = text.split()
    approvers, zone = 0, ZoneInfo("UTC")
    if found := re.fullmatch(r"(?:approvers=(\d{1,3})|refuse)", words[-1]):
        words.pop()
        approvers = int(found.group(1) or 0)
        if found.group(1) and not 2 <= approvers <= _MOST_APPROVERS:
            raise ValueError(f"{_FORM}; approvers are 2 to {_MOST_APPROVERS}")
    if words and re.fullmatch(r"UTC|[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+", words[-1]):
        zone = _zone(words.pop())
    rest = " ".join(words).lower().replace("–", "-")  # noqa: RUF001  # a dash that word processors write
    if dates := _DATES.fullmatch(rest):
        first, last = _days(*dates.groups())
        return FreezeWindow(text=text, zone=zone, approvers=approvers, first=first, last=last)
    return FreezeWindow(text=text, zone=zone, approvers=approvers, spans=tuple(_spans(rest)))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{_FORM}; a time zone in it is not known here") from None


def _days(first_year: str | None, first: str, last_year: str | None, last: str) -> tuple[str, str]:
    begin, end = f"{first_year or ''}{first}", f"{last_year or ''}{last}"
    try:
        days = [date.fromisoformat(day if len(day) == 10 else f"2024-{day}") for day in (begin, end)]
    except ValueError:
        raise ValueError(_FORM) from None
    if len(begin) != len(end) or (first_year and days[0] > days[1]):
        raise ValueError(f"{_FORM}; both days have a year, or none has")
    return begin, end


def _spans(text: str) -> Iterator[tuple[int, int]]:
    if span := _SPAN.fullmatch(text):
        start = _day(span.group(1)) * _DAY + _seconds(span.group(2))
        end = _day(span.group(3)) * _DAY + _seconds(span.group(4))
        if start == end:
            raise ValueError(f"{_FORM}; a window does not end where it begins")
        yield start, end if end > start else end + _WEEK
        return
    hours = _HOURS.fullmatch(text)
    if hours is None:
        raise ValueError(_FORM)
    first, last, start_time, end_time = hours.groups()
    start, end = _seconds(start_time), _seconds(end_time)
    if start == end:
        raise ValueError(f"{_FORM}; a window does not end where it begins")
    for day in _days_of_week(first, last):
        yield day * _DAY + start, day * _DAY + end + (_DAY if end < start else 0)


def _days_of_week(first: str | None, last: str | None) -> list[int]:
    if first is None:
        return list(range(7))
    begin = _day(first)
    end = _day(last) if last else begin
    return [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]


def _day(word: str) -> int:
    for names in (_DAYS, _LONG_DAYS):
        if word in names:
            return names.index(word)
    raise ValueError(_FORM)


def _seconds(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours > 24 or (hours == 24 and minutes):
        raise ValueError(_FORM)
    return hours * 3600 + minutes * 60
