"""Statements that became slow, where pg_stat_statements is installed: by what they took since the last run."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.privacy.masked_texts import masked_sql

_QUERIES = load_queries(__package__, "application.sql")
_MOST = 50
_SLOW_MS, _TIMES_SLOWER, _LEAST_MS, _LEAST_CALLS = 1_000.0, 5.0, 100.0, 3
_MOST_TEXT = 200
_STATEMENTS: LiteralString = """
SELECT s.queryid::text AS id, sum(s.calls)::float8 AS calls, sum(s.total_exec_time)::float8 AS ms, max(s.query) AS query
  FROM {}.pg_stat_statements s
 WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid IS NOT NULL
 GROUP BY s.queryid ORDER BY sum(s.total_exec_time) DESC LIMIT {}
"""


async def look(watch: Watch) -> list[Finding]:
    """Compare the mean of each statement since the last run with its mean before."""
    there = await watch.read(_QUERIES["has_statements"], {})
    if not there:
        return []
    try:
        rows = await watch.read(sql.SQL(_STATEMENTS).format(sql.SQL(there[0]["schema"]), sql.Literal(_MOST)))
    except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.InsufficientPrivilege):
        return []  # the extension is there, and the server does not load its library
    known: dict[str, list[float]] = watch.state.get("statements", {})
    findings, seen = [], {}
    for row in rows:
        seen[row["id"]] = [row["calls"], row["ms"]]
        finding = _judged(row, known.get(row["id"]), first=not known)
        if finding:
            findings.append(finding)
    watch.state["statements"] = seen
    return findings


def _judged(row: dict[str, Any], before: list[float] | None, *, first: bool) -> Finding | None:
    """Return a finding for a statement that took long since the last run. In the first run nothing is known of any."""
    calls, ms = before if before and before[0] <= row["calls"] else [0.0, 0.0]
    new_calls, new_ms = row["calls"] - calls, row["ms"] - ms
    if first or new_calls < _LEAST_CALLS:
        return None
    mean, usual = new_ms / new_calls, ms / calls if calls else 0.0
    if not (mean >= _SLOW_MS or (usual and mean >= _LEAST_MS and mean >= _TIMES_SLOWER * usual)):
        return None
    text = masked_sql(row["query"])[:_MOST_TEXT] if row["query"] else ""
    was = f", {usual:.0f} ms was usual" if usual else ""
    return Finding(
        subject=row["id"],
        severity="MEDIUM",
        message=f"A statement takes {mean:.0f} ms{was}: {text}",
        action="EXPLAIN it: a new plan, a missing index, or a table that grew.",
        evidence={"mean_ms": round(mean, 1), "usual_ms": round(usual, 1), "calls": new_calls, "statement": text},
    )


CHECK = Check(name="statements", about="Statements that became slow", look=look)
