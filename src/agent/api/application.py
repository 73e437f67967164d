"""Puts the application together: middleware, errors, the routes of each group, and the runtime behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.middleware.cors import CORSMiddleware

from agent.api import problems
from agent.api.callers import Callers
from agent.api.guard import Guard, names_in
from agent.api.measures import Measured, Measures
from agent.api.routes import ROUTERS
from agent.api.turn_streams import TurnStreams
from agent.background import background
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.worker import Worker

_DESCRIPTION = """Ask the agent, decide what it may do, and see what it did.

Every request needs an API key or a Supabase user's token as `Authorization: Bearer ...`, unless it comes from this machine.
Errors are problem details (RFC 9457); their `detail` says what to do next."""


def create_app(runtime: Runtime | None = None, *, settings: Settings | None = None, jobs: bool = True) -> FastAPI:
    """Return the application. It serves `runtime`, which its owner closes, or opens one from `settings` at start-up.

    Without `jobs`, this process runs no scheduled jobs: they are one instance a process.
    """
    settings = runtime.settings if runtime else settings or Settings.load()
    app = FastAPIOffline(
        title="Learning agent", version=version("learning-agent"), description=_DESCRIPTION,
        lifespan=_lifespan(runtime, settings, jobs=jobs), docs_url="/docs", redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logging": False},
        responses=problems.RESPONSES,
    )  # fmt: skip
    problems.install(app)
    documents = next(route for route in app.routes if getattr(route, "path", "") == "/docs")
    app.add_route("/api/docs", documents.endpoint, include_in_schema=False)  # type: ignore[attr-defined]  # a route has one
    for router in ROUTERS:
        app.include_router(router)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(names_in(settings.cors_origins)), allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id"],
            expose_headers=["X-Request-Id"],
        )  # fmt: skip
    app.state.measures = Measures()
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Measured, measures=app.state.measures)
    return app


def _lifespan(
    runtime: Runtime | None, settings: Settings, *, jobs: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        served = runtime or await open_runtime(settings)
        limiter = MovingWindowRateLimiter(MemoryStorage())
        app.state.runtime = served
        app.state.callers = Callers(served, limit=parse(settings.rate_limit), limiter=limiter)
        streams = app.state.streams = TurnStreams()
        leaving = app.state.leaving = asyncio.Event()
        worker = Worker(served)
        working = asyncio.create_task(worker.run())

        async def leave() -> None:
            """Take nothing new, and finish or hand over what runs."""
            leaving.set()
            worker.stop()
            await asyncio.gather(streams.leave(served), working)

        app.state.leave = leave
        try:
            async with background(served, with_jobs=jobs) as beside:
                app.state.courier = beside.courier
                app.state.measures.watch(beside.courier.services)
                try:
                    yield
                finally:
                    await leave()
        finally:
            if runtime is None:
                await served.close()

    return lifespan
