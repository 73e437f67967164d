"""Secrets and instructions in the agent's memory: what data or an outside text left there."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.checks.markers import marker_in
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.privacy.sensitive import keys_in
from agent.privacy.typed_secrets import typed_secrets

_QUERIES = load_queries(__package__, "own.sql")
_BATCH, _MOST_KEPT = 500, 200


async def look(watch: Watch) -> list[Finding]:
    """Read what memory holds since the last run, and again what was found before."""
    before = {int(one) for one in watch.state.get("found", [])}
    rows = await watch.own(
        _QUERIES["memories"], after=int(watch.state.get("read", 0)), again=sorted(before), limit=_BATCH
    )
    findings, found = [], []
    for row in rows:
        reason = _wrong(row["content"], row["trust"])
        if reason is None:
            continue
        found.append(row["id"])
        secret = reason == "secret"
        findings.append(
            Finding(
                subject=f"{reason}/{row['id']}", severity="HIGH" if secret else "MEDIUM",
                message=f"Memory {row['id']} holds what looks like a secret."
                if secret
                else f"Memory {row['id']} holds text that speaks to a model like an instruction; it came from {row['trust']} text.",
                action=f"Read it, and forget it if it does not belong there: agent memory forget {row['id']}",
                evidence={"memory": row["id"], "kind": row["kind"], "trust": row["trust"]},
            )
        )  # fmt: skip
    watch.state["read"] = max([int(watch.state.get("read", 0)), *(row["id"] for row in rows)])
    watch.state["found"] = found[:_MOST_KEPT]
    return findings


def _wrong(content: str, trust: str) -> str | None:
    if keys_in(content) or typed_secrets(content):
        return "secret"
    return "instruction" if trust in {"external", "database"} and marker_in(content) else None


CHECK = Check(name="memories", about="Secrets and instructions in memory", look=look)
