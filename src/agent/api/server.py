"""Runs the application on uvicorn, after checking that its address and its authentication fit together."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Literal

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.access import keys
from agent.api.application import create_app
from agent.errors import ConfigurationError
from agent.logs import configure_logging
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings

_GRACE_SECONDS = 5
_HEAD_SECONDS = 10.0
_MOST_MESSAGE_BYTES = 256 * 1024
_MOST_HEAD_BYTES = 64 * 1024


def run_server(settings: Settings, *, as_json: bool = False, create: Callable[[Runtime], FastAPI] = create_app) -> None:
    """Serve what `create` makes until a signal ends the process. Raises `ConfigurationError` for a public address that nobody needs a key for."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings, as_json=as_json, create=create))


async def _serve(settings: Settings, *, as_json: bool, create: Callable[[Runtime], FastAPI]) -> None:
    runtime = await open_runtime(settings)
    try:
        await check_address(runtime)
        config = config_of(create(runtime), host=settings.host, port=settings.port)
        # uvicorn raises the signal again when it has ended; an end that was asked for is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        await Server(config, announce="json" if as_json else "text").serve()
    finally:
        await runtime.close()


def config_of(app: FastAPI | ASGIApp, **options: Any) -> uvicorn.Config:
    """Return how the application is served: `options` are uvicorn's."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="on",
        ws="websockets-sansio", ws_max_size=_MOST_MESSAGE_BYTES, ws_max_queue=8, ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE_SECONDS, http=BoundedProtocol, h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
        **options,
    )  # fmt: skip


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 whose head must come within some seconds and bytes; uvicorn's faster parser bounds neither."""

    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take data, and wait for the rest of a head that is not complete."""
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._too_late is None:
            self._too_late = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


class Server(uvicorn.Server):
    """A server that says where it listens, once it does: on port 0 nobody else knows.

    Its turns end, or are handed over, before its connections are closed: each client is told what became of its turn.
    """

    def __init__(self, config: uvicorn.Config, *, announce: Literal["no", "text", "json"] = "no") -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and say where."""
        await super().startup(sockets)
        if not self.started or self._announce == "no":
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if self._announce == "json":
            sys.stdout.write(f"{json.dumps({'url': url})}\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"Serving on {url}; {url}/docs shows the API. Ctrl-C ends it.\n")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as uvicorn does, after the application has left its work."""
        for server in self.servers:
            server.close()
        await self.config.app.state.leave()  # type: ignore[union-attr]  # it is our application
        await super().shutdown(sockets)


async def check_address(runtime: Runtime) -> None:
    """Raise `ConfigurationError` if the address is public and nobody could prove who they are."""
    settings = runtime.settings
    if is_loopback(settings.host) or settings.supabase_url or await keys.any_key(runtime=runtime):
        return
    raise ConfigurationError(
        f"{settings.host!r} can be reached by others, and nobody has a key: make one with `agent keys create`, or set "
        "SUPABASE_URL, or serve on 127.0.0.1."
    )


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
