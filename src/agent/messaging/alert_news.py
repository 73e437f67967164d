"""Decides what a receiver is told about an alert, and when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from agent.monitoring.records import Alert
from agent.types import RISK_LEVELS, RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What to do about one receiver of an alert: tell it `text` ('' for nothing) and note `told`, or wait until `later`."""

    text: str = ""
    told: str = ""
    later: datetime | None = None


def news_of(alert: Alert, told: str, *, least: RiskLevel, quiet: str, now: datetime) -> News:
    """Return what is news to a receiver that was `told` something before ('' for nothing).

    An episode is told when it opens, when it gets worse, and when it is over, if its beginning was told.
    """
    known_episode, known_severity, was_open = _parts(told)
    muted = alert.muted_until is not None and alert.muted_until > now
    here = f"{alert.status}/{alert.severity}/{alert.episode}"
    if muted:
        return News(told=told, later=alert.muted_until)
    if alert.status == "resolved":
        over = was_open and known_episode == alert.episode
        return News(text=f"✅ Over: {alert.message}" if over else "", told=here)
    if RISK_LEVELS.index(alert.severity) < RISK_LEVELS.index(least) or alert.acknowledged_at is not None:
        return News(told=told)
    worse = known_severity is None or RISK_LEVELS.index(alert.severity) > RISK_LEVELS.index(known_severity)
    if was_open and known_episode == alert.episode and not worse:
        return News(told=told)
    end = quiet_until(quiet, now)
    if end is not None and alert.severity != "CRITICAL":
        return News(told=told, later=end)
    again = f" (for the {alert.episode}. time)" if alert.episode > 1 else ""
    return News(
        text=f"🚨 {alert.message}\n{alert.action}\nalert {alert.id} · {alert.severity}{again} · agent alerts show {alert.id}",
        told=here,
    )


def _parts(told: str) -> tuple[int, RiskLevel | None, bool]:
    status, _, rest = told.partition("/")
    severity, _, episode = rest.partition("/")
    level = next((one for one in RISK_LEVELS if one == severity), None)
    return int(episode) if episode.isdecimal() else 0, level, status == "open"


def quiet_until(quiet: str, now: datetime) -> datetime | None:
    """Return when the quiet hours end, such as those of "22:00-07:00 Europe/Berlin", or None if they do not hold now."""
    if not quiet:
        return None
    hours, _, zone = quiet.partition(" ")
    begin, _, end = hours.partition("-")
    local = now.astimezone(ZoneInfo(zone or "UTC"))
    minute = local.hour * 60 + local.minute
    start, stop = (int(text[:2]) * 60 + int(text[3:]) for text in (begin, end))
    inside = start <= minute < stop if start <= stop else (minute >= start or minute < stop)
    if not inside or start == stop:
        return None
    day = local if minute < stop else local + timedelta(days=1)
    # By the wall clock: the day on which clocks change has quiet hours too.
    return day.replace(hour=stop // 60, minute=stop % 60, second=0, microsecond=0)
