"""The routes, one module for each group. A new group is one file here and one line in `ROUTERS`."""

from __future__ import annotations

from fastapi import APIRouter

from agent.api.routes import (
    agents,
    alerts,
    analytics,
    approvals,
    audit,
    chat,
    controls,
    executions,
    health,
    improvement,
    keys,
    knowledge,
    learning_runs,
    memories,
    memory_upkeep,
    messaging,
    monitoring,
    people,
    plans,
    setup,
    sync,
    sync_socket,
    threads,
    tools,
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    chat.router,
    threads.router,
    approvals.router,
    memory_upkeep.router,
    memories.router,
    knowledge.router,
    learning_runs.router,
    executions.router,
    people.router,
    tools.router,
    audit.router,
    controls.router,
    keys.router,
    setup.router,
    sync.router,
    messaging.router,
    sync_socket.router,
    alerts.router,
    monitoring.router,
    analytics.router,
    agents.router,
    plans.router,
    improvement.router,
)
