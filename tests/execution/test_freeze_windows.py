"""AGENT_FREEZE as people write it: what a window covers, when it ends, and what is refused as no window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigurationError
from agent.execution.guards.conditions import freeze_at
from agent.settings import Settings
from agent.settings.freeze import freeze_windows

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("window", "moment", "end"),
    [
        ("Fri 16:00-Mon 08:00 Europe/Berlin", "2026-11-27 15:59:59", None),
        ("Fri 16:00-Mon 08:00 Europe/Berlin", "2026-11-27 16:00:00", "2026-11-30 08:00"),
        ("friday 16:00–monday 08:00 Europe/Berlin", "2026-11-29 12:00", "2026-11-30 08:00"),  # noqa: RUF001  # as pasted
        ("Fri 16:00-Mon 08:00 Europe/Berlin", "2026-11-30 08:00", None),
        # The clocks go back on this Sunday: the window still ends at eight on the wall.
        ("Fri 16:00-Mon 08:00 Europe/Berlin", "2026-10-25 02:30", "2026-10-26 08:00"),
        ("Fri 16:00-Mon 08:00 Europe/Berlin", "2026-03-29 03:30", "2026-03-30 08:00"),
        ("Mon-Fri 22:00-06:00 Europe/Berlin", "2026-11-28 05:59", "2026-11-28 06:00"),
        ("Mon-Fri 22:00-06:00 Europe/Berlin", "2026-11-28 22:30", None),
        ("Sat-Sun 00:00-24:00 Europe/Berlin", "2026-11-29 23:59:59", "2026-11-30 00:00"),
        ("Sun 22:00-02:00 Europe/Berlin", "2026-11-30 01:00", "2026-11-30 02:00"),
        ("09:00-17:00 Europe/Berlin", "2026-11-29 16:59", "2026-11-29 17:00"),
        ("12-20..01-06 Europe/Berlin", "2027-01-06 23:59", "2027-01-07 00:00"),
        ("12-20..01-06 Europe/Berlin", "2027-01-07 00:00", None),
        ("02-20..02-29 Europe/Berlin", "2027-02-28 12:00", "2027-03-01 00:00"),
        ("2026-12-24..2026-12-26 Europe/Berlin", "2026-12-25 12:00", "2026-12-27 00:00"),
        ("2026-12-24..2026-12-26 Europe/Berlin", "2027-12-25 12:00", None),
    ],
)
def test_a_window_covers_what_its_words_say(window: str, moment: str, end: str | None) -> None:
    (one,) = freeze_windows(window)
    assert one.end(at(moment)) == (at(end) if end else None)


def test_the_strictest_of_the_windows_in_force_counts() -> None:
    windows = freeze_windows("00:00-24:00 approvers=2; 2026-11-29..2026-11-30; Mon-Sun 00:00-24:00 approvers=3")
    assert freeze_at(at("2026-11-29 12:00"), windows).window.approvers == 0
    assert freeze_at(at("2026-12-02 12:00"), windows).window.approvers == 3
    assert freeze_at(at("2026-12-02 12:00"), ()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "Fri", "always", "Fri 16:00", "Fri 25:00-Mon 08:00", "Fri 16:60-Mon 08:00", "Fri 16:00-Fri 16:00", "Fre 16:00-Mon 08:00",
        "02-30..03-01", "2026-12-01..01-06", "2027-01-01..2026-12-01", "09:00-17:00 Mars/Base", "09:00-17:00 ../etc/passwd",
        "09:00-17:00 approvers=1", "09:00-17:00 approvers=999", "09:00-17:00; nonsense", "refuse", "approvers=2", "0 16 * * 5",
    ],
)  # fmt: skip
def test_what_is_no_window_stops_the_start_and_is_not_ignored(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_FREEZE"):
        Settings.load(freeze=wrong)


@given(
    st.integers(0, 7 * 1440 - 1), st.integers(1, 7 * 1440 - 1), st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1))
)
def test_the_end_is_the_first_minute_that_is_not_covered(start: int, length: int, moment: datetime) -> None:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    (begin, close) = (
        f"{days[m // 1440]} {m // 60 % 24:02}:{m % 60:02}" for m in (start, (start + length) % (7 * 1440))
    )
    (window,) = freeze_windows(f"{begin}-{close}")
    now = moment.replace(tzinfo=UTC)
    end = window.end(now)
    since = (now - datetime(2020, 1, 6, tzinfo=UTC)) % timedelta(days=7) - timedelta(minutes=start)
    assert (end is not None) == (since % timedelta(days=7) < timedelta(minutes=length))
    if end is not None:
        assert now < end <= now + timedelta(minutes=length)
        assert window.end(end - timedelta(seconds=1)) == end
        assert window.end(end) is None
