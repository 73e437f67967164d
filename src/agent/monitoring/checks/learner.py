"""Whether the agent still knows the application: a discovery that is old, or runs of the learner that fail."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_FAILED_RUNS = 3


async def look(watch: Watch) -> list[Finding]:
    """Look at the last runs of the background learner, where it has tables."""
    [there] = await watch.own(_QUERIES["has_learner"])
    if not there["there"]:
        return []
    rows = await watch.own(_QUERIES["learning_runs"], limit=_FAILED_RUNS)
    if len(rows) < _FAILED_RUNS or any(row["status"] != "failed" for row in rows):
        return []
    return [
        Finding(
            subject="runs", severity="MEDIUM",
            message=f"The last {_FAILED_RUNS} runs of the background learner failed.",
            action="Read why: agent learn --status", evidence={"runs": [row["id"] for row in rows]},
        )
    ]  # fmt: skip


CHECK = Check(name="learner", about="Learning that fails", look=look)
