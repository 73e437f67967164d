"""`agent serve`: the API, the console and the worker in one process."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli.framework import JsonOption, examples

EXAMPLES = examples("agent serve", "agent serve --port 9000", "curl http://127.0.0.1:8080/health")


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (default: AGENT_HOST).")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Port (default: AGENT_PORT).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the console (/console) and the API (/docs) until Ctrl-C. A public address needs a key first: `agent keys create`."""
    from agent.api.server import run_server
    from agent.console.application import create_app
    from agent.settings import Settings

    chosen = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    run_server(Settings.load(**chosen), as_json=as_json, create=create_app)
