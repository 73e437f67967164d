"""Runs the application on uvicorn, after checking that its address and its authentication fit together."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket

import uvicorn

from agent.access import keys
from agent.api.application import create_app
from agent.errors import ConfigurationError
from agent.logs import configure_logging
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings

_GRACE_SECONDS = 5


def run_server(settings: Settings) -> None:
    """Serve until a signal ends the process. Raises `ConfigurationError` for a public address that nobody needs a key for."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    runtime = await open_runtime(settings)
    try:
        await check_address(runtime)
        config = uvicorn.Config(
            create_app(runtime), host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=_GRACE_SECONDS, h11_max_incomplete_event_size=64 * 1024,
        )  # fmt: skip
        # uvicorn raises the signal again when it has ended; an end that was asked for is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        await Server(config).serve()
    finally:
        await runtime.close()


class Server(uvicorn.Server):
    """A server whose turns end, or are handed over, before its connections are closed: each client is told what became of its turn."""

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
