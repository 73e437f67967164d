"""Run an asynchronous operation for a command: open a runtime, run the operation, close the runtime.

The root command turns the errors that come from here into one sentence and an exit code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime import Runtime
    from agent.settings import Settings

Result = TypeVar("Result")


def run(operation: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """Run `operation` with an open runtime, which is the current one meanwhile. Raises `AgentError`."""
    return asyncio.run(_with_runtime(operation))


def load_settings() -> Settings:
    """Load the settings of this command, and set logging up by them. Raises `ConfigurationError`."""
    from agent.logs import configure_logging
    from agent.settings import Settings

    settings = Settings.load()
    # In a conversation warnings would repeat what the answers say, so they appear only if AGENT_LOG_LEVEL is set.
    level = settings.log_level if "log_level" in settings.model_fields_set else "error"
    configure_logging(level, settings.log_format)
    return settings


async def _with_runtime(operation: Callable[[Runtime], Awaitable[Result]]) -> Result:
    from agent.runtime import open_runtime, use_runtime

    settings = load_settings()
    with opening(settings):
        runtime = await open_runtime(settings)
    try:
        with use_runtime(runtime):
            return await operation(runtime)
    finally:
        await runtime.close()


@contextmanager
def opening(settings: Settings, text: str = "") -> Iterator[None]:
    """Show a spinner with `text` inside the `with` block; if the embedded database does not exist, say that it is created."""
    from agent.cli.terminal.render import waiting

    if settings.embedded and not _exists(settings.pgdata):
        text = f"Making a database in {settings.home} …"
    if not text:
        yield
        return
    with waiting(text):
        yield


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # somebody else's folder: opening the database raises an error that says what to do
        return False
