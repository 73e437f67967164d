"""Let 16 people in four processes race to decide requests, and measure the cost of a decision. No request may end wrongly."""

from __future__ import annotations

import statistics
import time

from agent.approval.human_approval import human_approval_queue
from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster
from benchmarks import votes
from benchmarks.report import Report

ROUNDS: dict[votes.Kind, int] = {"vote": 300, "expiry": 300, "edit": 30}
_SAY = {
    "vote": "critical requests x 16 racing votes: two different people, one row each",
    "expiry": "requests x 16 decisions at their very end: in time or expired, never both",
    "edit": "requests x 16 racing edits: one replaces it, and is executed once",
}
_DECISIONS = 200


async def measure(report: Report) -> None:
    """Measure the bars of approvals."""
    cluster = Cluster()
    try:
        template = cluster.template("votes", votes.fill)
        for kind, rounds in ROUNDS.items():
            runtime = await open_runtime(cluster.database(template))
            with use_runtime(runtime):
                found = await votes.race(runtime, kind, rounds)
            await runtime.close()
            ends = ", ".join(f"{number} {status}" for status, number in sorted(found.statuses.items()))
            report.bar(f"{rounds} {_SAY[kind]}", bar="0 wrong", reached=f"{found.wrong} ({ends})", ok=found.wrong == 0)
        await _cost(report, cluster, template)
    finally:
        cluster.close()


async def _cost(report: Report, cluster: Cluster, template: str) -> None:
    runtime = await open_runtime(cluster.database(template))
    times: dict[str, list[float]] = {"request": [], "get": [], "decide": []}
    with use_runtime(runtime):
        for _ in range(_DECISIONS):
            started = time.perf_counter()
            approval = await human_approval_queue.request("act", {})
            asked = time.perf_counter()
            await human_approval_queue.get(approval.id)
            read = time.perf_counter()
            await human_approval_queue.decide(approval.id, "approve", binding=approval.binding)
            for name, seconds in (
                ("request", asked - started),
                ("get", read - asked),
                ("decide", time.perf_counter() - read),
            ):
                times[name].append(seconds * 1000)
    await runtime.close()
    report.note(", ".join(f"{name} {statistics.median(found):.1f} ms" for name, found in times.items()) + " (median)")
