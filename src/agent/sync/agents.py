"""The registry of agents: the one list of agents of the product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from agent.db import load_queries
from agent.errors import NotFound
from agent.runtime import Cache, Runtime
from agent.sync.payloads import checked_name, json_text
from agent.sync.records import Agent

_QUERIES = load_queries(__package__)
_MOST_KNOWN = 10_000
_KNOWN: Cache[set[str]] = Cache()


def silence(runtime: Runtime) -> timedelta:
    """Return how long an agent may be silent before it counts as offline."""
    return timedelta(seconds=2 * runtime.settings.sync_heartbeat_seconds)


async def ensure(agent_ids: Sequence[str], *, runtime: Runtime) -> None:
    """Register agents that are used for the first time, or raise `NotFound` where AGENT_UNKNOWN_AGENTS is `refuse`."""
    known = _KNOWN.get(runtime, runtime.tenant_id)
    if known is None or len(known) > _MOST_KNOWN:
        known = _KNOWN.put(runtime, set(), runtime.tenant_id)
    new = sorted({checked_name(agent_id, what="An agent's id") for agent_id in {*agent_ids} - known})
    if not new:
        return
    if runtime.settings.unknown_agents == "register":
        await runtime.execute(_QUERIES["register_agents"], agent_ids=new, by=runtime.user)
    else:
        await require(new, runtime=runtime)
    known.update(new)


async def require(agent_ids: Sequence[str], *, runtime: Runtime) -> None:
    """Raise `NotFound` unless all of these agents are in the registry."""
    known = _KNOWN.get(runtime, runtime.tenant_id) or set()
    if known.issuperset(agent_ids):  # an agent is never removed from the registry
        return
    for agent_id in agent_ids:
        checked_name(agent_id, what="An agent's id")
    rows = await runtime.all(_QUERIES["known_agents"], agent_ids=list(agent_ids))
    missing = sorted(set(agent_ids) - {row["agent_id"] for row in rows})
    if missing:
        raise NotFound(f"There is no agent {missing[0]!r}: register it first (`agent sync register`).")
    (_KNOWN.get(runtime, runtime.tenant_id) or _KNOWN.put(runtime, set(), runtime.tenant_id)).update(agent_ids)


async def register(
    agent_id: str,
    *,
    name: str | None = None,
    agent_type: str | None = None,
    capabilities: Any = None,
    status: str | None = None,
    runtime: Runtime,
) -> Agent:
    """Name an agent, or say more of one; what is None stays as it is."""
    given = {"agent_id": agent_id, "name": name, "agent_type": agent_type, "status": status}
    for field, value in given.items():
        if value is not None:
            checked_name(value, what=f"The {field}")
    listed = None if capabilities is None else json_text(capabilities, what="The list of capabilities")
    values = {**given, "capabilities": listed, "by": runtime.user, "silence": silence(runtime)}
    row = await runtime.one(_QUERIES["save_agent"], **values)
    assert row is not None  # noqa: S101  # an upsert returns its row
    return Agent.from_row(row)


async def heartbeat(agent_id: str, *, status: str | None = None, runtime: Runtime) -> Agent:
    """Say that an agent is alive, and in which status."""
    if status is not None:
        checked_name(status, what="The status")
    await ensure([agent_id], runtime=runtime)
    row = await runtime.one(_QUERIES["heartbeat"], agent_id=agent_id, status=status)
    if row is None:
        raise NotFound(f"There is no agent {agent_id!r}: register it first (`agent sync register`).")
    return Agent.from_row(row)


async def every(*, runtime: Runtime) -> list[Agent]:
    """Return the registry, by name."""
    rows = await runtime.all(_QUERIES["agents"], agent_id=None, silence=silence(runtime))
    return [Agent.from_row(row) for row in rows]


async def one(agent_id: str, *, runtime: Runtime) -> Agent | None:
    """Return an agent of the registry, or None."""
    row = await runtime.one(_QUERIES["agents"], agent_id=agent_id, silence=silence(runtime))
    return Agent.from_row(row) if row else None
