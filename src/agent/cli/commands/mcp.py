"""`agent mcp`: the agent for clients that speak the Model Context Protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples

if TYPE_CHECKING:
    from agent.runtime import Runtime

EXAMPLES = examples("agent mcp", "agent mcp --http", "agent mcp --http --port 9100")


def mcp(
    *,
    http: Annotated[
        bool, typer.Option("--http", help="Serve over streamable HTTP instead of standard input and output.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (default: AGENT_HOST).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Port (default: AGENT_MCP_PORT).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a client that your editor or assistant starts, as you; with --http, clients with an API key."""
    from agent.logs import configure_logging
    from agent.runtime import open_runtime, use_runtime
    from agent.settings import Settings

    async def serve() -> None:
        from agent.mcp.http import serve_http
        from agent.mcp.stdio import serve_stdio

        runtime: Runtime = await open_runtime(settings)
        try:
            with use_runtime(runtime):
                await (serve_http(runtime, as_json=as_json) if http else serve_stdio(runtime))
        finally:
            await runtime.close()

    chosen = {name: value for name, value in (("host", host), ("mcp_port", port)) if value is not None}
    settings = Settings.load(**chosen)
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(serve())
