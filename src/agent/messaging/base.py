"""What a messaging service does for us, and what comes in from it. A new service is a `Service`, in one file."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from agent.errors import NotFound, OperatorError
from agent.messaging.rendering import Card


class Undeliverable(OperatorError):
    """The service refuses this message: the bot is blocked, not in the channel, or its token is wrong."""


class MessageGone(OperatorError):
    """The message that was to be changed is not there any more."""


class TryLater(OperatorError):
    """The service is away or asks us to wait, `seconds` if it says how long. `unsure` says that it may have done it."""

    def __init__(self, message: str, *, seconds: float | None = None, unsure: bool = False) -> None:
        super().__init__(message)
        self.seconds, self.unsure = seconds, unsure


Verb = Literal["approve", "reject", "edit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A button or form that somebody used: `token` is what the button sends, `account` who used it, `edited` their text."""

    account: str
    token: str
    decision: Verb
    comment: str | None = None
    edited: str | None = None
    place: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A text that somebody wrote to the agent. `answers` is the message it replies to, `conversation` names where it goes on.

    A text that is not `addressed` to the agent counts only if it answers one of its messages. `under` is the message that an
    answer stands under.
    """

    account: str
    place: str
    text: str
    private: bool
    key: str
    conversation: str
    answers: str | None = None
    addressed: bool = True
    under: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """A thumb, up (`right`) or down, under a message."""

    account: str
    message_id: str
    right: bool
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a person may see of a request beside its card: all of it as `text`, and what an edit begins with.

    `open` says that the button still decides, `why_not` why this person may not approve.
    """

    approval_id: int
    text: str
    editable: str
    open: bool = False
    why_not: str = ""


class Writer(Protocol):
    """Writes an answer where its question stands, while it is made."""

    async def show(self, text: str) -> None:
        """Show the answer as far as it is written."""
        ...

    async def finish(self, text: str, marker: str) -> str | None:
        """Show the whole answer, and return the message that shows it. Raises `Undeliverable` or `TryLater`."""
        ...


class Inbox(Protocol):
    """Takes what comes in from a service, and returns what to say to its sender ('' for nothing)."""

    async def tapped(self, tap: Tap, noted: asyncio.Event) -> str: ...

    async def said(self, said: Said, writer: Writer) -> str: ...

    async def reacted(self, reaction: Reaction) -> str: ...

    async def looked(self, tap: Tap) -> Shown: ...

    async def first_time(self, key: str) -> bool: ...

    async def may_receive(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that a service or a person made to our server. `path` is what stands after the name of the service."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What our server answers to a `Call`."""

    status: int = 200
    body: str = ""
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Service(ABC):
    """One messaging service. Its methods raise `Undeliverable`, `MessageGone` or `TryLater`.

    `places` are those that the settings name; without any, each linked person is written to. `people` gives the accounts whose
    person the settings name. A service that does not ask (`asks`) only tells. One that cannot be asked what was posted (`notes_first`)
    posts without buttons, and adds them once the message is noted: what a crash leaves there can be tapped by nobody. `hold` is longer than one of its requests takes. `reconnects` counts the connections that had to be made anew.
    """

    name: str
    places: tuple[str, ...] = ()
    people: Mapping[str, str] = {}
    asks: bool = True
    notes_first: bool = False
    hold: timedelta = timedelta(seconds=12)
    reconnects: int = 0

    @abstractmethod
    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Post a request, with buttons that send `token` (none without it). Return an id that no other message of the service has."""

    @abstractmethod
    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Make a posted message show `card`."""

    @abstractmethod
    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> str | None:
        """Send a plain text, as a reply to the message `under` if there is one. Return the message, if people can react to it."""

    @abstractmethod
    async def check(self) -> str:
        """Return who the bot is, as the service says."""

    @abstractmethod
    async def receive(self, inbox: Inbox) -> None:
        """Take in what people do, until it is cancelled."""

    @abstractmethod
    async def close(self) -> None:
        """End what is worked on, and close the connections."""

    async def find(self, place: str, marker: str, since: datetime, *, under: str | None = None) -> str | None:
        """Return the id of a message that was posted and not noted, if the service can be asked."""
        del place, marker, since, under
        return None

    async def called(self, call: Call, inbox: Inbox) -> Reply:
        """Answer a request to our server. Raises `NotFound` where the service makes none."""
        del call, inbox
        raise NotFound(f"Nothing calls this server for {self.name}: the settings do not say so.")
