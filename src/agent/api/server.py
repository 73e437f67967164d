"""Runs the application on uvicorn, after checking that its address and its authentication fit together."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import sys

import uvicorn

from agent.access import keys
from agent.api.application import create_app
from agent.errors import ConfigurationError
from agent.logs import configure_logging
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings

_GRACE_SECONDS = 10


def run_server(settings: Settings, *, as_json: bool = False) -> None:
    """Serve until a signal ends the process. Raises `ConfigurationError` for a public address that nobody needs a key for."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings, as_json=as_json))


async def _serve(settings: Settings, *, as_json: bool) -> None:
    runtime = await open_runtime(settings)
    try:
        await check_address(runtime)
        config = uvicorn.Config(
            create_app(runtime), host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=_GRACE_SECONDS, h11_max_incomplete_event_size=64 * 1024,
        )  # fmt: skip
        await _Server(config, as_json=as_json).serve()
    finally:
        await runtime.close()


class _Server(uvicorn.Server):
    """A server that says where it listens, once it does: on port 0 nobody else knows."""

    def __init__(self, config: uvicorn.Config, *, as_json: bool) -> None:
        super().__init__(config)
        self._as_json = as_json

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        line = (
            json.dumps({"url": url})
            if self._as_json
            else f"Serving on {url}; {url}/docs shows the API. Ctrl-C ends it."
        )
        stream = sys.stdout if self._as_json else sys.stderr
        stream.write(f"{line}\n")
        stream.flush()


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
