"""Texts that are sent later: the answer of a turn that went on elsewhere, and reminders. They are rows, so that a crash loses none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from agent.db import load_queries
from agent.errors import AgentError, NotFound
from agent.messaging.base import Service, TryLater
from agent.messaging.outbox import Outbox, of_request
from agent.messaging.placing import reachable
from agent.operations import approvals
from agent.runtime import Runtime
from agent.threads import threads

_QUERIES = load_queries(__package__)
_HOLD = timedelta(seconds=12)
_FORGOTTEN = timedelta(days=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A row: where a text goes, and what it is of. See the columns of `agents.messaging_texts`."""

    id: int
    service: str | None
    place: str | None
    reply_to: str | None
    thread_id: str | None
    person: str | None
    approval_id: int | None
    notice: str | None
    kind: str
    marker: UUID
    attempts: int
    tried: list[str]
    created_at: datetime
    sent_before: datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Text:
        return cls(**{field.name: row[field.name] for field in fields(cls) if field.name in row})


async def begin_answer(
    service: str, place: str, under: str | None, *, thread_id: str, person: str, runtime: Runtime
) -> Text:
    """Note that this process answers a question, and where the answer belongs if it cannot."""
    row = await runtime.one(
        _QUERIES["begin_answer"], service=service, place=place, reply_to=under, thread_id=thread_id, person=person
    )
    assert row is not None  # noqa: S101  # an insert returns its row
    return Text.from_row(row)


async def leave_answer(text: Text, *, wait: timedelta | None = None, unsure: bool = False, runtime: Runtime) -> None:
    """Leave an answer to whichever process the turn ends in; with `wait`, the answer is there already, perhaps sent (`unsure`)."""
    await runtime.execute(_QUERIES["leave_answer"], id=text.id, wait=wait, unsure=unsure)


async def drop_text(text: Text, *, runtime: Runtime) -> None:
    """Note that there is nothing to send."""
    await runtime.execute(_QUERIES["drop_text"], id=text.id)


async def note_sent(text: Text, *, message_id: str | None, runtime: Runtime) -> None:
    """Note that the text was sent, and in which message, if the service says so."""
    await runtime.execute(_QUERIES["sent_text"], id=text.id, message_id=message_id)


async def answer_shown(service: str, message_id: str, *, runtime: Runtime) -> tuple[str, int] | None:
    """Return the conversation and the turn whose answer a message shows, or None."""
    row = await runtime.one(_QUERIES["answer_shown"], service=service, message_id=message_id)
    return (row["thread_id"], row["turn"]) if row else None


async def take_text(*, runtime: Runtime) -> Text | None:
    """Take one text that is due, or None."""
    row = await runtime.one(_QUERIES["take_text"], hold=_HOLD)
    return Text.from_row(row) if row else None


async def pause_texts(*, runtime: Runtime) -> float | None:
    """Return the seconds until the next text is due, or None."""
    row = await runtime.one(_QUERIES["pause_texts"])
    return row["seconds"] if row else None


async def deliver_text(text: Text, services: Sequence[Service], *, wait: timedelta, runtime: Runtime) -> None:
    """Send one text that was taken; if that fails, it is tried again after `wait`, a notice perhaps elsewhere."""
    try:
        content = await _content(text, runtime)
        put = await _put(text, services, runtime) if content else None
        if content == "":
            await runtime.execute(_QUERIES["wait_text"], id=text.id)
        elif content is None or put is None:
            await drop_text(text, runtime=runtime)
        else:
            posted = await _send(put, content, services)
            await note_sent(text, message_id=posted, runtime=runtime)
    except AgentError as error:
        later = isinstance(error, TryLater)
        _log.warning("text_not_sent", kind=text.kind, service=text.service, error=str(error))
        await runtime.execute(
            _QUERIES["failed_text"], id=text.id, error=str(error)[:500], wait=wait,
            unsure=isinstance(error, TryLater) and error.unsure,
            elsewhere=text.kind != "answer" and (not later or text.attempts >= 3),
        )  # fmt: skip


async def _send(text: Text, content: str, services: Sequence[Service]) -> str | None:
    """Send a text, unless it is there. Return the message, if the service says which."""
    service = next((one for one in services if one.name == text.service), None)
    if service is None:
        raise NotFound(f"{text.service} is not set up any more.")
    place, marker = text.place or "", text.marker.hex
    there = await service.find(place, marker, text.sent_before, under=text.reply_to) if text.sent_before else None
    return there or await service.send(place, content, under=text.reply_to, marker=marker)


async def _content(text: Text, runtime: Runtime) -> str | None:
    """Return what a text says; '' while its turn goes on, None if it is out of date."""
    if datetime.now(UTC) - text.created_at > _FORGOTTEN:
        return None
    if text.thread_id is None:
        view = await approvals.view(text.approval_id or 0, runtime=runtime)
        words = {"reminder": "Still waits", "escalation": "Nobody has decided yet", "delegated": "For you"}
        how = f"Say approve {text.approval_id} or reject {text.approval_id} and why."
        return f"{words[text.kind]}: {text.notice} {how}" if view.approval.status == "pending" else None
    try:
        turns = await threads.turns(text.thread_id, runtime=runtime.for_tenant(runtime.tenant_id, user=text.person))
    except NotFound:
        return None
    last = turns[-1]
    if last["status"] not in ("done", "failed"):
        return ""
    return last["answer"] or last["error"] or "I have no answer."


async def _put(text: Text, services: Sequence[Service], runtime: Runtime) -> Text | None:
    """Return a text with its place: a person's account, else where the request was posted. None if it is told there already."""
    if text.service is not None:
        return text
    there, approval_id = await reachable(services, runtime=runtime), text.approval_id or 0
    posted = await of_request(approval_id, runtime=runtime)
    asking = {reach.service for reach in there.reaches if reach.asks}
    places = [(one.service, one.place) for one in there.accounts_of(text.person or "") if one.name not in text.tried]
    places = places[:1] or [(one.service, one.place) for one in posted if one.service in asking][:1]
    if not places:
        return None
    service, place = places[0]
    under = next((one.message_id for one in posted if (one.service, one.place) == places[0]), None)
    if under is None and text.kind != "reminder":
        view = await approvals.view(approval_id, runtime=runtime)
        await Outbox(runtime, service).place(approval_id, place, view.approval.binding)
    row = await runtime.one(_QUERIES["put_text"], id=text.id, service=service, place=place, reply_to=under)
    return None if row is None else replace(text, service=service, place=place, reply_to=under)
