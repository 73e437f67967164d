"""Serves the API in this process for tests of the integration layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from agent.api import create_app
from agent.runtime import Runtime


@asynccontextmanager
async def serving(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client whose requests come from this machine."""
    app = create_app(runtime, jobs=False)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1/integration", timeout=60) as client:  # fmt: skip
            yield client
