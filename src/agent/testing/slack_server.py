"""Serve Slack's Web API and Socket Mode on loopback for tests: real HTTP and WebSocket, with the service's limits and failures.

    async with SlackServer() as server:
        settings = Settings(slack_bot_token=server.bot_token, slack_app_token=server.app_token, slack_url=server.url, ...)
        await server.tap(user="U7", message=server.channels["C1"][0], button="approve")
        await server.submit(user="U7", values={"reason": {"text": "not now"}})

What it refuses is what the service refuses: blocks that are too long, a channel that the bot is not in, another token.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

_BOT_USER = "UBOT"
_ME = {"user": "agent", "user_id": _BOT_USER, "bot_id": "B1", "team": "Local", "team_id": "T1", "url": "http://local/"}
_STREAMING = ("chat.startStream", "chat.appendStream", "chat.stopStream")
_MOST_BLOCK, _MOST_BLOCKS, _MOST_HEADER = 3_000, 50, 150


@dataclass(slots=True)
class Posted:
    """A message in a channel. `text` is all that its blocks say; `buttons` has each button's value."""

    channel: str
    ts: str
    text: str
    fallback: str
    buttons: dict[str, str]
    thread: str | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    streaming: bool = False
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackFailure:
    """How one request fails; `lost` does what it asks for and drops the answer."""

    error: str = "internal_error"
    status: int = 200
    retry_after: int | None = None
    lost: bool = False


class _Refused(Exception):
    """The service refuses a request, by the name of its error."""


@dataclass(slots=True)
class SlackServer:
    """A workspace. `failures` holds those of the next requests of each method, `members` the channels that the bot is in."""

    bot_token: str = "xoxb-local"  # noqa: S105  # of no service
    app_token: str = "xapp-local"  # noqa: S105  # of no service
    channels: dict[str, list[Posted]] = field(default_factory=dict)
    members: set[str] = field(default_factory=lambda: {"C1"})
    whispers: list[str] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, list[SlackFailure]] = field(default_factory=dict)
    connections: int = 0
    streams: bool = True
    calls: list[str] = field(default_factory=list)
    url: str = ""
    _sockets: list[web.WebSocketResponse] = field(default_factory=list)
    _acknowledged: dict[str, asyncio.Event] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=lambda: count(1))
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self._called)
        app.router.add_get("/socket", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/api/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in self._sockets:
            await socket.close()
        assert self._runner is not None  # noqa: S101  # entered before it is left
        await self._runner.cleanup()

    def pressed(self, *, user: str, message: Posted, button: str, value: str | None = None) -> dict[str, Any]:
        """Return what the service sends when a user presses a button, or another `value` as nobody but Slack could."""
        return {
            "type": "block_actions", "user": {"id": user}, "team": {"id": "T1"}, "trigger_id": str(next(self._ids)), "api_app_id": "A1",
            "channel": {"id": message.channel}, "message": {"ts": message.ts}, "container": {"type": "message"},
            "actions": [{"type": "button", "action_id": button, "block_id": "b", "value": message.buttons[button] if value is None else value}],
        }  # fmt: skip

    async def tap(self, *, user: str, message: Posted, button: str, value: str | None = None, times: int = 1) -> None:
        """Let a user press a button."""
        payload = self.pressed(user=user, message=message, button=button, value=value)
        await self.deliver("interactive", payload, times=times)

    async def submit(self, *, user: str, values: dict[str, Any], view: dict[str, Any] | None = None) -> None:
        """Let a user submit a form: the one that was opened last, or `view`."""
        view = view or self.views[-1]
        states = {
            block: {name: {"type": "plain_text_input", "value": value} for name, value in one.items()}
            for block, one in values.items()
        }
        payload = {
            "type": "view_submission", "user": {"id": user}, "team": {"id": "T1"}, "api_app_id": "A1",
            "view": {**view, "id": "V1", "state": {"values": states}},
        }  # fmt: skip
        await self.deliver("interactive", payload)

    async def say(
        self, *, user: str, channel: str, text: str, thread: str | None = None, mention: bool = False
    ) -> dict[str, Any]:
        """Let a user write; with `mention`, to the bot. Return the event, which `deliver` brings again."""
        kind = "im" if channel.startswith("D") else "channel"
        event = {
            "type": "app_mention" if mention else "message", "user": user, "channel": channel, "ts": f"{next(self._ids)}.0001",
            "text": f"<@{_BOT_USER}> {text}" if mention else text, **({} if mention else {"channel_type": kind}),
            **({"thread_ts": thread} if thread else {}),
        }  # fmt: skip
        payload = {
            "type": "event_callback",
            "team_id": "T1",
            "api_app_id": "A1",
            "event_id": f"E{next(self._ids)}",
            "event": event,
        }
        await self.deliver("events_api", payload)
        return payload

    async def react(self, *, user: str, message: Posted, reaction: str) -> dict[str, Any]:
        """Let a user react to a message. Return the event, which `deliver` brings again."""
        event = {
            "type": "reaction_added", "user": user, "reaction": reaction, "item_user": _BOT_USER, "event_ts": f"{next(self._ids)}.0002",
            "item": {"type": "message", "channel": message.channel, "ts": message.ts},
        }  # fmt: skip
        payload = {
            "type": "event_callback",
            "team_id": "T1",
            "api_app_id": "A1",
            "event_id": f"E{next(self._ids)}",
            "event": event,
        }
        await self.deliver("events_api", payload)
        return payload

    async def deliver(self, kind: str, payload: dict[str, Any], *, times: int = 1) -> None:
        """Send something through the newest connection, and wait until the app acknowledges it."""
        for _ in range(times):
            envelope = f"envelope-{next(self._ids)}"
            self._acknowledged[envelope] = asyncio.Event()
            while not (alive := [one for one in self._sockets if not one.closed]):  # noqa: ASYNC110  # a test's wait
                await asyncio.sleep(0.02)
            await alive[-1].send_json(
                {"envelope_id": envelope, "type": kind, "payload": payload, "accepts_response_payload": False}
            )
            await asyncio.wait_for(self._acknowledged[envelope].wait(), 3)

    async def drop_connections(self) -> None:
        """Close every connection, as Slack does now and then."""
        for socket in self._sockets:
            await socket.close()

    def live_buttons(self) -> list[Posted]:
        """Return the messages that still have buttons."""
        return [posted for channel in self.channels.values() for posted in channel if posted.buttons]

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        self.connections += 1
        await socket.send_json({"type": "hello", "num_connections": 1})
        async for message in socket:
            if message.type is WSMsgType.TEXT and (envelope := json.loads(message.data).get("envelope_id")):
                self._acknowledged[envelope].set()
        return socket

    async def _called(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if request.headers.get("Authorization") != f"Bearer {wanted}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        given = await request.json() if request.content_type == "application/json" else dict(await request.post())
        given |= dict(request.query)
        self.calls.append(method)
        planned = self.failures.get(method)
        failure = planned.pop(0) if planned else None
        if failure is not None and not failure.lost:
            headers = {"Retry-After": str(failure.retry_after)} if failure.retry_after is not None else {}
            return web.json_response({"ok": False, "error": failure.error}, status=failure.status, headers=headers)
        try:
            answer = self._done(method, given)
        except _Refused as refused:
            return web.json_response({"ok": False, "error": str(refused)})
        if failure is not None:
            assert request.transport is not None  # noqa: S101  # the request has just come in
            request.transport.close()
        return web.json_response({"ok": True, **answer})

    def _done(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "auth.test": lambda _: dict(_ME), "chat.postMessage": self._post, "chat.update": self._update,
            "apps.connections.open": lambda _: {"url": self.url.replace("http:", "ws:").replace("/api/", "/socket")},
            "chat.postEphemeral": self._whisper, "views.open": self._open,
            "conversations.open": lambda given: {"channel": {"id": str(given["users"]).replace("U", "D", 1)}},
            "conversations.history": self._history, "conversations.replies": self._history,
        }  # fmt: skip
        if self.streams and method in _STREAMING:
            return self._stream(method, given)
        if method not in methods:
            raise _Refused("unknown_method")
        return methods[method](given)

    def _whisper(self, given: dict[str, Any]) -> dict[str, Any]:
        self.whispers.append(str(given["text"]))
        return {"message_ts": "1.0"}

    def _open(self, given: dict[str, Any]) -> dict[str, Any]:
        self.views.append(_loaded(given["view"]))
        return {"view": {"id": "V1"}}

    def _post(self, given: dict[str, Any]) -> dict[str, Any]:
        channel = (
            str(given["channel"]).replace("U", "D", 1)
            if str(given["channel"]).startswith("U")
            else str(given["channel"])
        )
        if channel.startswith("C") and channel not in self.members:
            raise _Refused("not_in_channel")
        posted = Posted(channel, f"{next(self._ids)}.0001", "", "", {}, given.get("thread_ts"))
        _show(posted, given)
        self.channels.setdefault(channel, []).append(posted)
        return {"channel": channel, "ts": posted.ts, "message": {}}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [
            {
                "ts": one.ts,
                "text": one.fallback,
                **({"metadata": one.metadata} if given.get("include_all_metadata") else {}),
            }
            for one in reversed(self.channels.get(str(given["channel"]), []))
            if one.thread == given.get("ts")
        ]
        return {"messages": found}

    def _stream(self, step: str, given: dict[str, Any]) -> dict[str, Any]:
        if step == "chat.startStream":
            if not given.get("thread_ts"):
                raise _Refused("invalid_arguments")
            posted = Posted(
                str(given["channel"]), f"{next(self._ids)}.0001", "", "", {}, given["thread_ts"], streaming=True
            )
            self.channels.setdefault(posted.channel, []).append(posted)
        else:
            found = [one for one in self.channels.get(str(given["channel"]), []) if one.ts == given["ts"]]
            if not found or not found[0].streaming:
                raise _Refused("message_not_in_streaming_state")
            posted = found[0]
        posted.text = posted.fallback = posted.text + str(given.get("markdown_text") or "")
        posted.metadata = _loaded(given.get("metadata") or {}) or posted.metadata
        posted.streaming = step != "chat.stopStream"
        return {"channel": posted.channel, "ts": posted.ts}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [one for one in self.channels.get(str(given["channel"]), []) if one.ts == given["ts"]]
        if not found:
            raise _Refused("message_not_found")
        _show(found[0], given)
        return {"channel": given["channel"], "ts": given["ts"], "text": ""}


def _show(posted: Posted, given: dict[str, Any]) -> None:
    blocks = _loaded(given.get("blocks") or [])
    if len(blocks) > _MOST_BLOCKS or len(str(given.get("text", ""))) > 40_000:
        raise _Refused("invalid_blocks")
    texts: list[str] = []
    buttons: dict[str, str] = {}
    for block in blocks:
        _read(block, texts, buttons, most=_MOST_HEADER if block["type"] == "header" else _MOST_BLOCK)
    posted.metadata = _loaded(given.get("metadata") or {}) or posted.metadata
    posted.blocks, posted.buttons, posted.fallback = blocks, buttons, str(given.get("text", ""))
    posted.text = "\n".join(texts) if blocks else posted.fallback


def _read(value: Any, texts: list[str], buttons: dict[str, str], *, most: int) -> None:
    """Collect what a block says. Raises `_Refused` for a text that is empty or too long."""
    if isinstance(value, list):
        for one in value:
            _read(one, texts, buttons, most=most)
    elif isinstance(value, dict):
        if value.get("type") == "button":
            buttons[value["action_id"]] = value["value"]
        elif isinstance(value.get("text"), str):
            if not 0 < len(value["text"]) <= most:
                raise _Refused("invalid_blocks")
            texts.append(value["text"])
        else:
            for one in value.values():
                _read(one, texts, buttons, most=most)


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
