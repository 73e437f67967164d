"""Reads totals: what is new is counted first, so a figure includes every run that was answered with `stored`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from agent.analytics.figures import Figures, Totals, figures_of, grouped, latest_first
from agent.db import load_queries
from agent.errors import NotFound
from agent.runtime import Runtime
from agent.sync import agents
from agent.sync.records import Agent

_QUERIES = load_queries(__package__)
_FOLDED_TOGETHER = 50_000
_TREND_DAYS = 30
_BEGINNING = date(1970, 1, 1)
Level = Literal["cell", "agent", "task"]


async def fold(*, runtime: Runtime) -> None:
    """Count what is not counted yet, and name agents that logged by SQL in the registry."""
    folded = 0
    while True:
        row = await runtime.one(_QUERIES["fold"], most=_FOLDED_TOGETHER)
        part = row["folded"] if row else 0
        folded += part
        if part < _FOLDED_TOGETHER:
            break
    if folded and runtime.settings.unknown_agents == "register":
        new = [row["agent_name"] for row in await runtime.all(_QUERIES["unregistered"])]
        if new:
            await agents.ensure([name for name in new if name.isprintable() and name.strip()], runtime=runtime)


async def rows(
    level: Level,
    *,
    agent_name: str | None = None,
    task_type: str | None = None,
    since: date = _BEGINNING,
    runtime: Runtime,
) -> list[dict[str, Any]]:
    """Return the totals of a level."""
    return await runtime.all(_QUERIES["totals"], level=level, agent_name=agent_name, task_type=task_type, since=since)


async def registry(*, runtime: Runtime) -> list[Agent]:
    """Return the registry of agents."""
    return await agents.every(runtime=runtime)


async def counts(*, runtime: Runtime) -> dict[str, int]:
    """Return how many runs there are, how many have an outcome, and how many succeeded."""
    row = await runtime.one(_QUERIES["count_runs"])
    return dict(row) if row else {"runs": 0, "known": 0, "succeeded": 0}


async def of_agent(name: str, *, runtime: Runtime) -> dict[str, Any]:
    """Return an agent's figures: over all, by task type, and by day. Raises `NotFound`."""
    await fold(runtime=runtime)
    cells = await rows("cell", agent_name=name, runtime=runtime)
    if not cells:
        await agents.require([name], runtime=runtime)
    submitted = await runtime.one(_QUERIES["submitted"], agent_name=name)
    days = await rows("agent", agent_name=name, since=_trend_begins(), runtime=runtime)
    return {
        "agent_name": name, **_over_all(cells).as_dict(), "task_types": _by(cells, "task_type"), "trend": latest_first(days),
        "submitted": submitted,
    }  # fmt: skip


async def of_everything(*, runtime: Runtime) -> dict[str, Any]:
    """Return the figures over all, by agent, by task type, and by day."""
    await fold(runtime=runtime)
    cells = await rows("cell", runtime=runtime)
    days = await rows("task", since=_trend_begins(), runtime=runtime)
    return {
        "overall": _over_all(cells).as_dict(), "agents": _by(cells, "agent_name"), "task_types": _by(cells, "task_type"),
        "trend": latest_first(days),
    }  # fmt: skip


async def matrix(*, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the figures of each agent on each task type that it ran."""
    await fold(runtime=runtime)
    cells = await rows("cell", runtime=runtime)
    return [
        {
            "agent_name": row["agent_name"],
            "task_type": row["task_type"] or None,
            **figures_of(Totals().add(row)).as_dict(),
        }
        for row in cells
    ]


async def listed(*, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the registry with each agent's runs and success rate."""
    await fold(runtime=runtime)
    by_agent = grouped(await rows("cell", runtime=runtime), lambda row: row["agent_name"])
    nothing = Totals()
    return [_listed(one, by_agent.get(one.agent_id, nothing)) for one in await registry(runtime=runtime)]


async def status(name: str, *, runtime: Runtime) -> dict[str, Any]:
    """Return what an agent is and whether it was heard of. Raises `NotFound`."""
    await fold(runtime=runtime)
    found = await agents.one(name, runtime=runtime)
    if found is None:
        raise NotFound(f"There is no agent {name!r}: register it first (POST /agents/register).")
    cells = await rows("cell", agent_name=name, runtime=runtime)
    totals = grouped(cells, lambda _: None).get(None, Totals())
    return _listed(found, totals) | {"last_run": totals.last_at, "registered_at": found.created_at}


def _listed(one: Agent, totals: Totals) -> dict[str, Any]:
    figures = figures_of(totals)
    return {
        "agent_name": one.agent_id, "name": one.name, "agent_type": one.agent_type, "capabilities": one.capabilities,
        "status": one.status, "online": one.online, "heartbeat_at": one.heartbeat_at, "runs": figures.runs,
        "success_rate": figures.success_rate,
    }  # fmt: skip


def _over_all(cells: list[dict[str, Any]]) -> Figures:
    return figures_of(grouped(cells, lambda _: None).get(None, Totals()))


def _by(cells: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    found = grouped(cells, lambda row: row[name])
    return [{name: key or None, **figures_of(totals).as_dict()} for key, totals in sorted(found.items())]


def _trend_begins() -> date:
    return datetime.now(UTC).date() - timedelta(days=_TREND_DAYS)
