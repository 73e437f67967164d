"""What a messaging service does for us, and what comes in from it. A new service implements `Service`, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from agent.errors import OperatorError
from agent.messaging.rendering import Card


class Undeliverable(OperatorError):
    """The service refuses this message for good: the bot is blocked, not in the channel, or its token is wrong."""


class MessageGone(OperatorError):
    """The message that was to be changed is not there any more."""


class TryLater(OperatorError):
    """The service is away or asks us to wait, `seconds` if it says how long."""

    def __init__(self, message: str, *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A button that somebody used: `token` is what the button sends, `account` who used it."""

    account: str
    token: str
    decision: Literal["approve", "reject"]
    comment: str | None = None
    place: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A text that somebody wrote to the agent. `answers` is the message it replies to, `conversation` names where it goes on.

    A text that is not `addressed` to the agent counts only if it answers one of its messages.
    """

    account: str
    place: str
    text: str
    private: bool
    key: str
    conversation: str
    answers: str | None = None
    addressed: bool = True


class Inbox(Protocol):
    """Takes what comes in from a service, and returns what to say to its sender ('' for nothing)."""

    async def tapped(self, tap: Tap) -> str: ...

    async def said(self, said: Said) -> str: ...

    async def may_receive(self) -> bool: ...


class Service(Protocol):
    """One messaging service. Its methods raise `Undeliverable`, `MessageGone` or `TryLater`."""

    @property
    def name(self) -> str: ...

    @property
    def places(self) -> tuple[str, ...]:
        """Return the places that the settings name; without any, each linked person is written to."""
        ...

    async def post(self, place: str, card: Card, token: str | None) -> str:
        """Post a request, with buttons that send `token` (none without it). Return an id that no other message of the service has."""
        ...

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Make a posted message show `card`."""
        ...

    async def send(self, place: str, text: str) -> None:
        """Send a plain text."""
        ...

    async def check(self) -> str:
        """Return who the bot is, as the service says."""
        ...

    async def receive(self, inbox: Inbox) -> None:
        """Take in what people do, until it is cancelled."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
