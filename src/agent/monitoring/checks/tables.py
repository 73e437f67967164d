"""Tables that grow or shrink at once, that nobody writes to any more, or that are full of dead rows: by the server's statistics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent.db import load_queries
from agent.learning.discovery.identifiers import qualified
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "application.sql")
_SHRUNK, _GREW, _LEAST_ROWS = 0.5, 3.0, 100
_LEAST_GROWTH = 1_000
_KEPT_GAPS, _LEAST_GAPS, _TIMES_LONGER, _LEAST_GAP = 50, 12, 4.0, 3_600.0
_DEAD = 10_000


async def look(watch: Watch) -> list[Finding]:
    """Compare each table's counters with what they were."""
    known: dict[str, dict[str, Any]] = watch.state.get("tables", {})
    findings, now = [], {}
    for row in await watch.read(_QUERIES["tables"], watch.scope):
        if watch.hidden(row["schema"], row["table_name"]):
            continue
        was = known.get(row["name"])
        if was is not None and row["written"] != was["written"]:
            watch.written.add(qualified(row["schema"], row["table_name"]))
        now[row["name"]] = _remembered(row, was, watch.now)
        findings += [
            one for one in (_size(row, was), _stale(row["name"], now[row["name"]], watch.now), _dead(row)) if one
        ]
    watch.state["tables"] = now
    return findings


def _remembered(row: dict[str, Any], was: dict[str, Any] | None, now: datetime) -> dict[str, Any]:
    """Return what is remembered of a table: its rows an episode ago, its counter, and the seconds between its last writes."""
    if was is None or row["written"] < was["written"]:  # new, or the statistics were reset
        return {
            "live": row["live"],
            "written": row["written"],
            "at": now.isoformat(),
            "gaps": (was or {}).get("gaps", []),
        }
    kept = {**was, "written": row["written"]}
    if row["written"] > was["written"]:
        gap = (now - datetime.fromisoformat(was["at"])).total_seconds()
        kept |= {"at": now.isoformat(), "gaps": [*was["gaps"], max(gap, 0.0)][-_KEPT_GAPS:]}
    if not _leaps(row["live"], was["live"]):
        kept["live"] = row["live"]
    else:  # the alert stays for an hour; then the new size is the usual one
        kept.setdefault("since", now.isoformat())
        if abs((now - datetime.fromisoformat(kept["since"])).total_seconds()) > 3_600:
            kept["live"] = row["live"]
    if kept["live"] == row["live"]:
        kept.pop("since", None)
    return kept


def _leaps(live: float, was: float) -> bool:
    shrunk = was >= _LEAST_ROWS and live <= was * _SHRUNK
    return shrunk or (was > 0 and live >= was * _GREW and live - was >= _LEAST_GROWTH)


def _size(row: dict[str, Any], was: dict[str, Any] | None) -> Finding | None:
    if was is None or not _leaps(row["live"], was["live"]):
        return None
    shrinks = row["live"] < was["live"]
    return Finding(
        subject=f"size/{row['name']}",
        severity="HIGH" if shrinks else "MEDIUM",
        message=f"{row['name']} has {row['live']:,.0f} rows; it had {was['live']:,.0f} a short time ago.",
        action="See who deleted them; a backup may hold them."
        if shrinks
        else "See who writes so much, and whether it is meant.",
        evidence={"rows": row["live"], "before": was["live"]},
    )


def _stale(name: str, kept: dict[str, Any], now: datetime) -> Finding | None:
    """A table is stale if its writes always came within some time, and now have not come for several times as long."""
    gaps = sorted(kept["gaps"])
    if len(gaps) < _LEAST_GAPS:
        return None
    usual = gaps[int(len(gaps) * 0.95)]
    silent = (now - datetime.fromisoformat(kept["at"])).total_seconds()
    if silent < max(_TIMES_LONGER * usual, _LEAST_GAP):
        return None
    return Finding(
        subject=f"stale/{name}",
        severity="MEDIUM",
        message=f"Nobody has written to {name} for {silent / 3_600:.1f} hours; at most {usual / 60:.0f} minutes were usual.",
        action="See whether the job or the service that writes there still runs.",
        evidence={"silent_seconds": round(silent), "usual_seconds": round(usual)},
    )


def _dead(row: dict[str, Any]) -> Finding | None:
    if row["dead"] < _DEAD or row["dead"] < 0.4 * (row["live"] + row["dead"]) or not row["not_vacuumed"]:
        return None
    return Finding(
        subject=f"dead/{row['name']}",
        severity="LOW",
        message=f"{row['name']} holds {row['dead']:,.0f} dead rows beside {row['live']:,.0f} live ones, and was not vacuumed for a day.",
        action="vacuum it, and see what keeps autovacuum from it: long transactions, replication slots, its settings.",
        evidence={"dead": row["dead"], "live": row["live"]},
    )


CHECK = Check(name="tables", about="Tables that change unusually", look=look)
