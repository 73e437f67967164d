"""The checks of the monitor, one line each. A new check is one file here and one line in `CHECKS`."""

from __future__ import annotations

from agent.monitoring.checks import (
    approvals,
    cost,
    executions,
    latency,
    learner,
    lints,
    markers,
    memories,
    messages,
    nulls,
    orphans,
    plans,
    refusals,
    sessions,
    statements,
    tables,
    workers,
)
from agent.monitoring.records import Check

CHECKS: tuple[Check, ...] = (
    executions.CHECK,
    approvals.CHECK,
    workers.CHECK,
    learner.CHECK,
    messages.CHECK,
    plans.CHECK,
    latency.CHECK,
    cost.CHECK,
    refusals.CHECK,
    memories.CHECK,
    sessions.CHECK,
    statements.CHECK,
    tables.CHECK,
    lints.CHECK,
    nulls.CHECK,
    orphans.CHECK,
    markers.CHECK,
)
