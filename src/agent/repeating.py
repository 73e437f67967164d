"""Looks at something again and again in the background, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from agent.concurrency import end_tasks
from agent.errors import AgentError

_log = structlog.get_logger(__name__)


class Repeating:
    """Calls `look`, waits for some seconds, and calls it again. A failure is logged under `name`, and the next look comes as usual."""

    def __init__(self, name: str, look: Callable[[], Awaitable[object]], *, seconds: float) -> None:
        self._name, self._look, self._seconds = name, look, seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, also in the middle of a look."""
        if self._task is not None:
            await end_tasks(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except (AgentError, psycopg.Error) as error:
                _log.warning(f"{self._name}_waits", error=str(error))
            except Exception:  # the edge of a loop that must survive
                _log.exception(f"{self._name}_failed")
            await asyncio.sleep(self._seconds)
