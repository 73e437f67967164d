"""Puts the console on the API's application, so that one process serves both."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.responses import RedirectResponse, Response

from agent.api.application import create_app as create_api
from agent.console.live import LiveHub
from agent.console.navigation import GROUPS, ROUTERS
from agent.console.rendering import ConsoleRoute, environment
from agent.console.visits import ROOT, Visitor, local_path
from agent.errors import NotFound
from agent.runtime import Runtime
from agent.settings import Settings


def create_app(runtime: Runtime | None = None, *, settings: Settings | None = None, jobs: bool = True) -> FastAPI:
    """Return the API with the console. The arguments are those of the API's `create_app`."""
    app = create_api(runtime, settings=settings, jobs=jobs)
    app.state.console = environment(GROUPS)
    app.state.live = LiveHub()
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.include_router(_others, include_in_schema=False)
    return app


_others = APIRouter(route_class=ConsoleRoute)


@_others.get("/")
async def _to_console() -> Response:
    return RedirectResponse(ROOT, status_code=307)


@_others.get(f"{ROOT}/{{path:path}}")
async def _no_page(path: str, visit: Visitor) -> Response:  # who is not signed in is not told what there is
    if path.endswith("/") or not path:  # an address that somebody typed
        return RedirectResponse(local_path(f"{ROOT}/{path}".rstrip("/")), status_code=307)
    raise NotFound("There is no such page.")
