"""Passes events on to a queue of RabbitMQ, from which other systems take them at their own pace.

Each event is a persistent message in a durable queue, and the next one is sent when the server has confirmed it: a server that
refuses one in the middle gets none after it. What was confirmed and not marked comes again with the same message id.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.sync.outlets.base import ReceiverAway
from agent.sync.records import Event

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

_SECONDS = 10.0
_GROUP_SECONDS = 40.0  # less than a relay holds an outlet: after that another process may send the same
_CLOSE_SECONDS = 2.0
_LONG_WAIT = 30.0
_MOST_NAME = 255  # bytes, by AMQP 0-9-1


class RabbitMQQueues:
    """A RabbitMQ server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._there: set[str] = set()

    async def take(self, target: str, events: Sequence[Event]) -> None:
        """Put events into the queue `target`, which is made if it is not there."""
        if len(target.encode()) > _MOST_NAME:
            raise ReceiverAway(f"RabbitMQ takes names of {_MOST_NAME} bytes at most: make an outlet with a shorter target.", wait=_LONG_WAIT)  # fmt: skip
        try:
            from aio_pika.exceptions import AMQPError, ProbableAuthenticationError
        except ImportError:
            raise ReceiverAway('Install "learning-agent[rabbitmq]": AGENT_SYNC_RABBITMQ_URL needs it.', wait=_LONG_WAIT) from None  # fmt: skip
        try:
            async with asyncio.timeout(_GROUP_SECONDS):
                await self._send(target, events)
        except ProbableAuthenticationError as error:
            await self.close()
            raise ReceiverAway(
                "RabbitMQ refused the login: correct AGENT_SYNC_RABBITMQ_URL.", wait=_LONG_WAIT
            ) from error
        except (
            AMQPError,
            OSError,
            RuntimeError,
        ) as error:  # the library says by a RuntimeError that a channel is closed
            await self.close()
            raise ReceiverAway(f"RabbitMQ did not take the events: {type(error).__name__}.") from error
        except BaseException:  # what is under way on this connection is unknown: the next group gets a new one
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._channel = self._connection, None, None
        self._there.clear()
        if connection is not None:
            with suppress(Exception):  # it may be broken, which is why it is closed
                await asyncio.wait_for(connection.close(), timeout=_CLOSE_SECONDS)

    async def _send(self, target: str, events: Sequence[Event]) -> None:
        from aio_pika import DeliveryMode, Message

        channel = await self._connected()
        await self._make(channel, target)
        for event in events:
            message = Message(
                json.dumps(event.as_dict(), ensure_ascii=False, default=str).encode(),
                delivery_mode=DeliveryMode.PERSISTENT, content_type="application/json", message_id=message_id(event),
                headers={"epoch": event.epoch, "sequence": event.sequence},
            )  # fmt: skip
            async with asyncio.timeout(_SECONDS):
                await channel.default_exchange.publish(message, target)

    async def _make(self, channel: AbstractChannel, target: str) -> None:
        """Make the queue unless it is there: an operator may have made it with arguments of their own, such as a quorum queue."""
        if target in self._there:
            return
        from aio_pika.exceptions import ChannelNotFoundEntity

        assert self._connection is not None  # noqa: S101  # `_connected` made it
        async with asyncio.timeout(_SECONDS):
            try:
                async with self._connection.channel() as looking:  # the server closes it if there is none
                    await looking.declare_queue(target, passive=True)
            except ChannelNotFoundEntity:
                await channel.declare_queue(target, durable=True)
        self._there.add(target)

    async def _connected(self) -> AbstractChannel:
        if self._connection is None or self._connection.is_closed or self._channel is None or self._channel.is_closed:
            await self.close()
            import aio_pika

            self._connection = await aio_pika.connect(self._url, timeout=_SECONDS)
            async with asyncio.timeout(_SECONDS):
                # A message that no queue takes is an error: the queue was removed.
                self._channel = await self._connection.channel(on_return_raises=True)
        return self._channel


def message_id(event: Event) -> str:
    """Return by what a receiver knows an event that comes twice. Pure."""
    return f"{event.channel_id}:{event.epoch}:{event.sequence}"
