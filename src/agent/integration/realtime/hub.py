"""The connections of this process, and the events that reach them: one reader of the sync channel for each application.

publish -> row in the sync channel -> every process's reader -> the connections that are subscribed
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog

import agent.integration.realtime.apps as apps
import agent.integration.realtime.occupancy as occupancy
import agent.integration.realtime.protocol as protocol
from agent.concurrency import end_tasks
from agent.errors import AgentError
from agent.integration.realtime.apps import App
from agent.integration.realtime.connections import Connection, Subscription
from agent.integration.realtime.occupancy import Present
from agent.integration.realtime.protocol import Code
from agent.integration.sync_channels import sync_channel
from agent.runtime import Cache, Runtime
from agent.sync import AgentSyncService

READER = "realtime"
_BEAT_SECONDS = 1.0
_ALIVE_EVERY = 20
_log = structlog.get_logger(__name__)


class Room:
    """The connections of one application in this process."""

    def __init__(self, app: App, server: UUID, runtime: Runtime) -> None:
        self.app = app
        self.runtime = runtime.for_tenant(app.tenant_id)
        self.connections: dict[str, Connection] = {}
        self.channels: dict[str, dict[str, Connection]] = {}
        self._server = server
        self._dirty: set[str] = set()
        self._settling: dict[str, asyncio.Lock] = {}
        self._offset = "now"
        self._reading = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def subscribe(self, connection: Connection, channel: str, subscription: Subscription) -> Present:
        """Subscribe a connection, and return who is in the channel. It gets no event before `begin`."""
        await self._reading.wait()
        connection.subscriptions[channel] = subscription
        known = self.channels.setdefault(channel, {})
        known[connection.socket_id] = connection
        self._dirty.add(channel)
        if len(known) > 1 and not protocol.kind_of(channel).presence:
            return Present(len(known))  # others know that the channel is occupied; the count follows with the next beat
        return await self._settled(channel)

    async def unsubscribe(self, connection: Connection, channel: str) -> None:
        """End a subscription."""
        if connection.subscriptions.pop(channel, None) is None:
            return
        known = self.channels.get(channel, {})
        known.pop(connection.socket_id, None)
        if not known:
            self.channels.pop(channel, None)
        self._dirty.add(channel)
        if not known or protocol.kind_of(channel).presence:
            await self._settled(channel)

    async def leave(self, connection: Connection) -> None:
        """Take a connection out. What the database cannot be told now, it is told by the next beat."""
        self.connections.pop(connection.socket_id, None)
        channels = list(connection.subscriptions)
        for channel in channels:
            with suppress(AgentError, psycopg.Error):
                await self.unsubscribe(connection, channel)

    async def beat(self) -> None:
        """Tell the database what it could not be told, or what it need not know at once."""
        for channel in list(self._dirty):
            await self._settled(channel)

    async def renew(self) -> bool:
        """Look whether the application is still there as it was, say that this process lives, and take back what dead ones said."""
        found = await apps.of_key(self.app.app_key, runtime=self.runtime)
        if found is None:
            for connection in self.connections.values():
                connection.end(Code.NO_APPLICATION)
            return False
        self.app = found
        if self._offset != "now":  # nobody needs it; the subscription would look as if it lagged
            await AgentSyncService(self.runtime).acknowledge_through(READER, self._offset)
        await occupancy.say_alive(self._server, runtime=self.runtime)
        await occupancy.forget_dead(self.app, runtime=self.runtime)
        return True

    async def close(self) -> None:
        """End the reader."""
        await end_tasks(self._reader)

    def deliver(self, data: Mapping[str, Any]) -> None:
        """Hand an event to the connections that are subscribed."""
        if "terminate" in data:
            for connection in list(self.connections.values()):
                if connection.user_id == data["terminate"]:
                    connection.end(Code.UNAUTHORIZED)
            return
        for channel in data.get("channels", ()):
            text = protocol.written(data["event"], data["data"], channel=channel, user_id=data.get("user_id"))
            if channel.startswith(protocol.SERVER_TO_USER):
                self._deliver_to_user(channel.removeprefix(protocol.SERVER_TO_USER), text)
                continue
            for socket_id, connection in list(self.channels.get(channel, {}).items()):
                if socket_id != data.get("without") and not _is_member(connection, channel, data.get("member")):
                    connection.deliver(channel, text)

    def _deliver_to_user(self, user_id: str, text: str) -> None:
        for connection in list(self.connections.values()):
            if connection.user_id == user_id:
                connection.send(text)

    async def _settled(self, channel: str) -> Present:
        """Write what this process has of a channel, once for all who changed it meanwhile, and return who is in it."""
        async with self._settling.setdefault(channel, asyncio.Lock()):
            try:
                if channel in self._dirty:
                    self._dirty.discard(channel)
                    return await occupancy.settle(self.app, channel, self._server, self._mine(channel), runtime=self.runtime)  # fmt: skip
            except BaseException:
                self._dirty.add(channel)
                raise
            known = self.channels.get(channel, {})
            if not protocol.kind_of(channel).presence:
                return Present(len(known))
            return Present(len(known), await occupancy.members(self.app, channel, runtime=self.runtime))

    def _mine(self, channel: str) -> Present:
        known = self.channels.get(channel, {})
        found = (one.subscriptions[channel].member for one in known.values() if channel in one.subscriptions)
        return Present(len(known), {one.user_id: one.user_info for one in found if one is not None})

    async def _read(self) -> None:
        while True:
            try:
                channel = await sync_channel(self.app.channel, runtime=self.runtime)
                service = AgentSyncService(self.runtime)
                await service.subscribe_agent_to_channel(READER, channel)
                stream = service.follow_agent_events(READER, offset=self._offset, channel_id=channel)
                async for reading in stream:
                    self._offset = reading.offset
                    self._reading.set()
                    for event in reading.events:
                        self.deliver(event.data)
            except (AgentError, psycopg.Error) as error:
                _log.warning("realtime_waits_for_database", error=type(error).__name__)
            except Exception:  # the edge of a loop that must survive
                _log.exception("realtime_reader_failed")
            await asyncio.sleep(_BEAT_SECONDS)


class Hub:
    """The rooms of this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._server = uuid4()
        self._rooms: dict[str, Room] = {}
        self._beating: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """Return how many connections there are."""
        return sum(len(room.connections) for room in self._rooms.values())

    def enter(self, app: App, connection: Connection) -> Room:
        """Take a connection into its application's room."""
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())
        room = self._rooms.get(app.app_key)
        if room is None:
            room = self._rooms[app.app_key] = Room(app, self._server, self._runtime)
        room.connections[connection.socket_id] = connection
        return room

    def end_with(self, leaving: asyncio.Event) -> None:
        """Ask every client to come back to another process, once this one is `leaving`."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(leaving))

    async def close(self) -> None:
        """End."""
        self._end_connections()
        await end_tasks(*(task for task in (self._beating, self._leaving) if task is not None))
        for room in self._rooms.values():
            await room.close()

    async def _leave(self, leaving: asyncio.Event) -> None:
        await leaving.wait()
        self._end_connections()

    def _end_connections(self) -> None:
        for room in self._rooms.values():
            for connection in list(room.connections.values()):
                connection.end(Code.ENDS)

    async def _beat(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            count += 1
            for key, room in list(self._rooms.items()):
                try:
                    await room.beat()
                    if count % _ALIVE_EVERY == 0:
                        await room.renew()
                    if not room.connections:
                        del self._rooms[key]
                        await room.close()
                except (AgentError, psycopg.Error) as error:
                    _log.warning("realtime_waits_for_database", error=type(error).__name__)
                except Exception:  # the edge of a loop that must survive
                    _log.exception("realtime_beat_failed")


_HUB: Cache[Hub] = Cache()


def hub_of(runtime: Runtime) -> Hub:
    """Return the connections of a runtime's process; those of every tenant are in it."""
    known = _HUB.get(runtime)
    if known is None:
        known = _HUB.put(runtime, Hub(runtime))
        runtime.at_close.append(known.close)
    return known


def _is_member(connection: Connection, channel: str, user_id: str | None) -> bool:
    """Return whether a connection is the member that came or went: nobody is told of themselves."""
    subscription = connection.subscriptions.get(channel)
    return user_id is not None and subscription is not None and subscription.member is not None and subscription.member.user_id == user_id  # fmt: skip
