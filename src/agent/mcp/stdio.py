"""Serves one client over standard input and output, as the local user of this machine."""

from __future__ import annotations

from agent.mcp.callers import LocalUser
from agent.mcp.server import create_server
from agent.runtime import Runtime


async def serve_stdio(runtime: Runtime) -> None:
    """Serve until the client closes standard input."""
    server = await create_server(runtime, LocalUser(runtime))
    await server.run_stdio_async()
