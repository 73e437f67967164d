"""Actions that fail: more than usual in the last half hour, or one tool nearly always."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import ANSWER, Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_LEAST = 5
_SHARE, _TOOL_SHARE = 0.4, 0.8


async def look(watch: Watch) -> list[Finding]:
    """Compare the failures of the last half hour with those of the week before."""
    rows = await watch.own(_QUERIES["executions"])
    done, failed = sum(row["done"] for row in rows), sum(row["failed"] for row in rows)
    watch.note("executions.failed", failed)
    findings = []
    if failed >= _LEAST and failed / done >= _SHARE and failed / done >= 2 * _usual(rows):
        findings.append(
            Finding(
                subject="all", severity="HIGH",
                message=f"{failed} of {done} actions failed in the last half hour.",
                action="Read the newest failures: agent executions",
                evidence={"failed": failed, "done": done, "usual_share": round(_usual(rows), 3)},
            )
        )  # fmt: skip
    findings += [
        Finding(
            subject=f"tool/{row['action']}", severity="MEDIUM",
            message=f"The tool {row['action']} failed {row['failed']} times out of {row['done']} in the last half hour.",
            action="See why: agent executions. A created tool can be replaced: agent tools",
            evidence={"failed": row["failed"], "done": row["done"]},
        )
        for row in rows
        if row["failed"] >= _LEAST and row["failed"] / row["done"] >= _TOOL_SHARE and row["action"] != ANSWER
    ]  # fmt: skip
    turns = next((row for row in rows if row["action"] == ANSWER), None)
    if turns and turns["failed"] >= 3 and turns["failed"] / turns["done"] >= 0.5:
        findings.append(
            Finding(
                subject="turns", severity="HIGH",
                message=f"{turns['failed']} of {turns['done']} questions were not answered in the last half hour.",
                action="Check the model and its key: agent status",
                evidence={"failed": turns["failed"], "done": turns["done"]},
            )
        )  # fmt: skip
    return findings


def _usual(rows: list[dict[str, int]]) -> float:
    before = sum(row["done_before"] for row in rows)
    return sum(row["failed_before"] for row in rows) / before if before else 0.0


CHECK = Check(name="executions", about="Actions that fail", look=look)
