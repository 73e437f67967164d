"""Check that actions run exactly once: 1,000 approvals, 16 racing deciders for each, and processes killed at any moment."""

from __future__ import annotations

from agent.runtime import open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from benchmarks import races, turns
from benchmarks.report import Report

APPROVALS, KILLS, PROCESSES = 1000, 100, 30


async def measure(report: Report) -> None:
    """Measure the bars of exactly once: every number of harm must be 0."""
    cluster = Cluster()
    try:
        for where in ("shared", "apart"):
            await _race(report, cluster, where)
            await _converse(report, cluster, where)
    finally:
        cluster.close()


def _settings(cluster: Cluster, template: str, where: str) -> Settings:
    return cluster.database(template, apart=where == "apart", statement_timeout=2.0, approval_timeout=3600.0)


async def _converse(report: Report, cluster: Cluster, where: str) -> None:
    runtime = await open_runtime(_settings(cluster, cluster.template("turns", turns.fill), where))
    found = await turns.converse(runtime, processes=PROCESSES)
    await runtime.close()
    report.bar(
        f"conversations under changing rules, new messages, repeated resumes, {PROCESSES} processes, database {where}",
        bar="as many effects as recorded; 0 unauthorised, lost, told otherwise",
        reached=f"{found.effects} and {found.logged}; {found.unauthorised}, {found.lost}, {found.untold}"
        f" ({found.turns} turns, {found.refused} refused, {found.kills} processes killed, {found.seconds:.0f} s)",
        ok=found.wrong == 0 and found.kills > 0 and found.effects > 0,
    )


async def _race(report: Report, cluster: Cluster, where: str) -> None:
    runtime = await open_runtime(_settings(cluster, cluster.template("races", races.fill), where))
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
