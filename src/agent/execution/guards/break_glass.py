"""Break-glass: a named admin lifts the freeze and the recovery condition for some minutes, with a reason that everybody reads.

It lifts nothing else: not the stop switch, not the read-only mode, not what is refused, not the question to a human.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from agent.approval.people import people
from agent.approval.reminders import tell_everybody
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import DecisionRefused, InvalidInput
from agent.runtime import Runtime
from agent.text.storable import storable

MINUTES = 15
MOST_MINUTES = 240
_MOST_REASON = 500
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """A break-glass that is open until `expires_at`."""

    id: int
    opened_by: str
    reason: str
    opened_at: datetime
    expires_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> BreakGlass | None:
        """Read it from a row; None where none is open."""
        if row is None or row["id"] is None:
            return None
        names = ("id", "opened_by", "reason", "opened_at", "expires_at")
        return cls(**{name: row[name] for name in names})

    @property
    def sentence(self) -> str:
        """Say who opened it, why and until when."""
        return (
            f"BREAK-GLASS is open until {self.expires_at:%Y-%m-%d %H:%M %Z}: {self.opened_by!r} lifted the freeze and the "
            f"recovery condition. Reason: {' '.join(self.reason.split())}"
        )


async def open_break_glass(reason: str, *, minutes: float = MINUTES, runtime: Runtime) -> BreakGlass:
    """Open it for some minutes, and tell everybody. Raises `DecisionRefused` unless a named admin calls, or `InvalidInput`."""
    cleaned = " ".join(storable(reason).split())[:_MOST_REASON]
    if not cleaned:
        raise InvalidInput("Say why: everybody is told the reason of a break-glass.")
    if not 0 < minutes <= MOST_MINUTES:
        raise InvalidInput(f"A break-glass is open for up to {MOST_MINUTES} minutes, not {minutes:g}.")
    who = await people.membership(runtime=runtime)
    if who.person is None or not who.person.is_admin:
        raise DecisionRefused(
            f"Only a named admin breaks the glass, and {who.name!r} is none (`agent people list`; the first admin is named "
            "with `agent people add`)."
        )
    values = {"opened_by": who.name, "reason": cleaned, "life": timedelta(minutes=minutes)}
    row = await runtime.one(_QUERIES["open_break_glass"], **values)
    opened = BreakGlass.from_row(row)
    assert opened is not None  # noqa: S101  # an insert returns its row
    seal_soon(runtime)
    _log.warning("break_glass_opened", opened_by=opened.opened_by, expires_at=opened.expires_at.isoformat())
    await tell_everybody(opened.sentence, runtime)
    await runtime.execute(_QUERIES["look_now"])
    return opened


async def end_break_glass(*, runtime: Runtime) -> bool:
    """End what is open, and tell everybody; anybody may. Return whether something was open."""
    if not await runtime.all(_QUERIES["end_break_glass"], ended_by=runtime.user):
        return False
    seal_soon(runtime)
    _log.warning("break_glass_ended", ended_by=runtime.user)
    await tell_everybody(f"The break-glass was ended by {runtime.user!r}.", runtime)
    return True
