"""Messages that do not arrive: requests or alerts that a service refuses or that fail again and again."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")


async def look(watch: Watch) -> list[Finding]:
    """Find services with messages that failed several times or for good in the last day."""
    return [
        Finding(
            subject=row["service"], severity="HIGH",
            message=f"{row['failed']} messages do not arrive by {row['service']}: {row['error']}",
            action="See what is wrong: agent messaging test", evidence={"failed": row["failed"], "places": row["places"]},
        )
        for row in await watch.own(_QUERIES["undelivered"])
    ]  # fmt: skip


CHECK = Check(name="messages", about="Messages that do not arrive", look=look)
