"""The routes, one module for each group. A new group is one file here and one line in `ROUTERS`."""

from __future__ import annotations

from fastapi import APIRouter

from agent.api.routes import (
    analytics,
    approvals,
    audit,
    chat,
    controls,
    executions,
    health,
    keys,
    knowledge,
    memories,
    people,
    sync,
    threads,
    tools,
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    chat.router,
    threads.router,
    approvals.router,
    memories.router,
    knowledge.router,
    executions.router,
    people.router,
    tools.router,
    audit.router,
    controls.router,
    keys.router,
    sync.router,
    analytics.router,
)
