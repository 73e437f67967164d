"""`/api/agent-sync/agents/{id}/socket`: an agent's events over a WebSocket, with resume, heartbeats and presence.

The client's first message is `hello`: where to go on, and its key if it could not send a header. Then events follow as they
come, each group with its offset. A client that does not take a group in time, or is silent for two heartbeats, is left: it
comes back with its offset, and nobody else has waited for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Path, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from agent.access import keys
from agent.access.identity import Identity
from agent.api.callers import Callers
from agent.concurrency import gather_or_cancel
from agent.errors import AgentError, NotAuthenticated, OperatorError
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.sync.offsets import Place, written
from agent.sync.presence import Presence, presence_of
from agent.sync.records import Event, Reading
from agent.sync.views import Viewer, texts_of, viewer_of
from agent.text.faults import fault

router = APIRouter(prefix="/api/agent-sync", tags=["synchronisation"])
_log = structlog.get_logger(__name__)
_HELLO_SECONDS, _SEND_SECONDS = 10.0, 10.0
# Why a connection ends, as WebSocket codes of applications: the client must change something, or come back.
_WRONG, _NO_PROOF, _SILENT, _SLOW, _FULL = 4400, 4401, 4408, 4429, 4503
_BIG = 2**62
# Many clients refuse a message over 1 MiB; a single event may be longer, as AGENT_SYNC_MOST_EVENT_BYTES says.
_MOST_GROUP = 500_000


class From(BaseModel):
    """The last event that a client has: it goes on after that."""

    channel_id: str = Field(max_length=100)
    epoch: str = Field(max_length=100)
    sequence: int = Field(ge=0, lt=_BIG)


class Hello(BaseModel):
    """The first message. `offset` as in the answers, or `from` for one channel; without either, after what is acknowledged."""

    type: Literal["hello"]
    token: str | None = Field(None, max_length=20_000)
    offset: str | None = Field(None, max_length=200_000)
    after: From | None = Field(None, alias="from")
    channel_id: str | None = Field(None, max_length=100)
    limit: int = Field(100, ge=1, le=1_000)
    presence: bool = False

    @property
    def start(self) -> str | None:
        """Return the offset to begin after."""
        if self.after is None:
            return self.offset
        return written({self.after.channel_id: Place(self.after.epoch, self.after.sequence)})


class Beat(BaseModel):
    """The client lives, and in which status."""

    type: Literal["heartbeat"]
    status: str | None = Field(None, min_length=1, max_length=100)


class Ack(BaseModel):
    """The client has dealt with everything up to an offset."""

    type: Literal["ack"]
    offset: str = Field(max_length=200_000)


_MESSAGES: TypeAdapter[Beat | Ack] = TypeAdapter(Annotated[Beat | Ack, Field(discriminator="type")])


class _Left(Exception):
    """The connection ends: with a code, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@router.websocket("/agents/{agent_id}/socket")
async def socket(websocket: WebSocket, agent_id: Annotated[str, Path(min_length=1, max_length=200)]) -> None:
    """Send an agent's events as they come, and take its heartbeats and acknowledgements."""
    await websocket.accept()
    state = websocket.app.state
    state.sockets = getattr(state, "sockets", 0) + 1
    try:
        await _served(websocket, agent_id)
    except _Left as left:
        await _close(websocket, left.code, left.reason)
    except AgentError as error:
        codes = ((NotAuthenticated, _NO_PROOF), (OperatorError, _FULL))
        code = next((code for kind, code in codes if isinstance(error, kind)), _WRONG)
        await _close(websocket, code, "Come back later." if code == _FULL else str(error))
    except WebSocketDisconnect:
        pass
    finally:
        state.sockets -= 1


async def _served(websocket: WebSocket, agent_id: str) -> None:
    callers: Callers = websocket.app.state.callers
    if websocket.app.state.sockets > callers.runtime.settings.sync_most_sockets:
        raise _Left(_FULL, "This process has as many connections as it may (AGENT_SYNC_MOST_SOCKETS): try another.")
    hello = _parsed(Hello.model_validate_json, await _received(websocket, _HELLO_SECONDS))
    identity = await _identity(websocket, callers, hello)
    identity.require("viewer")
    runtime = callers.acting_for(identity)
    session = Session(websocket, agent_id, identity, runtime, await viewer_of(runtime))
    # Anybody with the role may read; only who may write for an agent says that it is there.
    presence = presence_of(runtime) if identity.allows("operator") else None
    if presence is not None:
        await presence.join(agent_id)
    try:
        await session.run(hello, presence if hello.presence else None)
    finally:
        if presence is not None:
            presence.leave(agent_id)


async def _identity(websocket: WebSocket, callers: Callers, hello: Hello) -> Identity:
    """Return who connects: by the header, or by the token of the first message, as a browser cannot send the header."""
    identity = await (callers.identify(websocket, hello.token) if hello.token else callers.identity_for(websocket))
    if not await callers.within_limit(identity):
        raise _Left(_FULL, "You have sent too many requests (AGENT_RATE_LIMIT): wait a moment.")
    return identity


class Session:
    """One connection of one agent."""

    def __init__(
        self, websocket: WebSocket, agent_id: str, identity: Identity, runtime: Runtime, viewer: Viewer
    ) -> None:
        self._websocket, self._agent_id = websocket, agent_id
        self._text_of = partial(texts_of(runtime).of, viewer=viewer)
        self._identity, self._runtime = identity, runtime
        self._service = AgentSyncService(runtime)
        self._pause = runtime.settings.sync_heartbeat_seconds
        self._sending = asyncio.Lock()

    async def run(self, hello: Hello, presence: Presence | None) -> None:
        """Serve until one side ends it. Raises what ended it."""
        await gather_or_cancel(self._send_events(hello), self._take(), self._beat(presence))

    async def _send_events(self, hello: Hello) -> None:
        stream = self._service.follow_agent_events(
            self._agent_id, offset=hello.start, channel_id=hello.channel_id, limit=hello.limit
        )
        welcome = {"type": "welcome", "agent_id": self._agent_id, "heartbeat_seconds": self._pause}
        first = True
        async for reading in stream:
            if first:
                await self._send({**welcome, "offset": reading.offset})
            if reading.events or reading.gaps:
                for group in in_groups(reading, self._text_of):
                    await self._send_text(group)
            first = False

    async def _beat(self, presence: Presence | None) -> None:
        """Say that the server lives, and who came and went. The connection ends with its key, and before the server does."""
        leaving: asyncio.Event = self._websocket.app.state.leaving
        told: dict[str, tuple[bool, str]] = {}
        while True:
            if presence is not None and (changes := await presence.changes(told)):
                listed = [
                    {"agent_id": name, "online": online, "status": status} for name, (online, status) in changes.items()
                ]
                await self._send({"type": "presence", "agents": listed})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause / 2):
                    await leaving.wait()
                raise _Left(1001, "The server ends: come back with your offset.")
            if not await keys.still_valid(self._identity, runtime=self._runtime):
                raise _Left(_NO_PROOF, "The key or token is no longer valid.")
            await self._send({"type": "heartbeat"})

    async def _take(self) -> None:
        """Take the client's messages; one that is silent for two heartbeats is gone."""
        while True:
            message = _parsed(_MESSAGES.validate_json, await _received(self._websocket, 2 * self._pause))
            self._identity.require("operator")
            if isinstance(message, Ack):
                await self._service.acknowledge_through(self._agent_id, message.offset)
                await self._send({"type": "acknowledged", "offset": message.offset})
            elif message.status is not None:
                await self._service.heartbeat(self._agent_id, status=message.status)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(json.dumps(message, ensure_ascii=False, default=str))

    async def _send_text(self, text: str) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS), self._sending:
                await self._websocket.send_text(text)
        except TimeoutError:
            raise _Left(_SLOW, "You did not take what was sent in time: come back with your offset.") from None


def in_groups(reading: Reading, text_of: Callable[[Event], str]) -> Iterator[str]:
    """Yield a reading as messages that clients take by default; the offset comes with the last one. Pure."""
    group: list[str] = []
    size = 0
    for text in map(text_of, reading.events):
        if group and size + len(text) > _MOST_GROUP:
            yield _with_events('{"type": "events"', group)
            group, size = [], 0
        group.append(text)
        size += len(text)
    rest = {"type": "events", **replace(reading, events=[]).as_dict()}
    del rest["events"]
    yield _with_events(json.dumps(rest)[:-1], group)


def _with_events(opened: str, events: list[str]) -> str:
    return f'{opened}, "events": [{", ".join(events)}]}}'


async def _received(websocket: WebSocket, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            message = await websocket.receive()
    except TimeoutError:
        raise _Left(_SILENT, "Nothing came from you for two heartbeats: come back with your offset.") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    if text is None:
        raise _Left(_WRONG, "Messages are JSON as text.")
    return str(text)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValidationError as error:
        where, what = fault(error)
        raise _Left(_WRONG, f"{where or 'The message'}: {what}"[:120]) from None


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close with a reason, which has at most 123 bytes."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(_SEND_SECONDS):
            await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
