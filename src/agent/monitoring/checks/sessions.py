"""How full the database is: connections, transactions left open, waits for locks, statements without end, transaction numbers."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "application.sql")
_FULL, _OLD = 0.8, 1_000_000_000


async def look(watch: Watch) -> list[Finding]:
    """Count the sessions of the server."""
    [row] = await watch.read(_QUERIES["sessions"], {})
    watch.note("connections", row["connections"])
    findings = []
    if row["connections"] >= _FULL * row["most"]:
        findings.append(
            Finding(
                subject="connections", severity="HIGH",
                message=f"{row['connections']} of {row['most']} connections of the database are in use.",
                action="Find who holds them (pg_stat_activity); put a pooler before the database, or raise max_connections.",
                evidence=row,
            )
        )  # fmt: skip
    said = (
        ("idle", "transactions are left open for more than 5 minutes", "They block vacuum and hold locks: end them, and set idle_in_transaction_session_timeout."),
        ("waiting", "statements wait for a lock for more than 30 seconds", "See who blocks them: pg_blocking_pids()."),
        ("long", "statements run for more than 10 minutes", "See whether they are meant to: pg_stat_activity."),
    )  # fmt: skip
    findings += [
        Finding(
            subject=name,
            severity="MEDIUM",
            message=f"{row[name]} {text}.",
            action=action,
            evidence={"count": row[name]},
        )
        for name, text, action in said
        if row[name]
    ]
    if row["age"] >= _OLD:
        findings.append(
            Finding(
                subject="wraparound", severity="CRITICAL",
                message=f"The oldest transaction number is {row['age']:,} old: at 2 billion the database stops to write.",
                action="Vacuum the database, and end what keeps it from that (old transactions, replication slots).",
                evidence={"age": row["age"]},
            )
        )  # fmt: skip
    return findings


CHECK = Check(name="sessions", about="How full the database is", look=look)
