"""Presence: who is connected to this process says so for itself, and everybody is told of who came and went.

One write and one read for each tenant and heartbeat serve all connections of a process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import psycopg
import structlog

import agent.sync.agents as agents
from agent.db import load_queries
from agent.errors import AgentError
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


class Presence:
    """The agents of one tenant, as they were at the last look, and those that are connected here."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._connected: Counter[str] = Counter()
        self._seen: dict[str, tuple[bool, str]] = {}
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def join(self, agent_id: str) -> None:
        """Count an agent as connected until `leave`."""
        await agents.heartbeat(agent_id, runtime=self._runtime)
        self._connected[agent_id] += 1
        if self._task is None or self._task.done():
            self._looked.clear()
            self._task = asyncio.create_task(self._watch())

    def leave(self, agent_id: str) -> None:
        """Say no more that an agent is there; it is offline after two heartbeats."""
        self._connected[agent_id] -= 1
        if self._connected[agent_id] <= 0:
            del self._connected[agent_id]
        if not self._connected and self._task is not None:
            self._task.cancel()
            self._task = None

    async def changes(self, told: dict[str, tuple[bool, str]]) -> dict[str, tuple[bool, str]]:
        """Return who differs from what somebody was told: whether each is online, and the status. `told` is brought up to date."""
        await self._looked.wait()
        changed = {name: state for name, state in self._seen.items() if told.get(name) != state}
        told.update(changed)
        return changed

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            try:
                await self._runtime.execute(_QUERIES["alive"], agent_ids=list(self._connected))
                everybody = await agents.every(runtime=self._runtime)
                self._seen = {one.agent_id: (one.online, one.status) for one in everybody}
                self._looked.set()
            except (AgentError, psycopg.Error) as error:  # the next heartbeat tries again
                _log.warning("presence_not_read", error=str(error))
            await asyncio.sleep(self._runtime.settings.sync_heartbeat_seconds / 2)


_PRESENCE: Cache[Presence] = Cache()


def presence_of(runtime: Runtime) -> Presence:
    """Return the presence of a runtime's tenant, in this process."""
    known = _PRESENCE.get(runtime, runtime.tenant_id)
    if known is None:
        known = _PRESENCE.put(runtime, Presence(runtime), runtime.tenant_id)
        runtime.at_close.append(known.close)
    return known
