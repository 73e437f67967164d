"""The sync channels that agents publish to, made at their first use.

Look a channel up before a transaction begins: it is made on another connection, which would wait for what the transaction holds.
"""

from __future__ import annotations

from agent.runtime import Cache, Runtime
from agent.sync import AgentSyncService

_CHANNELS: Cache[str] = Cache()


async def sync_channel(name: str, *, runtime: Runtime) -> str:
    """Return the id of a sync channel of the tenant."""
    key = f"{runtime.tenant_id}\n{name}"
    known = _CHANNELS.get(runtime, key)
    if known is None:
        made = await AgentSyncService(runtime).create_sync_channel(name=name)
        known = _CHANNELS.put(runtime, made.channel_id, key)
    return known
