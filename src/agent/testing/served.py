"""Serve a runtime on a port of this machine for the length of a test, and call it as a client does.

async with served(runtime) as client:
    answer = await client.get("/health")
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from agent.api.application import create_app
from agent.api.server import Server, config_of
from agent.runtime import Runtime


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an application on a port of this machine, and yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(config_of(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def served(runtime: Runtime, *, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API of `runtime` and yield a client of it, which sends `key` if there is one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        serving(create_app(runtime, jobs=False)) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
    ):
        yield client
