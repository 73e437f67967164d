"""Serve Supabase Realtime's broadcasts on loopback for tests: its request for many messages, and its WebSocket for readers.

    async with RealtimeServer() as server:
        settings = Settings(supabase_url=server.url, sync_supabase_key=server.key)

Like the service it keeps nothing for those who are not connected. `broadcasts` holds the messages that it took.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

_MOST_BYTES = 3_000_000


@dataclass(slots=True)
class RealtimeServer:
    """A project's Realtime. `lost` drops that many answers after their messages were taken; `status` answers instead of taking."""

    key: str = "sb_secret_local"
    port: int = 0
    broadcasts: list[dict[str, Any]] = field(default_factory=list)
    lost: int = 0
    status: int = 202
    _joined: dict[web.WebSocketResponse, set[str]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Return the project's address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, at the same port as before if there was one."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.add_routes(
            [web.post("/realtime/v1/api/broadcast", self._broadcast), web.get("/realtime/v1/websocket", self._socket)]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            for socket in list(self._joined):
                await socket.close()
            await self._runner.cleanup()
            self._runner = None

    async def _broadcast(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("apikey") != self.key:
            return web.json_response({"message": "Invalid API key"}, status=401)
        if self.status != 202:
            return web.Response(status=self.status)
        messages = (await request.json())["messages"]
        for message in messages:
            self.broadcasts.append(message)
            await self._send_to_readers(message)
        if self.lost > 0:
            self.lost -= 1
            assert request.transport is not None  # noqa: S101  # the request came over it
            request.transport.abort()
        return web.Response(status=202)

    async def _send_to_readers(self, message: dict[str, Any]) -> None:
        topic = f"realtime:{message['topic']}"
        payload = {"type": "broadcast", "event": message["event"], "payload": message["payload"]}
        for socket, topics in list(self._joined.items()):
            if topic in topics:
                await socket.send_json({"topic": topic, "event": "broadcast", "payload": payload, "ref": None})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._joined[socket] = set()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._answer(socket, json.loads(message.data))
        finally:
            del self._joined[socket]
        return socket

    async def _answer(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        if message["event"] == "phx_join":
            self._joined[socket].add(message["topic"])
        response: dict[str, Any] = {"postgres_changes": []} if message["event"] == "phx_join" else {}
        await socket.send_json({
            "topic": message["topic"], "event": "phx_reply", "ref": message["ref"], "payload": {"status": "ok", "response": response},
        })  # fmt: skip
