"""Open a runtime for the length of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings


@asynccontextmanager
async def running(settings: Settings, **options: Any) -> AsyncIterator[Runtime]:
    """Open a runtime on `settings` with `options`, and make it the current one inside the `async with` block."""
    runtime = await open_runtime(settings, **options)
    try:
        with use_runtime(runtime):
            yield runtime
    finally:
        await runtime.close()
