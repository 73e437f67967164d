"""Set up logging to standard error, so that standard output holds nothing but answers."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["console", "json"]

_PASSWORD = re.compile(r"(://[^\s:/@\"']*:)[^\s/@\"']+@")

_DRIVER = ("psycopg", "psycopg.pool")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_events(level: Level, log_format: Format = "console", *, force: bool = False) -> None:
    """Print the events of this package from `level` up, unless the host application has configured structlog itself."""
    quieten_driver(level)
    if structlog.is_configured() and not force:
        return
    structlog.configure(
        processors=[*_processors(log_format), _renderer(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def quieten_driver(level: Level) -> None:
    """Keep the database driver's own messages from the terminal, unless `level` is debug.

    They quote the server, and Python prints them even if nobody has set up logging. The agent's errors and events say what
    a person needs to know of them.
    """
    for name in _DRIVER:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL + 1)


def configure_logging(level: Level, log_format: Format = "console") -> None:
    """Print the events of this package and of its libraries in one form, for a program that is the agent itself."""
    configure_events(level, log_format, force=True)
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(log_format)]
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=_processors(log_format))
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)


class _Stderr(logging.StreamHandler[TextIO]):
    """A handler that writes to what `sys.stderr` is at the time of the event."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # read-only on purpose
        return sys.stderr


def _renderer(log_format: Format) -> structlog.typing.Processor:
    render = _event_renderer(log_format)

    def without_passwords(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        # Libraries log the URLs that they call, and the URL of a gateway may hold a password.
        return _PASSWORD.sub(r"\1***@", str(render(logger, method, event)))

    return without_passwords


def _event_renderer(log_format: Format) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(default=str)
    # Plain tracebacks, because rich's print local variables, and some of those are connection strings.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _processors(log_format: Format) -> list[structlog.typing.Processor]:
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    return [*processors, structlog.processors.format_exc_info] if log_format == "json" else processors
