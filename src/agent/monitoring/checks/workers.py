"""Processes of the agent that died, and work that nobody takes."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")


async def look(watch: Watch) -> list[Finding]:
    """Find processes that were not heard of and did not leave, where no newer one of their host replaced them."""
    dead = await watch.own(_QUERIES["dead_workers"])
    [work] = await watch.own(_QUERIES["late_work"])
    findings = [
        Finding(
            subject=f"dead/{row['executor_id']}", severity="HIGH" if not row["alive"] else "MEDIUM",
            message=f"A process on {row['host']} died: it was last seen {row['minutes']:.0f} minutes ago.",
            action="Start it again (agent serve or agent worker), and read why it ended in its log.",
            evidence={"process": row["executor_id"], "alive": row["alive"]},
        )
        for row in dead
    ]  # fmt: skip
    if work["late"]:
        findings.append(
            Finding(
                subject="late-work", severity="HIGH",
                message=f"{work['late']} turns or actions wait for a worker, the oldest for {work['minutes']:.0f} minutes.",
                action="Start a worker: agent worker",
                evidence={"late": work["late"]},
            )
        )  # fmt: skip
    return findings


CHECK = Check(name="workers", about="Processes that died", look=look)
