"""Exactly once: 1,000 approvals, 16 racing deciders each, processes killed at any moment; every number of harm must be 0."""

from __future__ import annotations

from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster
from benchmarks import races
from benchmarks.report import Report

APPROVALS, KILLS = 1000, 100


async def measure(report: Report) -> None:
    """Bars of exactly once."""
    cluster = Cluster()
    try:
        for where in ("shared", "apart"):
            await _race(report, cluster, where)
    finally:
        cluster.close()


async def _race(report: Report, cluster: Cluster, where: str) -> None:
    template = cluster.template("races", races.fill)
    settings = cluster.database(template, statement_timeout=2.0, approval_timeout=3600.0)
    if where == "apart":
        settings = settings.model_copy(update={"app_database_url": cluster.database(template).database_url})
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        found = await races.race(runtime, approvals=APPROVALS, kills=KILLS)
    await runtime.close()
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(found.statuses.items()))
    report.bar(
        f"{APPROVALS} approvals x {races.PROCESSES * races.DECIDERS} deciders in {races.PROCESSES} processes, database {where}",
        bar="one decision each; 0 duplicates, lost, unauthorised, untold",
        reached=f"{found.decided_twice} decided otherwise; {found.duplicates}, {found.lost}, {found.unauthorised}, {found.untold}"
        f" ({statuses}; {found.kills} processes killed, {found.seconds:.0f} s)",
        ok=found.wrong == 0 and found.kills > 0,
    )
