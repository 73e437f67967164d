"""Publishes events of plans to the sync channel `plans`, which is read over WebSocket, server-sent events and long polls.

The rows are read, whichever process wrote them, so nothing is lost with a process. Each has a key of its own: any number of processes may
publish, and the channel holds each event once. An event says which row to look at, and holds no text and no value.
"""

from __future__ import annotations

from uuid import UUID

import agent.sync.channels as channels
import agent.sync.events as events
from agent.db import load_queries
from agent.errors import NotFound
from agent.runtime import Runtime
from agent.sync.wakeups import wakeups_of

CHANNEL, SOURCE = "plans", "orchestrator"
_QUERIES = load_queries(__package__)


async def publish(*, runtime: Runtime) -> int:
    """Publish what is new of the runtime's tenant, and return how much. The channel is made at the first event."""
    rows = await runtime.all(_QUERIES["unpublished"])
    if not rows:
        return 0
    given = [{"event_type": one["kind"], "dedupe_key": f"plan:{one['id']}", "data": one["data"]} for one in rows]
    new = [events.checked({**one, "source_agent_id": SOURCE}, broadcast=False, runtime=runtime) for one in given]
    await events.append(await _channel(runtime), new, runtime=runtime)
    wakeups_of(runtime).announce()
    await runtime.execute(_QUERIES["published"], ids=[one["id"] for one in rows])
    return len(rows)


async def _channel(runtime: Runtime) -> UUID:
    try:
        found = await channels.named(CHANNEL, runtime=runtime)
    except NotFound:
        found = await channels.create(
            CHANNEL, channel_type="bidirectional", sync_strategy="immediate", batch_size=100, batch_ms=20, runtime=runtime
        )  # fmt: skip
    return UUID(found.channel_id)
