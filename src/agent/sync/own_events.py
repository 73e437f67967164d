"""Publishes what our own agent does and learns to the channel `agent`: turns, results, memories, changes of the structure.

It reads the rows of what has happened, whichever process did it, so nothing is lost with a process. Each event has a
dedupe_key that follows from its row: any number of processes may publish, and the channel holds each once. An event says
which row to look at, and holds no text and no value.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import agent.sync.agents as agents
import agent.sync.channels as channels
import agent.sync.events as events
from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import NotFound
from agent.repeating import Repeating
from agent.runtime import Runtime
from agent.sync.wakeups import wakeups_of

CHANNEL, AGENT = "agent", "agent"
_QUERIES = load_queries(__package__, "own_events.sql")
_NO_CHANNEL = UUID(int=0)
# Where no process ran for longer than this, the older ones are not published any more.
_WINDOW = timedelta(days=1)


async def publish_news(*, runtime: Runtime) -> int:
    """Publish what is new of the runtime's tenant, and return how much. The channel is made at the first event."""
    try:
        key = UUID((await channels.named(CHANNEL, runtime=runtime)).channel_id)
    except NotFound:
        key = _NO_CHANNEL
    values = {"window": _WINDOW, "database_id": runtime.database_id}
    rows = await runtime.all(_QUERIES["news"], **values, channel_id=key)
    if rows and key == _NO_CHANNEL:
        made = await channels.create(
            CHANNEL,
            channel_type="bidirectional",
            sync_strategy="immediate",
            batch_size=100,
            batch_ms=20,
            runtime=runtime,
        )
        key = UUID(made.channel_id)
    if rows:
        new = [events.checked({**row, "source_agent_id": AGENT}, broadcast=False, runtime=runtime) for row in rows]
        await events.append(key, new, runtime=runtime)
        wakeups_of(runtime).announce()
    return len(rows)


async def say_alive(*, runtime: Runtime) -> None:
    """Say in the registry that our own agent lives, and whether it works, waits for people or is idle, once it is known there."""
    if AGENT not in {one.agent_id for one in await agents.every(runtime=runtime)}:
        return
    row = await runtime.one(_QUERIES["working"], window=_WINDOW) or {}
    status = "working" if row.get("running") else "waiting" if row.get("waiting") else "idle"
    await agents.heartbeat(AGENT, status=status, runtime=runtime)


def publishing(runtime: Runtime) -> Repeating:
    """Return what publishes for every tenant. What is not published when it ends, another process or the next start publishes."""

    async def publish() -> None:
        async with runtime.db.connection("agent_app") as conn:
            tenants = [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]
        for tenant in tenants:
            await publish_news(runtime=runtime.for_tenant(tenant))
            await say_alive(runtime=runtime.for_tenant(tenant))

    return Repeating("own_events", publish, seconds=runtime.settings.sync_poll_seconds)
