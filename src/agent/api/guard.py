"""Guards every request before a route sees it: its id, the host and origin that it names, load, and security headers.

A page of another site can reach a server on this machine through a name that it lets point here, so Host and Origin are
checked on loopback too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.problems import problem_response
from agent.settings import Settings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
_BODY_SECONDS = 30.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}\Z")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI middleware: see the module's docstring. `busy` counts the requests that are worked on."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {*LOCAL_NAMES, *names_in(settings.allowed_hosts)}
        self._origins = frozenset(names_in(settings.cors_origins))
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        wrong = self._why_refused(headers)
        if wrong is not None:
            status, detail = wrong
            response = problem_response(status, detail, request_id=request_id)
            await response(scope, receive, send_with_headers)
            return
        self.busy += 1
        receive = _bounded(receive, most=self._settings.max_body_bytes)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                self.busy -= 1

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket through that names this server and comes from no other site; else its handshake gets a 403."""
        if self._why_not_here(Headers(scope=scope)) is not None:
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)

    def _why_not_here(self, headers: Headers) -> tuple[int, str] | None:
        host = host_name(headers.get("host", ""))
        if host not in self._hosts:
            return 421, f"This server does not answer for {host[:100]!r}: add the name to AGENT_ALLOWED_HOSTS."
        origin = headers.get("origin")
        if origin and origin not in self._origins and host_name(origin.partition("://")[2]) not in self._hosts:
            return 403, f"Pages of {origin[:100]!r} may not call this server: add it to AGENT_CORS_ORIGINS."
        return None

    def _why_refused(self, headers: Headers) -> tuple[int, str] | None:
        elsewhere = self._why_not_here(headers)
        if elsewhere is not None:
            return elsewhere
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._settings.max_body_bytes:
            return 413, _too_long(self._settings.max_body_bytes)
        if self.busy >= self._settings.most_requests:
            return 503, "The server works on as many requests as it may (AGENT_MOST_REQUESTS): try again soon."
        return None


def _too_long(most: int) -> str:
    return f"The body is longer than {most} bytes (AGENT_MAX_BODY_BYTES)."


def _bounded(receive: Receive, *, most: int) -> Receive:
    """Return `receive` for a body that must be complete within some seconds and `most` bytes."""
    end, complete, size = asyncio.get_running_loop().time() + _BODY_SECONDS, False, 0

    async def receive_bounded() -> Message:
        nonlocal complete, size
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time: send it again.") from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, _too_long(most))
        return message

    return receive_bounded


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].rstrip(".")


def names_in(text: str) -> Collection[str]:
    """Return the comma-separated names of a setting."""
    return [name.strip().lower().rstrip("/") for name in text.split(",") if name.strip()]
