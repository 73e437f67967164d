"""Hybrid logical clocks: a time that never runs back, a counter for what happens at the same time, and who. Pure.

A clock is a text whose order as a text is its order in time: `0001796000000000-00003-agent`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.errors import InvalidInput

_FORM = re.compile(r"(\d{16})-(\d{5})-(.{0,200})", re.DOTALL)
ZERO = f"{0:016d}-{0:05d}-"
_MOST_AHEAD_MS = 60_000


def clock_at(milliseconds: int, node: str, *, after: Iterable[str] = ()) -> str:
    """Return a clock of `node` at a time: later than each of `after`, also where this machine's time is behind."""
    latest = max((parsed(one)[:2] for one in after), default=(0, -1))
    time, counter = max(latest, (milliseconds, -1))
    counter += 1
    if counter > 99_999:
        time, counter = time + 1, 0
    return f"{time:016d}-{counter:05d}-{node}"


def parsed(clock: str) -> tuple[int, int, str]:
    """Return a clock's time in milliseconds, counter and node. Raises `InvalidInput`."""
    form = _FORM.fullmatch(clock) if isinstance(clock, str) else None
    if form is None:
        raise InvalidInput(f"A clock has the form {clock_at(1_796_000_000_000, 'agent')}: time in ms, counter, agent.")
    return int(form[1]), int(form[2]), form[3]


def check_not_ahead(clock: str, now_ms: int) -> None:
    """Raise `InvalidInput` for a clock that is far ahead: it would win against everybody for as long as it is ahead."""
    ahead = parsed(clock)[0] - now_ms
    if ahead > _MOST_AHEAD_MS:
        raise InvalidInput(
            f"The clock is {ahead / 1000:,.0f} s ahead of this server: set the machine's time, and send it again."
        )
