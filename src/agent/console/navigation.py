"""The pages of the console, in the order of the navigation. A new page is one line here, a route module and a template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter

from agent.console import live
from agent.console.routes import (
    activity,
    agents,
    alerts,
    approvals,
    chat,
    improve,
    integration,
    knowledge,
    learning,
    memory,
    overview,
    plans,
    settings,
    sign_in,
    sync,
    views,
    workflows,
)
from agent.console.visits import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A page in the navigation: `g` and `key` lead to it, and `badge` names the number that it shows."""

    name: str
    path: str
    key: str
    router: APIRouter
    badge: Literal["", "approvals", "alerts"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pages that belong together."""

    name: str
    entries: tuple[Entry, ...]


GROUPS = (
    Group(
        name="",
        entries=(
            Entry(name="Overview", path=ROOT, key="o", router=overview.router),
            Entry(name="Chat", path=f"{ROOT}/chat", key="c", router=chat.router),
            Entry(name="Approvals", path=f"{ROOT}/approvals", key="a", router=approvals.router, badge="approvals"),
        ),
    ),
    Group(
        name="What it knows",
        entries=(
            Entry(name="Memory", path=f"{ROOT}/memory", key="m", router=memory.router),
            Entry(name="Knowledge", path=f"{ROOT}/knowledge", key="k", router=knowledge.router),
            Entry(name="Learning", path=f"{ROOT}/learning", key="l", router=learning.router),
        ),
    ),
    Group(
        name="What it does",
        entries=(
            Entry(name="Activity", path=f"{ROOT}/activity", key="h", router=activity.router),
            Entry(name="Alerts", path=f"{ROOT}/alerts", key="w", router=alerts.router, badge="alerts"),
            Entry(name="Agents", path=f"{ROOT}/agents", key="n", router=agents.router),
            Entry(name="Plans", path=f"{ROOT}/plans", key="p", router=plans.router),
            Entry(name="Workflows", path=f"{ROOT}/workflows", key="f", router=workflows.router),
            Entry(name="Sync", path=f"{ROOT}/sync", key="y", router=sync.router),
            Entry(name="Improve", path=f"{ROOT}/improve", key="i", router=improve.router),
            Entry(name="Integration", path=f"{ROOT}/integration", key="t", router=integration.router),
        ),
    ),
    Group(
        name="Set-up",
        entries=(Entry(name="Settings and doctor", path=f"{ROOT}/settings", key="s", router=settings.router),),
    ),
)
# What belongs to no page stands first, because a page may take every path that is left.
ROUTERS = (sign_in.router, live.router, views.router, *(entry.router for group in GROUPS for entry in group.entries))
