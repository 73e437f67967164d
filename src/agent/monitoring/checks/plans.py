"""Plans that fail, agents that fail again and again, and plans that nobody runs."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")


async def look(watch: Watch) -> list[Finding]:
    """Find plans that failed in the last half hour, circuits that let no call through, and plans that wait for a process."""
    failed = [
        Finding(
            subject=f"plan {row['plan_id']}", severity="MEDIUM",
            message=f"{row['failed']} of {row['ended']} runs of plan {row['plan_id']!r} failed in the last half hour.",
            action=f"See why: agent plans show {row['run_id']}", evidence={"failed": row["failed"], "ended": row["ended"]},
        )
        for row in await watch.own(_QUERIES["failed_plans"])
    ]  # fmt: skip
    shut = [
        Finding(
            subject=f"circuit {row['name']}", severity="HIGH",
            message=f"{row['name']} failed {row['failures']} times in a row ({row['error']}), and is left alone until it answers.",
            action="Mend what it calls; the circuit closes by itself: agent plans circuits", evidence={"failures": row["failures"]},
        )
        for row in await watch.own(_QUERIES["open_circuits"])
    ]  # fmt: skip
    waiting = [
        Finding(
            subject="plans", severity="HIGH", message=f"{row['waiting']} plans wait for a process that knows their agents, the oldest for {row['minutes']:.0f} minutes.",
            action="Start a worker that registers them: agent plans list --status running", evidence={"waiting": row["waiting"], "agents": row["agents"]},
        )
        for row in await watch.own(_QUERIES["waiting_plans"]) if row["waiting"]
    ]  # fmt: skip
    return [*failed, *shut, *waiting]


CHECK = Check(name="plans", about="Plans that fail, and agents that do not answer", look=look)
