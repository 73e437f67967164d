"""Keeps alerts: each opens once, is updated while it lasts, resolves by itself, and opens again when it comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.monitoring.records import Alert, Check, Finding
from agent.privacy.masking import without_secrets
from agent.runtime import Runtime, current_runtime
from agent.text.storable import storable, storable_json
from agent.text.visible import one_line

_QUERIES = load_queries(__package__, "alerts.sql")
_RESOLVES_AFTER = 2
_MOST_FINDINGS = 50
_MOST_MESSAGE, _MOST_ACTION = 500, 500
_MOST_MUTED = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a check's findings changed: alerts that opened (or opened again) and that were resolved."""

    opened: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()


async def apply(check: Check, findings: Sequence[Finding], *, runtime: Runtime) -> Changes:
    """Bring the alerts of a check in line with what it found. More findings than can be read are told as their number."""
    kept = _bounded(check, findings)
    values = [
        {
            "key": f"{check.name}:{one.subject}"[:300], "severity": one.severity,
            "message": storable(one_line(without_secrets(one.message), _MOST_MESSAGE)),
            "action": storable(one_line(without_secrets(one.action), _MOST_ACTION)),
            "evidence": storable_json(without_secrets(dict(one.evidence))),
        }
        for one in kept
    ]  # fmt: skip
    rows = await runtime.all(
        _QUERIES["apply"],
        database_id=runtime.database_id,
        check_name=check.name,
        opens_after=check.opens_after,
        resolves_after=_RESOLVES_AFTER,
        findings=Jsonb(values),
    )
    alerts = [(row.pop("change"), Alert.from_row(row)) for row in rows]
    return Changes(
        opened=tuple(alert for change, alert in alerts if change == "opened"),
        resolved=tuple(alert for change, alert in alerts if change == "resolved"),
    )


def _bounded(check: Check, findings: Sequence[Finding]) -> list[Finding]:
    """Return each subject once, and at most as many as somebody reads."""
    unique = list({one.subject: one for one in findings}.values())
    if len(unique) <= _MOST_FINDINGS:
        return unique
    rest = len(unique) - _MOST_FINDINGS
    worst = sorted(unique, key=lambda one: ("CRITICAL", "HIGH", "MEDIUM", "LOW").index(one.severity))[:_MOST_FINDINGS]
    more = Finding(
        subject="more",
        severity=worst[-1].severity,
        message=f"{check.about}: {rest} more findings of this kind.",
        action="Solve those that are listed; the others take their places.",
        evidence={"more": rest},
    )
    return [*worst, more]


async def newest_alerts(limit: int, *, before: int | None = None, every: bool = False, runtime: Runtime) -> list[Alert]:
    """Return the open alerts of this database, or those before alert `before`, the newest first; with `every` all."""
    rows = await runtime.all(
        _QUERIES["newest"], database_id=runtime.database_id, every=every, before=before, limit=limit
    )
    return [Alert.from_row(row) for row in rows]


async def list_alerts(*, every: bool = False, limit: int = 100, runtime: Runtime | None = None) -> list[Alert]:
    """Return the open alerts of this database, the worst first; with `every` also those that are resolved."""
    runtime = runtime or await current_runtime()
    rows = await runtime.all(
        _QUERIES["list"], database_id=runtime.database_id, every=every, limit=max(1, min(limit, 1_000))
    )
    return [Alert.from_row(row) for row in rows]


async def get(alert_id: int, *, runtime: Runtime | None = None) -> Alert:
    """Return one alert. Raises `NotFound`."""
    runtime = runtime or await current_runtime()
    row = await runtime.one(_QUERIES["alert"], id=alert_id) if 0 < alert_id < 2**63 else None
    if row is None:
        raise NotFound(f"There is no alert {alert_id!r}. `agent alerts` lists those that are open.")
    return Alert.from_row(row)


async def decisions_of(alert_id: int, *, runtime: Runtime | None = None) -> list[dict[str, Any]]:
    """Return what people did about an alert."""
    runtime = runtime or await current_runtime()
    return await runtime.all(_QUERIES["decisions"], alert_id=alert_id)


async def acknowledge(alert_id: int, *, comment: str = "", runtime: Runtime | None = None) -> Alert:
    """Note that somebody takes care of an alert; it is not sent again in this episode. Raises `NotFound`."""
    runtime = runtime or await current_runtime()
    await get(alert_id, runtime=runtime)
    await runtime.execute(_QUERIES["acknowledge"], id=alert_id, user=runtime.user, comment=storable(comment[:1_000]))
    return await get(alert_id, runtime=runtime)


async def mute(alert_id: int, *, hours: float, comment: str = "", runtime: Runtime | None = None) -> Alert:
    """Send nothing about an alert for some hours, also if it comes back; 0 ends that. Raises `NotFound`, `InvalidInput`."""
    runtime = runtime or await current_runtime()
    if not 0 <= hours <= _MOST_MUTED.total_seconds() / 3_600:
        raise InvalidInput("An alert is muted for 0 hours (not any more) to 8760 hours (a year).")
    await get(alert_id, runtime=runtime)
    await runtime.execute(
        _QUERIES["mute"], id=alert_id, user=runtime.user, wait=timedelta(hours=hours), comment=storable(comment[:1_000])
    )
    return await get(alert_id, runtime=runtime)


def worst(alerts: Iterable[Alert]) -> str:
    """Return the highest severity of the alerts, '' without any."""
    levels = {one.severity for one in alerts}
    return next((level for level in ("CRITICAL", "HIGH", "MEDIUM", "LOW") if level in levels), "")
