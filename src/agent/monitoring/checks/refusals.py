"""Bursts of refused actions, of accounts that are nobody here, and of approvals faster than anybody reads."""

from __future__ import annotations

from typing import NamedTuple

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.types import RiskLevel

_QUERIES = load_queries(__package__, "own.sql")
_REFUSED, _STRANGERS, _FAST = 10, 5, 8


class _Kind(NamedTuple):
    """A kind of unusual behaviour: its list in the query's row, the column of who did it, and what is said of it."""

    name: str
    who: str
    severity: RiskLevel
    message: str
    action: str


_KINDS = (
    _Kind(
        "refused", "actor", "HIGH", "{count} actions of {who} were refused within a quarter of an hour.",
        "Read what was tried (agent executions); `agent stop` ends it. A key can be revoked: agent keys",
    ),
    _Kind(
        "strangers", "service", "HIGH", "{count} accounts of {who} that are nobody here tried to decide or to sign in.",
        "See who they are: agent audit. Take the bot out of places where strangers are.",
    ),
    _Kind(
        "fast", "decided_by", "MEDIUM", "{who} approved {count} requests within two minutes, faster than they can be read.",
        "Ask them, and require two people for what matters (AGENT_QUORUM).",
    ),
    _Kind(
        "own", "decided_by", "HIGH", "{who} approved {count} CRITICAL requests that they had asked for.",
        "Review them: agent approvals. Let somebody else decide what is CRITICAL.",
    ),
)  # fmt: skip


async def look(watch: Watch) -> list[Finding]:
    """Count the last quarter of an hour by actor, service and decider."""
    [row] = await watch.own(_QUERIES["refusals"], refused=_REFUSED, strangers=_STRANGERS, fast=_FAST)
    return [
        Finding(
            subject=f"{kind.name}/{one[kind.who]}", severity=kind.severity,
            message=kind.message.format(count=one["count"], who=one[kind.who]), action=kind.action, evidence=one,
        )
        for kind in _KINDS
        for one in row[kind.name]
    ]  # fmt: skip


CHECK = Check(name="refusals", about="Refusals and unusual approvals", look=look)
