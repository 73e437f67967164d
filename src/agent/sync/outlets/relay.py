"""Passes events on: any number of processes may run a relay, and each outlet is one process's at a time.

An event is marked as sent after the receiver has taken it. A process that dies in between leaves it to be sent again, so a
receiver can get an event twice and never miss one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

import agent.sync.channels as channels
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import AgentError, InvalidInput, NotFound
from agent.runtime import Runtime
from agent.settings import Settings
from agent.sync.events import event_of, resumed
from agent.sync.offsets import Place
from agent.sync.outlets.base import Receiver, ReceiverAway
from agent.sync.outlets.rabbitmq_queues import RabbitMQQueues
from agent.sync.outlets.redis_streams import RedisStreams
from agent.sync.outlets.supabase_broadcast import SupabaseBroadcast
from agent.sync.payloads import channel_key, checked_name
from agent.sync.records import Event, Gap, Outlet, OutletKind
from agent.sync.wakeups import wakeups_of
from agent.telemetry import platform_span

_QUERIES = load_queries(__package__, "outlets.sql")
_HOLD = timedelta(seconds=60)
_GROUP = 100
_FIRST_WAIT, _LAST_WAIT = 0.5, 30.0
_log = structlog.get_logger(__name__)


def receivers_of(settings: Settings) -> dict[OutletKind, Receiver]:
    """Return the receivers that the settings name."""
    found: dict[OutletKind, Receiver] = {}
    if settings.sync_redis_url is not None:
        found["redis"] = RedisStreams(settings.sync_redis_url.get_secret_value())
    if settings.sync_rabbitmq_url is not None:
        found["rabbitmq"] = RabbitMQQueues(settings.sync_rabbitmq_url.get_secret_value())
    if settings.supabase_url and settings.sync_supabase_key is not None:
        found["supabase"] = SupabaseBroadcast(settings.supabase_url, settings.sync_supabase_key.get_secret_value())
    return found


async def add(channel_id: str, kind: str, target: str | None, *, everything: bool, runtime: Runtime) -> Outlet:
    """Begin an outlet of a channel from now on, or with `everything` that is kept. The default target names the channel."""
    if kind not in receivers_of(runtime.settings):
        raise InvalidInput(
            f"There is no receiver {kind!r}: set AGENT_SYNC_REDIS_URL (redis), AGENT_SYNC_RABBITMQ_URL (rabbitmq), or SUPABASE_URL and "
            "AGENT_SYNC_SUPABASE_KEY (supabase)."
        )
    channel = await channels.get(channel_id, runtime=runtime)
    name = checked_name(target or f"agents:{runtime.tenant_id}:{channel.name}"[:200], what="The target")
    await runtime.execute(
        _QUERIES["add"], channel_id=UUID(channel.channel_id), kind=kind, target=name, all=everything, by=runtime.user
    )
    wakeups_of(runtime).announce()
    (made,) = [
        one for one in await every(channel.channel_id, runtime=runtime) if (one.kind, one.target) == (kind, name)
    ]
    return made


async def every(channel_id: str | None, *, runtime: Runtime) -> list[Outlet]:
    """Return the outlets of a channel, or all."""
    key = None if channel_id is None else channel_key(channel_id)
    return [Outlet.from_row(row) for row in await runtime.all(_QUERIES["outlets"], channel_id=key)]


async def remove(outlet_id: str, *, runtime: Runtime) -> None:
    """End an outlet. Raises `NotFound`."""
    with suppress(ValueError):
        if await runtime.execute(_QUERIES["remove"], outlet_id=UUID(outlet_id)):
            return
    raise NotFound(f"There is no outlet {outlet_id[:50]!r}: `agent sync outlets` lists them.")


class Relay:
    """Passes the events of every tenant on until it is stopped. Without a receiver in the settings it does nothing."""

    def __init__(self, runtime: Runtime, receivers: Mapping[OutletKind, Receiver] | None = None) -> None:
        self._runtime = runtime
        self._receivers = receivers_of(runtime.settings) if receivers is None else receivers
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to pass events on."""
        if self._receivers:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is being sent is sent again by whoever goes on."""
        if self._task is not None:
            await end_tasks(self._task)
        for receiver in self._receivers.values():
            await receiver.close()

    async def _run(self) -> None:
        wakeups = wakeups_of(self._runtime)
        woken = wakeups.watch()
        try:
            while True:
                try:
                    for tenant in await self._tenants():
                        await self._pass_on(self._runtime.for_tenant(tenant))
                except (AgentError, psycopg.Error) as error:
                    _log.warning("outlets_wait_for_database", error=str(error))
                except Exception:  # the edge of a loop that must survive
                    _log.exception("outlets_failed")
                await wakeups.wait(woken, min(self._runtime.settings.sync_poll_seconds, _FIRST_WAIT))
        finally:
            wakeups.unwatch(woken)

    async def _tenants(self) -> list[str]:
        async with self._runtime.db.connection("agent_app") as conn:
            return [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]

    async def _pass_on(self, runtime: Runtime) -> None:
        """Pass on what is due of one tenant. Each outlet is taken anew for each group, so none waits for another's backlog."""
        while row := await runtime.one(_QUERIES["take"], kinds=list(self._receivers), hold=_HOLD):
            key = {"outlet_id": row["outlet_id"], "holder": row["holder"]}
            try:
                through = await self._send(row, runtime)
                await runtime.execute(_QUERIES["sent"], **key, epoch=row["channel_epoch"], through=through)
            except ReceiverAway as away:
                wait = max(away.wait, min(_FIRST_WAIT * 2 ** min(row["attempts"], 10), _LAST_WAIT))
                _log.warning("outlet_waits", target=row["target"], kind=row["kind"], seconds=wait, error=str(away))
                await runtime.execute(_QUERIES["failed"], **key, error=str(away)[:500], wait=timedelta(seconds=wait))

    async def _send(self, row: Mapping[str, Any], runtime: Runtime) -> int:
        """Send the next group of an outlet, and return up to where it is sent then. Raises `ReceiverAway`."""
        after, gap = resumed(
            row["channel"], Place(row["epoch"], row["sent_through"]), epoch=row["channel_epoch"],
            first=row["first_sequence"], last=row["last_sequence"],
        )  # fmt: skip
        rows = await runtime.all(
            _QUERIES["to_send"], channel_id=row["channel_id"], epoch=row["channel_epoch"], after=after, visible=row["visible"],
            limit=_GROUP,
        )  # fmt: skip
        events = [event_of(one) for one in rows]
        told = [_not_recovered(gap, events[0] if events else None, row)] if gap else []
        if events or told:
            with platform_span(row["kind"], "publish", runtime=runtime):
                await self._receivers[row["kind"]].take(row["target"], [*told, *events])
        return events[-1].sequence if events else max(after, row["visible"] if not gap else after)


def _not_recovered(gap: Gap, before: Event | None, row: Mapping[str, Any]) -> Event:
    """Return the event that tells a receiver that some are gone, under the number of the last one that is missing."""
    number = min(gap.to_sequence, before.sequence - 1) if before else gap.to_sequence
    return Event(
        event_id=f"{gap.channel_id}:gap:{number}", channel_id=gap.channel_id, epoch=row["channel_epoch"], sequence=max(number, 0),
        event_type="not_recovered", source_agent_id=None, target_agents=None, data=gap.as_dict(),
        published_at=before.published_at if before else datetime.now().astimezone(),
    )  # fmt: skip
