"""What a client's messages do: subscribe, sign in, send events to others. Each message is answered, and none ends the process."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import structlog

import agent.integration.realtime.apps as apps
import agent.integration.realtime.occupancy as occupancy
import agent.integration.realtime.protocol as protocol
import agent.integration.realtime.publishing as publishing
import agent.integration.realtime.signatures as signatures
from agent.errors import AgentError, InvalidInput
from agent.integration.realtime.connections import Connection, Subscription
from agent.integration.realtime.hub import Room
from agent.integration.realtime.protocol import Code, Member, Message

_MOST_SUBSCRIPTIONS = 1_000
_log = structlog.get_logger(__name__)


class Session:
    """One client."""

    def __init__(self, connection: Connection, room: Room) -> None:
        self._connection, self._room = connection, room

    def welcome(self) -> None:
        """Tell the client its id."""
        data = {"socket_id": self._connection.socket_id, "activity_timeout": protocol.ACTIVITY_SECONDS}
        self._connection.send(protocol.written("pusher:connection_established", data))

    def ask(self) -> None:
        """Ask the client for a sign of life."""
        self._connection.send(protocol.written("pusher:ping", {}))

    async def take(self, text: str) -> None:
        """Do what a message asks for."""
        message = protocol.read(text)
        if message is None:
            self._connection.send(protocol.error(Code.BAD_MESSAGE))
            return
        try:
            await self._take(message)
        except (AgentError, psycopg.Error) as error:
            _log.info("realtime_message_failed", error=type(error).__name__)
            channel = message.text("channel") or message.channel or ""
            if message.event == "pusher:subscribe":
                self._connection.subscriptions.pop(channel, None)
                self._connection.send(protocol.subscription_error(channel, "This cannot be done now: try again."))
            else:
                self._connection.send(protocol.error(Code.BAD_MESSAGE, "This cannot be done now: try again."))

    async def _take(self, message: Message) -> None:
        match message.event:
            case "pusher:ping":
                self._connection.send(protocol.written("pusher:pong", {}))
            case "pusher:pong":
                pass
            case "pusher:subscribe":
                await self._subscribe(message)
            case "pusher:unsubscribe":
                await self._room.unsubscribe(self._connection, message.text("channel") or "")
            case "pusher:signin":
                await self._sign_in(message)
            case event if event.startswith("client-"):
                await self._send(message)
            case _:
                self._connection.send(protocol.error(Code.BAD_MESSAGE, "There is no such event for clients."))

    async def _subscribe(self, message: Message) -> None:
        channel, channel_data = message.text("channel") or "", message.text("channel_data")
        if channel in self._connection.subscriptions:
            return
        reason = None if protocol.is_channel(channel) else "The name of the channel is not valid."
        if len(self._connection.subscriptions) >= _MOST_SUBSCRIPTIONS:
            reason = f"A connection has at most {_MOST_SUBSCRIPTIONS:,} subscriptions."
        kind = protocol.kind_of(channel)
        member: Member | None = None
        if reason is None and kind.needs_proof:
            app = await apps.credentials(self._room.app, runtime=self._room.runtime)
            data = channel_data if kind.presence else channel_data or None
            expected = signatures.channel_auth(app, self._connection.socket_id, channel, data)
            if not signatures.matches(message.text("auth"), expected):
                reason = "The auth of the subscription is wrong: it is signed with the application's secret."
            member = await self._member(channel, channel_data) if kind.presence and reason is None else None
            if kind.presence and reason is None and member is None:
                reason = "channel_data names no user_id, or the channel has as many members as it may."
        if reason is not None:
            self._connection.send(protocol.subscription_error(channel[:200], reason))
            return
        present = await self._room.subscribe(self._connection, channel, Subscription(member))
        data_text = protocol.presence_data(present.members) if kind.presence else "{}"
        first = [protocol.written("pusher_internal:subscription_succeeded", data_text, channel=channel)]
        if kind.cached:
            first.append(await self._cached(channel))
        self._connection.begin(channel, first)

    async def _member(self, channel: str, channel_data: str | None) -> Member | None:
        """Return who subscribes to a presence channel; what was signed in counts where it names nobody. None: not taken."""
        member = protocol.member_of(channel_data)
        if member is None:
            return None
        present = await occupancy.members(self._room.app, channel, runtime=self._room.runtime)
        full = len(present) >= protocol.MOST_MEMBERS and member.user_id not in present
        return None if full else member

    async def _cached(self, channel: str) -> str:
        kept = await publishing.last_event(self._room.app, channel, runtime=self._room.runtime)
        if kept is not None:
            return protocol.written(kept["event"], kept["data"], channel=channel)
        app = self._room.app
        if app.webhook_url:
            event = {"name": "cache_miss", "channel": channel}
            await occupancy.queue_webhook(app, [event], runtime=self._room.runtime)
        return protocol.written("pusher:cache_miss", "{}", channel=channel)

    async def _sign_in(self, message: Message) -> None:
        user_data = message.text("user_data") or ""
        app = await apps.credentials(self._room.app, runtime=self._room.runtime)
        expected = signatures.user_auth(app, self._connection.socket_id, user_data)
        user_id = protocol.signed_in(user_data)
        if user_id is None or not signatures.matches(message.text("auth"), expected):
            self._connection.send(protocol.error(Code.UNAUTHORIZED))
            self._connection.end(Code.UNAUTHORIZED)
            return
        self._connection.user_id = user_id
        self._connection.send(protocol.written("pusher:signin_success", {"user_data": user_data}))

    async def _send(self, message: Message) -> None:
        """Pass an event of the client on to the other subscribers of a private or presence channel."""
        channel = message.channel or ""
        subscription = self._connection.subscriptions.get(channel)
        data = message.data if isinstance(message.data, str) else protocol.as_text(message.data)
        reason = None
        if not self._room.app.client_events:
            reason = "The application does not allow client events."
        elif subscription is None or not subscription.ready or not protocol.kind_of(channel).takes_client_events:
            reason = "Client events go to a private or presence channel that the connection is subscribed to."
        elif not protocol.is_event(message.event) or protocol.too_long(data):
            reason = "A client event has a name of 1 to 200 characters and at most 10 kB."
        elif not self._connection.may_send():
            reason = "A connection sends at most 10 client events a second."
        if reason is not None:
            self._connection.send(protocol.error(Code.CLIENT_EVENT, reason))
            return
        user_id = subscription.member.user_id if subscription and subscription.member else None
        event = publishing.Outgoing(channels=(channel,), event=message.event, data=data, without=self._connection.socket_id)  # fmt: skip
        try:
            await publishing.pass_on(self._room.app, replace(event, user_id=user_id), runtime=self._room.runtime)
        except InvalidInput as error:
            self._connection.send(protocol.error(Code.CLIENT_EVENT, str(error)))
            return
        if self._room.app.webhook_url:
            told = {"name": "client_event", "channel": channel, "event": message.event, "data": data, "socket_id": self._connection.socket_id}  # fmt: skip
            await occupancy.queue_webhook(
                self._room.app, [told | ({"user_id": user_id} if user_id else {})], runtime=self._room.runtime
            )
