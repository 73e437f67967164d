"""Serves clients over streamable HTTP: the API's guard, keys, tokens, roles and bounds hold for them too.

Every message is complete in itself, so any number of processes serve the same clients. Clients before 2026-07-28 are served
without a session; they cannot be asked within a call, and get the pending request with its link.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import uvicorn
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.callers import Callers
from agent.api.guard import Guard
from agent.api.problems import problem_response, status_of
from agent.api.server import check_address, config_of
from agent.errors import AgentError
from agent.mcp.callers import ProvenCaller
from agent.mcp.server import create_server
from agent.runtime import Runtime

PATH = "/mcp"


async def create_http_app(runtime: Runtime, *, answer_seconds: float = 240.0) -> ASGIApp:
    """Return the ASGI application that serves `runtime` at /mcp."""

    server = await create_server(runtime, ProvenCaller(runtime), answer_seconds=answer_seconds)
    app = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=False,
        max_request_body_size=runtime.settings.max_body_bytes,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the guard looks at them
    )  # fmt: skip
    return Guard(_Proven(app, runtime), settings=runtime.settings)


class _Proven:
    """Lets a request through when it is known who sent it, and when they have not sent too many."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        limiter = MovingWindowRateLimiter(MemoryStorage())
        self._callers = Callers(runtime, limit=parse(runtime.settings.rate_limit), limiter=limiter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            identity = await self._callers.identity_for(request)
        except AgentError as error:
            await problem_response(status_of(error), str(error))(scope, receive, send)
            return
        if not await self._callers.within_limit(identity):
            await problem_response(429, "You have sent too many requests (AGENT_RATE_LIMIT): wait a moment.")(
                scope, receive, send
            )
            return
        await self._app(scope, receive, send)


async def serve_http(runtime: Runtime, *, as_json: bool = False) -> None:
    """Serve on AGENT_HOST and AGENT_MCP_PORT until a signal ends the process."""
    settings = runtime.settings
    await check_address(runtime)
    config = config_of(await create_http_app(runtime), host=settings.host, port=settings.mcp_port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    await HttpServer(config, as_json=as_json).serve()


class HttpServer(uvicorn.Server):
    """A server that says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, *, as_json: bool = False) -> None:
        super().__init__(config)
        self._as_json = as_json

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start as uvicorn does, and say where."""
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}{PATH}" if ":" in host else f"http://{host}:{port}{PATH}"
        if self._as_json:
            sys.stdout.write(f"{json.dumps({'url': url})}\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"Serving the Model Context Protocol on {url}. Ctrl-C ends it.\n")
