"""Events go to standard error, wherever that is at the time, and only from the level that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from agent.logs import configure_events, configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[], force=True)


def test_events_and_library_logs_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")
    structlog.get_logger("a").warning("turn_failed", turn=3)
    structlog.get_logger("a").info("not_shown")
    logging.getLogger("a.library").warning("lost %s", "connection")
    logging.getLogger("psycopg.pool").warning("said by the driver")  # it may quote what is nobody's to see
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "turn_failed" in printed.err
    assert "turn=3" in printed.err
    assert "lost connection" in printed.err
    assert "not_shown" not in printed.err
    assert "said by the driver" not in printed.err


def test_events_are_json_where_machines_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger("a").info("ready", rows=2)
    assert '"event": "ready"' in capsys.readouterr().err


def test_a_host_application_keeps_its_own_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    configure_events("error")
    structlog.get_logger("a").info("mine")
    assert "mine" in capsys.readouterr().out
