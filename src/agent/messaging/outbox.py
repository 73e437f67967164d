"""The outbox: one row for each request and place, so that a crash neither loses a message nor posts it again.

A message is due when its request changes. Whoever takes it holds it for a time; if that process dies, it is due again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_HOLD = timedelta(seconds=12)  # longer than the patience with a service
_RECEIVE_HOLD = timedelta(seconds=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A row of the outbox. `ready_at` is the time until which the process that took it holds it.

    `sent_before` says that a post began then of which nobody noted the end: the message may be there, with this `marker`.
    `decision` was taken in from its buttons and perhaps not carried out. `tried` names the places that did not work, as service/place.
    """

    id: int
    approval_id: int
    service: str
    place: str
    binding: str
    token: UUID | None
    message_id: str | None
    ready_at: datetime | None
    attempts: int
    error: str | None
    first_service: str
    first_place: str
    tried: list[str]
    marker: UUID
    decision: dict[str, Any] | None
    sent_before: datetime | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Message:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Outbox:
    """The messages of one tenant in one service."""

    runtime: Runtime
    service: str

    async def place(self, approval_id: int, place: str, binding: str, *, not_before: datetime | None = None) -> None:
        """Note that a request is to be posted in a place, not before the end of quiet hours; the second time has no effect."""
        await self.runtime.execute(
            _QUERIES["place"], approval_id=approval_id, service=self.service, place=place, binding=binding,
            not_before=not_before,
        )  # fmt: skip

    async def take(self, *, hold: timedelta = _HOLD) -> Message | None:
        """Take one message that is due, or None, and hold it for that time."""
        return _message(await self.runtime.one(_QUERIES["take"], service=self.service, hold=hold))

    async def posted(self, message: Message, message_id: str) -> None:
        """Note a message that was posted and does not show everything yet."""
        await self.runtime.execute(_QUERIES["posted"], id=message.id, message_id=message_id)

    async def shown(self, message: Message, message_id: str, *, waits: bool) -> None:
        """Note that the message was posted or updated; one that waits for nobody has no buttons."""
        await self.runtime.execute(
            _QUERIES["shown"], id=message.id, message_id=message_id, waits=waits, held_until=message.ready_at
        )

    async def gone(self, message: Message, *, again: bool) -> None:
        """Note that somebody deleted the message; it is posted `again` if its request still waits."""
        await self.runtime.execute(_QUERIES["gone"], id=message.id, again=again)

    async def failed(self, message: Message, error: str, *, wait: timedelta, unsure: bool) -> None:
        """Note why a message was not delivered; it is tried again after `wait`. If `unsure`, it may be there."""
        await self.runtime.execute(_QUERIES["failed"], id=message.id, error=error[:500], wait=wait, unsure=unsure)

    async def move(
        self, message: Message, service: str, place: str, *, tried: Sequence[str], error: str, wait: timedelta
    ) -> None:
        """Ask in another place instead; if the request is there already, nowhere else."""
        values = {"id": message.id, "error": error[:500]}
        moved = await self.runtime.one(
            _QUERIES["move"], **values, service=service, place=place, tried=list(tried), wait=wait
        )
        if moved is None:
            await self.runtime.execute(_QUERIES["park"], **values)

    async def of_token(self, token: str) -> Message | None:
        """Return the message whose buttons send `token`, or None."""
        try:
            value = UUID(hex=token)
        except ValueError:
            return None
        return _message(await self.runtime.one(_QUERIES["of_token"], token=value))

    async def of_posted(self, message_id: str) -> Message | None:
        """Return the message that was posted under this id, or None."""
        return _message(await self.runtime.one(_QUERIES["of_posted"], service=self.service, message_id=message_id))

    async def of_marker(self, marker: str) -> Message | None:
        """Return the message that carries this marker, or None."""
        try:
            value = UUID(hex=marker)
        except ValueError:
            return None
        return _message(await self.runtime.one(_QUERIES["of_marker"], service=self.service, marker=value))

    async def use_token(self, message: Message, decision: Mapping[str, Any]) -> bool:
        """Use the message's buttons up for a decision. Return whether this was the first to do so."""
        values = {"id": message.id, "token": message.token, "hold": _HOLD, "decision": Jsonb(dict(decision))}
        return await self.runtime.one(_QUERIES["use_token"], **values) is not None

    async def carried_out(self, message: Message) -> None:
        """Note that the decision is not open any more, and let the message be looked at now."""
        await self.runtime.execute(_QUERIES["carried_out"], id=message.id)

    async def pause(self) -> float | None:
        """Return the seconds until the next message is due, or None."""
        row = await self.runtime.one(_QUERIES["pause"], service=self.service)
        return row["seconds"] if row else None

    async def first_time(self, key: str) -> bool:
        """Return whether an update comes in for the first time."""
        return await self.runtime.one(_QUERIES["first_time"], service=self.service, key=key) is not None

    async def receives(self, holder: str) -> bool:
        """Become or stay the process that receives from the service. Return whether this one is it."""
        row = await self.runtime.one(_QUERIES["receive"], service=self.service, holder=holder, hold=_RECEIVE_HOLD)
        return row is not None


async def of_request(approval_id: int, *, runtime: Runtime) -> list[Message]:
    """Return the messages in which a request was posted."""
    return [Message.from_row(row) for row in await runtime.all(_QUERIES["of_request"], approval_id=approval_id)]


async def recent(limit: int, *, runtime: Runtime) -> list[Message]:
    """Return the newest messages of every service."""
    return [Message.from_row(row) for row in await runtime.all(_QUERIES["recent"], limit=limit)]


def _message(row: Mapping[str, Any] | None) -> Message | None:
    return Message.from_row(row) if row else None
