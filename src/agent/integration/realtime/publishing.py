"""Publishes to channels of the realtime service: stored in a sync channel first, then delivered by every process that has subscribers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import agent.integration.realtime.protocol as protocol
import agent.integration.schemas.boundaries as boundaries
from agent.db import Connection, load_queries
from agent.errors import InvalidInput
from agent.integration.realtime.apps import App
from agent.integration.sync_channels import sync_channel
from agent.runtime import Runtime
from agent.sync import AgentSyncService

_QUERIES = load_queries(__package__)
KEPT: Final = timedelta(minutes=30)  # as long as a cache channel shows its last event


class TooLong(InvalidInput):
    """An event carries at most 10 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An event for channels. The connection `without` does not get it: it sent the event."""

    channels: tuple[str, ...]
    event: str
    data: str
    without: str | None = None
    user_id: str | None = None

    def as_dict(self, source: str) -> dict[str, Any]:
        """Return it as it is stored. `source` says whether a server, a client or the service itself sent it."""
        return {"channels": list(self.channels), "event": self.event, "data": self.data, "without": self.without, "user_id": self.user_id, "from": source}  # fmt: skip


def checked(
    channels: Sequence[Any], event: Any, data: Any, *, without: Any = None, most: int = protocol.MOST_CHANNELS
) -> Outgoing:
    """Return the event that a server publishes. Raises `InvalidInput`, and `TooLong` for more than 10 kB. Pure."""
    if not 0 < len(channels) <= most:
        raise InvalidInput(f"An event goes to 1 to {most} channels.")
    for name in channels:
        if not protocol.is_target(name):
            raise InvalidInput(f"{str(name)[:100]!r} is no channel: use letters, digits and -_=@,.; and at most 164 of them.")  # fmt: skip
    if any(protocol.kind_of(name).encrypted for name in channels) and len(channels) > 1:
        raise InvalidInput("An event of an encrypted channel goes to that channel alone.")
    if not protocol.is_event(event) or event.startswith(("pusher:", "pusher_internal:")):
        raise InvalidInput("The name of an event has 1 to 200 printable characters and does not begin with pusher:.")
    if not isinstance(data, str):
        raise InvalidInput("The data of an event is a text: write other values as JSON.")
    if protocol.too_long(data):
        raise TooLong("An event carries at most 10 kB (10,240 bytes): send where to read the rest.")
    if without is not None and not protocol.is_socket_id(without):
        raise InvalidInput("socket_id is the id of a connection, such as 123.456.")
    return Outgoing(channels=tuple(dict.fromkeys(channels)), event=event, data=data, without=without)


async def publish(app: App, events: Sequence[Outgoing], *, runtime: Runtime) -> None:
    """Store events of a server in their order, all of them or none; when this returns, they are delivered whatever dies."""
    acting = runtime.for_tenant(app.tenant_id)
    for one in events:
        await boundaries.check_event(one.event, one.data, runtime=acting)
    service = AgentSyncService(acting)
    channel = await sync_channel(app.channel, runtime=acting)
    if len(events) == 1 and not cached_of(events[0]):
        await service.broadcast_to_channel(channel, stored(events[0].as_dict("server")))
        return
    async with service.transaction() as conn:
        for one in events:
            await _keep(app, one, conn)
            await service.broadcast_to_channel(channel, stored(one.as_dict("server")), connection=conn)


async def pass_on(app: App, event: Outgoing, *, runtime: Runtime) -> None:
    """Store an event of a client for the other subscribers. Raises `InvalidInput` if it does not fit the schema that it is bound to."""
    acting = runtime.for_tenant(app.tenant_id)
    await boundaries.check_event(event.event, event.data, runtime=acting)
    channel = await sync_channel(app.channel, runtime=acting)
    await AgentSyncService(acting).broadcast_to_channel(channel, stored(event.as_dict("client")))


async def terminate(app: App, user_id: str, *, runtime: Runtime) -> None:
    """End every connection of a user, in every process."""
    acting = runtime.for_tenant(app.tenant_id)
    channel = await sync_channel(app.channel, runtime=acting)
    await AgentSyncService(acting).broadcast_to_channel(channel, stored({"terminate": user_id, "from": "service"}))


async def last_event(app: App, channel: str, *, runtime: Runtime) -> Mapping[str, Any] | None:
    """Return what a cache channel shows a new subscriber, or None."""
    row = await runtime.for_tenant(app.tenant_id).one(
        _QUERIES["kept"], app_id=app.app_id, channel=channel, lifetime=KEPT
    )
    return None if row is None else row["cached"]


def cached_of(event: Outgoing) -> list[str]:
    """Return the cache channels among those of an event. Pure."""
    return sorted(name for name in event.channels if protocol.kind_of(name).cached)


def stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of the service as the sync channel takes it. Pure."""
    return {"event_type": "realtime", "data": dict(data)}


async def _keep(app: App, event: Outgoing, conn: Connection) -> None:
    names = cached_of(event)
    if not names:
        return
    cached = json.dumps({"event": event.event, "data": event.data})
    values = {"tenant_id": app.tenant_id, "app_id": app.app_id, "channels": names, "cached": cached}
    await conn.execute(_QUERIES["keep"], values)
