"""Writes a turn's events as server-sent events and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

from sse_starlette.event import ServerSentEvent

from agent.api.turn_streams import TurnStream
from agent.chat import (
    Answered,
    ApprovalAsked,
    ApprovalDecided,
    ChatEvent,
    KnowledgeLoaded,
    Restarted,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.errors import AgentError, NotAuthenticated

_CHECK_SECONDS = 3.0


def document_of(event: ChatEvent) -> tuple[str, dict[str, Any]]:
    """Return the name and the JSON of an event."""
    name: str = "answer"
    document: dict[str, Any] = {}
    match event:
        case KnowledgeLoaded():
            name, document = "knowledge", {"tables": list(event.tables), "memory_ids": list(event.memory_ids)}
        case Restarted():
            name, document = "restart", {"reason": event.reason}
        case Token():
            name, document = "token", {"text": event.text}
        case ToolStarted():
            name, document = "tool", {"state": "started", "tool": event.tool, "arguments": dict(event.arguments)}
            document["call"] = _call(event)
        case ToolFinished():
            name, document = "tool", {"state": "finished", "tool": event.tool, "result": dict(event.result)}
            document["call"] = _call(event)
        case ApprovalAsked():
            name, document = "approval", {"state": "waiting", "approval": dict(event.approval.as_dict())}
        case ApprovalDecided():
            document = {"state": event.status, "approval_id": event.approval_id, "result": dict(event.result)}
            name = "approval"
        case Answered():
            document = {"thread_id": event.thread_id, "turn": event.turn, "text": event.text, "error": event.error}
            document["sources"] = dict(event.sources)
    return name, document


async def sse_of(
    stream: TurnStream, *, allowed: Callable[[], Awaitable[bool]], after: int = 0
) -> AsyncIterator[ServerSentEvent]:
    """Yield `started`, then the events of a stream after number `after`, while the reader is `allowed`.

    The last one is `done` or `error`.
    """
    number, checked = after, time.monotonic()
    if after == 0:  # at once, so that a reader knows what to read on, whatever happens next
        yield _sse("started", {"thread_id": stream.thread_id, "stream_id": stream.id}, event_id=f"{stream.id}:0")
    try:
        async for number, event in stream.read(after, pause=_CHECK_SECONDS):
            if time.monotonic() - checked >= _CHECK_SECONDS:
                if not await allowed():
                    raise NotAuthenticated("Your key or token is not valid any more: the turn goes on without you.")
                checked = time.monotonic()
            if event is None:
                continue
            name, document = document_of(event)
            yield _sse(name, document, event_id=f"{stream.id}:{number}")
    except AgentError as error:
        yield _sse("error", {"error": type(error).__name__, "detail": str(error)}, event_id=f"{stream.id}:{number + 1}")
        return
    yield _sse("done", {"thread_id": stream.thread_id}, event_id=f"{stream.id}:{number + 1}")


def _sse(name: str, document: dict[str, Any], *, event_id: str) -> ServerSentEvent:
    return ServerSentEvent(data=json.dumps(document, ensure_ascii=False, default=_plain), event=name, id=event_id)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _call(event: ToolStarted | ToolFinished) -> str:
    key = event.key
    return f"{key.turn}.{key.round}.{key.ordinal}"
