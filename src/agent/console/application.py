"""Puts the console on the API's application, so that one process serves both."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import RedirectResponse

from agent.api.application import create_app as create_api
from agent.console.live import LiveHub
from agent.console.navigation import GROUPS, ROUTERS
from agent.console.rendering import environment
from agent.console.visits import ROOT
from agent.runtime import Runtime
from agent.settings import Settings


def create_app(runtime: Runtime | None = None, *, settings: Settings | None = None, jobs: bool = True) -> FastAPI:
    """Return the API with the console. The arguments are those of the API's `create_app`."""
    app = create_api(runtime, settings=settings, jobs=jobs)
    app.state.console = environment(GROUPS)
    app.state.live = LiveHub()
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.add_route("/", _to_console, include_in_schema=False)
    return app


async def _to_console(_request: object) -> RedirectResponse:
    return RedirectResponse(ROOT, status_code=307)
