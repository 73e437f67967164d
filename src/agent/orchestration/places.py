"""How many steps of an agent may run at the same time, in all processes together. An agent without a limit costs one look in a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

import psycopg
import structlog

from agent.db import load_queries
from agent.errors import AgentError, InvalidInput
from agent.orchestration.leases import lease_of
from agent.runtime import Cache, Runtime

_LOOK_SECONDS, _OLD_SECONDS, _WAIT_SECONDS = 1.0, 5.0, 0.1
_QUERIES = load_queries(__package__)


@dataclass(slots=True, kw_only=True)
class _Limited:
    """The agents with a limit, as they were known when a look at the rows began, until it has ended."""

    at: float
    names: frozenset[str] | None
    look: asyncio.Task[frozenset[str]]


@dataclass(slots=True)
class _Queue:
    """The steps of this process that wait for a place of an agent: one of them asks the server, and the others wait for their turn."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    freed: asyncio.Event = field(default_factory=asyncio.Event)


_LIMITED: Cache[_Limited] = Cache()
_QUEUES: Cache[_Queue] = Cache()
_log = structlog.get_logger(__name__)


async def limit(agent_id: str, most: int | None, *, runtime: Runtime) -> None:
    """Let at most so many steps of an agent run at the same time; None ends the limit. Raises `InvalidInput`."""
    if most is not None and not 1 <= most <= 10_000:
        raise InvalidInput("A limit of an agent is a number from 1 to 10,000, or None.")
    _LIMITED.pop(runtime, runtime.tenant_id)
    if most is None:
        await runtime.execute(_QUERIES["end_limit"], agent_id=agent_id)
    else:
        await runtime.execute(_QUERIES["set_limit"], agent_id=agent_id, most=most)


@asynccontextmanager
async def place_of(agent_id: str, run_id: UUID, step_id: str, *, runtime: Runtime) -> AsyncIterator[None]:
    """Wait for a place of an agent that has a limit, and keep it. The place of a process that died is free when its lease is over."""
    if agent_id not in await _limited(runtime):
        yield
        return
    mine = {"agent_id": agent_id, "run_id": run_id, "step_id": step_id, "lease": lease_of(runtime)}
    queue = _queue_of(agent_id, runtime)
    async with AsyncExitStack() as stack:
        async with queue.turn:
            stack.push_async_callback(_leave, mine, queue, runtime)  # also if it is cancelled while it takes one
            while await runtime.one(_QUERIES["take_place"], **mine) is None:
                queue.freed.clear()
                with suppress(TimeoutError):  # another process may free one, too
                    await asyncio.wait_for(queue.freed.wait(), _WAIT_SECONDS)
        keeps = asyncio.create_task(_keep(mine, runtime))
        stack.callback(keeps.cancel)
        yield


async def _leave(mine: dict[str, object], queue: _Queue, runtime: Runtime) -> None:
    await asyncio.shield(runtime.execute(_QUERIES["leave_place"], **mine))
    queue.freed.set()


def _queue_of(agent_id: str, runtime: Runtime) -> _Queue:
    key = f"{runtime.tenant_id}\0{agent_id}"
    return _QUEUES.get(runtime, key) or _QUEUES.put(runtime, _Queue(), key)


async def _keep(mine: dict[str, object], runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(lease_of(runtime).total_seconds() / 3)
        try:
            await runtime.execute(_QUERIES["keep_place"], **mine)
        except (AgentError, psycopg.Error) as error:  # the next time may be early enough
            _log.warning("place_not_kept", agent=mine["agent_id"], error=str(error))


async def _limited(runtime: Runtime) -> frozenset[str]:
    """Return the agents that have a limit. Those who ask at the same time look once, and only after a silence they wait for it."""
    known, now = _LIMITED.get(runtime, runtime.tenant_id), monotonic()
    if known is None or now - known.at > _LOOK_SECONDS:
        last = known.names if known is not None and now - known.at < _OLD_SECONDS else None
        known = _LIMITED.put(
            runtime, _Limited(at=now, names=last, look=asyncio.create_task(_look(runtime))), runtime.tenant_id
        )
    if known.names is None or known.look.done():
        known.names = await asyncio.shield(known.look)
    return known.names


async def _look(runtime: Runtime) -> frozenset[str]:
    return frozenset([row["agent_id"] for row in await runtime.all(_QUERIES["limits"])])
