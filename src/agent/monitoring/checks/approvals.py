"""Requests that get stuck: nobody decides, or what was approved is not carried out, or nobody knows whether it was."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_MOST_PENDING = 20


async def look(watch: Watch) -> list[Finding]:
    """Count the requests that wait for too long, by what they wait for."""
    [row] = await watch.own(_QUERIES["approvals"])
    findings = []
    if row["late"] or row["pending"] >= _MOST_PENDING:
        findings.append(
            Finding(
                subject="pending", severity="MEDIUM" if row["pending"] < _MOST_PENDING else "HIGH",
                message=f"{row['pending']} requests wait for a decision; {row['late']} of them run out soon.",
                action="Decide them: agent approvals",
                evidence={"pending": row["pending"], "late": row["late"], "oldest_minutes": row["oldest_minutes"]},
            )
        )  # fmt: skip
    if row["not_executed"]:
        findings.append(
            Finding(
                subject="not-executed", severity="HIGH",
                message=f"{row['not_executed']} approved actions were not carried out for more than two minutes.",
                action="Start a worker (agent worker), or lift a stop (agent resume).",
                evidence={"approved": row["not_executed"]},
            )
        )  # fmt: skip
    if row["unknown"]:
        findings.append(
            Finding(
                subject="unknown", severity="HIGH",
                message=f"Of {row['unknown']} actions nobody can prove whether they happened.",
                action="Settle them: agent executions",
                evidence={"unknown": row["unknown"]},
            )
        )  # fmt: skip
    return findings


CHECK = Check(name="approvals", about="Requests that get stuck", look=look)
