"""`/api/chat`: ask a question, follow the turn, continue it after approvals, stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from agent.access import keys
from agent.api.callers import Acting, Caller, needs
from agent.api.events import sse_of
from agent.api.idempotency import IdempotentRoute
from agent.api.turn_streams import TurnStream, TurnStreams
from agent.chat import ChatEvent, chat
from agent.errors import NotFound
from agent.runtime import Runtime

router = APIRouter(prefix="/api/chat", tags=["chat"], route_class=IdempotentRoute)
_SEND_TIMEOUT = 30.0
_log = structlog.get_logger(__name__)
# A turn that does not end in a stop of the server is handed over before that; its stream ends with that event.
_LAST_EVENT_SECONDS = 12.0
ThreadId = Annotated[str, Path(min_length=1, max_length=200, description="Id of the thread.")]
StreamId = Annotated[
    str, Path(min_length=1, max_length=64, description="Id of the stream: the part of an event's id before the colon.")
]
Accept = Annotated[str, Header(description="`text/event-stream` for the turn's events as they happen.")]


class TurnEvents(EventSourceResponse):
    """The events of a turn. A reader that does not take them in time is left; the turn goes on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("reader_left", seconds=self.send_timeout)


class Question(BaseModel):
    """What you ask, and on which thread."""

    message: str = Field(min_length=1, max_length=100_000)
    thread_id: str | None = Field(
        None, min_length=1, max_length=200, description="A thread to go on with; default: a new one."
    )


class ChatReply(BaseModel):
    """The end of a turn, or the approvals that must be decided before it goes on (`status` "waiting")."""

    thread_id: str
    status: Literal["done", "failed", "waiting"]
    answer: str
    sources: dict[str, Any] = {}
    approvals: list[dict[str, Any]] = []
    error: str | None = None


@router.post(
    "",
    response_model=ChatReply,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    **needs("operator"),
)
async def ask(request: Request, body: Question, runtime: Acting, caller: Caller, accept: Accept = "*/*") -> Any:
    """Ask, and get the answer as JSON or, with `Accept: text/event-stream`, each event as it happens.

    The turn goes on when you leave; `GET /api/chat/streams/{id}` reads on after `Last-Event-ID`.
    """
    thread_id = body.thread_id or chat.new_thread()
    streams: TurnStreams = request.app.state.streams
    stream = streams.start(
        _owner(runtime), thread_id, lambda: chat.ask(body.message, thread_id=thread_id, runtime=runtime)
    )
    return await _reply(stream, accept, runtime, caller)


@router.post("/{thread_id}/resume", response_model=ChatReply, **needs("operator"))
async def resume(request: Request, thread_id: ThreadId, runtime: Acting, caller: Caller, accept: Accept = "*/*") -> Any:
    """Continue a turn whose approvals were decided. Answers like `POST /api/chat`."""
    streams: TurnStreams = request.app.state.streams
    stream = streams.start(_owner(runtime), thread_id, lambda: chat.resume(thread_id, runtime=runtime))
    return await _reply(stream, accept, runtime, caller)


@router.post("/{thread_id}/cancel", **needs("operator"))
async def cancel(request: Request, thread_id: ThreadId, runtime: Acting) -> dict[str, bool]:
    """Stop the turn that runs on a thread. What was approved before stays approved."""
    streams: TurnStreams = request.app.state.streams
    stream = streams.running(thread_id, owner=_owner(runtime))
    if stream is None:
        raise NotFound(f"No turn of yours runs on thread {thread_id!r} in this process.")
    await streams.cancel(stream)
    return {"cancelled": True}


@router.get("/streams/{stream_id}", response_class=EventSourceResponse, **needs("operator"))
async def follow(
    request: Request,
    stream_id: StreamId,
    runtime: Acting,
    caller: Caller,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Read a turn's events on after `Last-Event-ID`. 404 says that there is nothing to resume: read the thread instead."""
    streams: TurnStreams = request.app.state.streams
    stream = streams.get(stream_id, owner=_owner(runtime))
    if stream is None:
        raise NotFound(
            "There is nothing to resume: the turn ended some time ago, or another process ran it. Read its thread."
        )
    return _events(stream, runtime, caller, after=_number(last_event_id, stream_id))


def _owner(runtime: Runtime) -> str:
    return f"{runtime.tenant_id}/{runtime.user}"


def _number(last_event_id: str | None, stream_id: str) -> int:
    """Return the number in `Last-Event-ID`, or 0 if it belongs to another stream or is none."""
    stream, _, number = (last_event_id or "").partition(":")
    return int(number) if stream == stream_id and number.isdecimal() and len(number) < 10 else 0


async def _reply(stream: TurnStream, accept: str, runtime: Runtime, caller: Caller) -> Any:
    if "text/event-stream" in accept:
        return _events(stream, runtime, caller)
    answer = await chat.collected(_without_numbers(stream), stream.thread_id)
    return ChatReply(
        thread_id=stream.thread_id, status=answer.status, answer=answer.text, sources=dict(answer.sources),
        approvals=[dict(approval.as_dict()) for approval in answer.approvals], error=answer.error,
    )  # fmt: skip


async def _without_numbers(stream: TurnStream) -> AsyncIterator[ChatEvent]:
    async for _, event in stream.read():
        if event is not None:
            yield event


def _events(stream: TurnStream, runtime: Runtime, caller: Caller, *, after: int = 0) -> EventSourceResponse:
    events = sse_of(stream, allowed=lambda: keys.still_valid(caller, runtime=runtime), after=after)
    headers = {"X-Stream-Id": stream.id, "X-Thread-Id": stream.thread_id}
    return TurnEvents(
        events, headers=headers, send_timeout=_SEND_TIMEOUT, ping=15, shutdown_grace_period=_LAST_EVENT_SECONDS
    )
