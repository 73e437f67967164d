"""The one bridge from a command to the asynchronous product: opens the runtime, runs, closes it.

Errors travel from here to the root command, which turns them into one sentence and an exit code.
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
    """Run `operation` with an open runtime, which is the current one inside. Raises `AgentError`."""
    return asyncio.run(_with_runtime(operation))


def load_settings() -> Settings:
    """The settings of this command, with logging set up by them. Raises `ConfigurationError`."""
    from agent.logs import configure_logging
    from agent.settings import Settings

    settings = Settings.load()
    # In a conversation a warning would only repeat what the answer says, so they are for who asked for them.
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
    """Say `text` while something takes its time, or, when the embedded database is made, that."""
    from agent.cli.terminal.render import waiting

    if settings.embedded and not _is_there(settings.pgdata):
        text = f"Making a database in {settings.home} …"
    if not text:
        yield
        return
    with waiting(text):
        yield


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder of somebody else's; who opens it says what to do
        return False
