"""Bursts of refused actions, of accounts that are nobody here, and of approvals faster than anybody reads."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_REFUSED, _STRANGERS, _FAST = 10, 5, 8


async def look(watch: Watch) -> list[Finding]:
    """Count the last quarter of an hour by actor, service and decider."""
    [row] = await watch.own(_QUERIES["refusals"], refused=_REFUSED, strangers=_STRANGERS, fast=_FAST)
    findings = [
        Finding(
            subject=f"refused/{one['actor']}", severity="HIGH",
            message=f"{one['count']} actions of {one['actor']} were refused within a quarter of an hour.",
            action="Read what was tried (agent executions); `agent stop` ends it. A key can be revoked: agent keys",
            evidence=one,
        )
        for one in row["refused"]
    ]  # fmt: skip
    findings += [
        Finding(
            subject=f"strangers/{one['service']}", severity="HIGH",
            message=f"{one['count']} accounts of {one['service']} that are nobody here tried to decide or to sign in.",
            action="See who they are: agent audit. Take the bot out of places where strangers are.",
            evidence=one,
        )
        for one in row["strangers"]
    ]  # fmt: skip
    findings += [
        Finding(
            subject=f"fast/{one['decided_by']}", severity="MEDIUM",
            message=f"{one['decided_by']} approved {one['count']} requests within two minutes, faster than they can be read.",
            action="Ask them, and require two people for what matters (AGENT_QUORUM).",
            evidence=one,
        )
        for one in row["fast"]
    ]  # fmt: skip
    findings += [
        Finding(
            subject=f"own/{one['decided_by']}", severity="HIGH",
            message=f"{one['decided_by']} approved {one['count']} CRITICAL requests that they had asked for.",
            action="Review them: agent approvals. Let somebody else decide what is CRITICAL.",
            evidence=one,
        )
        for one in row["own"]
    ]  # fmt: skip
    return findings


CHECK = Check(name="refusals", about="Refusals and unusual approvals", look=look)
