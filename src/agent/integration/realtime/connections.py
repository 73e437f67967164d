"""One client's connection as the service sees it: what it is subscribed to, who it is, and what it is still to be sent.

It knows no transport. Whoever serves it takes texts from `outgoing` and gives each message to `Session`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import agent.integration.realtime.protocol as protocol
from agent.integration.realtime.protocol import Code, Member

_MOST_WAITING = 2_000


@dataclass(slots=True)
class Subscription:
    """A subscription of a connection. Until it is `ready`, events wait behind the message that says so."""

    member: Member | None = None
    ready: bool = False
    held: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Connection:
    """A connection. `ended` says why it is to be closed."""

    socket_id: str = field(default_factory=protocol.new_socket_id)
    user_id: str | None = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    ended: Code | None = None
    _waiting: deque[str] = field(default_factory=deque)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _allowance: float = protocol.CLIENT_EVENTS_A_SECOND
    _counted_at: float = field(default_factory=time.monotonic)

    def send(self, text: str) -> None:
        """Queue a message. A connection that lets too many wait is ended, so that nobody waits for it."""
        if self.ended is not None:
            return
        self._waiting.append(text)
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.clear()
            self.end(Code.TOO_SLOW)
        self._woken.set()

    def deliver(self, channel: str, text: str) -> None:
        """Queue an event of a channel, if the connection is subscribed to it."""
        subscription = self.subscriptions.get(channel)
        if subscription is None:
            return
        if subscription.ready:
            self.send(text)
        elif len(subscription.held) < _MOST_WAITING:
            subscription.held.append(text)

    def begin(self, channel: str, first: list[str]) -> None:
        """Say that a subscription holds, and send what waited for that."""
        subscription = self.subscriptions.get(channel)
        if subscription is None:
            return
        for text in (*first, *subscription.held):
            self.send(text)
        subscription.held.clear()
        subscription.ready = True

    def end(self, code: Code) -> None:
        """Let the connection be closed."""
        self.ended = self.ended or code
        self._woken.set()

    def may_send(self) -> bool:
        """Count one event of the client, and return whether it is one of the first ten of a second."""
        now = time.monotonic()
        most = float(protocol.CLIENT_EVENTS_A_SECOND)
        self._allowance = min(most, self._allowance + (now - self._counted_at) * most)
        self._counted_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    async def outgoing(self) -> list[str]:
        """Return what is to be sent, as soon as there is something; nothing once the connection is ended."""
        if not self._waiting and self.ended is None:
            await self._woken.wait()
        self._woken.clear()
        texts = list(self._waiting)
        self._waiting.clear()
        return texts
