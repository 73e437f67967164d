"""Run commands as a user does: with settings in the environment and an empty working folder."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer.testing
from typer.testing import CliRunner, Result

from agent.settings import Settings

Run = Callable[..., Result]

# Building the tree of commands takes as long as a short command does, and it is the same each time.
typer.testing._get_command = functools.cache(typer.testing._get_command)  # type: ignore[attr-defined]


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make a process use `settings`."""
    assert settings.database_url is not None
    assert settings.secret is not None
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "AGENT_SECRET": settings.secret.get_secret_value(),
        "AGENT_HOME": str(settings.home),
        "AGENT_USER": "tester",
    }


@pytest.fixture
def demo_environment(demo_settings: Settings, tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a process on a fresh copy of the demonstration application."""
    return {**environment(demo_settings), "AGENT_HOME": str(tmp_path / "home")}


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return a function that runs `agent ...` in this process with further variables; restore logging after the test."""
    from agent.cli.main import app

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.chdir(tmp_path)  # no .env of a checkout

    def run(*arguments: str, input: str | None = None, **variables: str) -> Result:  # noqa: A002  # as CliRunner calls it
        return CliRunner().invoke(app, list(arguments), input=input, env=variables, prog_name="agent")

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def run(in_process: Run, demo_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `agent ...` in this process on the demonstration application."""
    for name, value in demo_environment.items():
        monkeypatch.setenv(name, value)
    return in_process


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Return a function that runs `agent ... --json` and returns the document that it prints."""

    def run_json(*arguments: str, code: int = 0) -> Any:
        result = run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run_json
