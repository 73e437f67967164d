"""Serve a runtime to clients of the Model Context Protocol on a port of this machine, and connect the SDK's own client to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from agent.api.server import config_of
from agent.mcp.http import PATH, HttpServer, create_http_app
from agent.runtime import Runtime
from mcp import Client


@asynccontextmanager
async def mcp_served(runtime: Runtime) -> AsyncIterator[str]:
    """Serve `runtime` as one worker does, and yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(config_of(await create_http_app(runtime)))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def connected(url: str, *, key: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """Connect a client that sends `key`; `options` are those of the SDK's client."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client
