"""What whoever sets the agent up can get wrong: each is one sentence that says what to do, and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import Result

from agent.cli.runner import opening
from agent.db import setup
from agent.db.embedded import read_or_make_secret
from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.testing.cluster import Cluster

SECRET = "the-secret-of-these-tests"
KEY = "sk-secret-0123456789abcdef"
Agent = Callable[..., Result]
NO_SERVER = "postgresql://postgres:hunter2@127.0.0.1:1/postgres"


@pytest.fixture
def agent(in_process: Agent, tmp_path: Path) -> Agent:
    """Runs `agent ...` with these variables and no others of ours; whatever happens, no secret is printed."""

    def run(*arguments: str, **variables: str) -> Result:
        done = in_process(*arguments, **{"AGENT_HOME": str(tmp_path / "home"), "AGENT_SECRET": SECRET, **variables})
        no_secret(done.stdout + done.stderr, variables)
        return done

    return run


def no_secret(printed: str, variables: Mapping[str, str]) -> None:
    for secret in (SECRET, KEY, "hunter2", *_passwords(variables)):
        assert secret not in printed


def _passwords(variables: Mapping[str, str]) -> Iterator[str]:
    for value in variables.values():
        if value.startswith("postgresql://") and "hunter2" not in value:
            yield str(conninfo_to_dict(value)["password"])


def one_sentence(done: Result, code: int, *told: str) -> None:
    assert done.exit_code == code, done.output
    is_sentence(done.stderr, *told)


def is_sentence(stderr: str, *told: str) -> None:
    assert "Traceback" not in stderr
    assert "Unexpected" not in stderr
    (line,) = stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert [words for words in told if words not in line] == []


@pytest.mark.parametrize("command", [("migrate",), ("setup",), ("chat", "Hello")], ids=" ".join)
@pytest.mark.parametrize(
    ("url", "told"),
    [
        (NO_SERVER, ("127.0.0.1", "Start the server")),
        ("postgresql://u:hunter2@db.abc.pooler.supabase.com:6543/postgres", ("transaction pooler", "5432")),
        ("postgresql://postgres:hunter2@@127.0.0.1/postgres", ("DATABASE_URL", "%40")),
        ("mysql://root:hunter2@127.0.0.1/x", ("DATABASE_URL", "postgresql://user:password@host")),
    ],
    ids=["no server", "pooler", "not encoded", "not Postgres"],
)
def test_a_url_that_cannot_work(agent: Agent, command: tuple[str, ...], url: str, told: tuple[str, ...]) -> None:
    one_sentence(agent(*command, DATABASE_URL=url), 5, *told)


def test_a_wrong_password_and_a_missing_database(agent: Agent, cluster: Cluster) -> None:
    url = cluster.empty_database()
    wrong = url.replace(f":{conninfo_to_dict(url)['password']}@", ":hunter2@")
    one_sentence(agent("setup", DATABASE_URL=wrong), 5, "refused the password", "DATABASE_URL")
    one_sentence(agent("migrate", DATABASE_URL=cluster.url("not_here")), 5, "no such database", "not_here")


def test_a_database_that_is_not_prepared_says_the_next_command_until_it_is(agent: Agent, cluster: Cluster) -> None:
    url = cluster.empty_database()
    settings = cluster.settings("x")
    assert settings.secret is not None
    secret = {"AGENT_SECRET": settings.secret.get_secret_value()}  # the one whose logins this server has
    setup.setup_logins(url, secret["AGENT_SECRET"])
    one_sentence(agent("chat", "Hello", DATABASE_URL=url, **secret), 5, "agent migrate")
    one_sentence(agent("chat", "Hello", DATABASE_URL=url), 5, "AGENT_SECRET", "agent setup")
    one_sentence(agent("chat", "Hello", DATABASE_URL=url, AGENT_SECRET=""), 5, "AGENT_APP_URL")
    one_sentence(agent("setup", DATABASE_URL=url, AGENT_SECRET=""), 5, "AGENT_SECRET")
    told = agent("status", "--json", DATABASE_URL=url, **secret)
    assert told.exit_code == 5
    assert any("agent migrate" in str(fix) for fix in json.loads(told.stdout)["fix"])
    one_sentence(agent("chat", "Hello", DATABASE_URL=url, AGENT_APP_URL=url, **secret), 5, "superuser", "agent setup")


def test_a_server_without_pgvector_and_a_user_without_rights(agent: Agent, cluster: Cluster) -> None:
    url = cluster.empty_database()
    hidden = f"{url}&options=-c%20extension_control_path%3D/nowhere"
    one_sentence(agent("migrate", DATABASE_URL=hidden), 5, "pgvector", "APP_DATABASE_URL")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create role bystander login password 'password-of-bystander'")
        try:
            plain = f"postgresql://bystander:password-of-bystander@{url.partition('@')[2]}"
            one_sentence(agent("setup", DATABASE_URL=plain), 5, "--print-sql", "database administrator")
            one_sentence(agent("migrate", DATABASE_URL=plain), 5, "may create schemas")
        finally:
            conn.execute("drop role bystander")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AGENT_MODEL": "gpt"}, "AGENT_MODEL"),
        ({"AGENT_MODEL": "openai:gpt"}, "OPENAI_API_KEY"),
        ({"AGENT_EMBEDDER": "deepseek:x"}, "AGENT_EMBEDDER"),
        ({"AGENT_MODEL_PRICES": "{oops"}, "AGENT_MODEL_PRICES"),
        ({"AGENT_MAX_ROUNDS": "many"}, "AGENT_MAX_ROUNDS"),
        ({"AGENT_MODEL": "openai:gpt", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "AGENT_MODEL_RETRIES": "0"}, "try again later"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_work(agent: Agent, demo_environment: Mapping[str, str], variables, told) -> None:
    done = agent("chat", "Hello", **{**demo_environment, **variables})
    assert done.exit_code in {1, 5}
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Unexpected" not in done.stderr


def test_a_question_that_cannot_be_asked(agent: Agent, demo_environment: Mapping[str, str]) -> None:
    one_sentence(agent("chat", "x" * 100_000, **demo_environment), 2, "AGENT_MAX_QUESTION_CHARS")
    one_sentence(agent("chat", "   ", **demo_environment), 2, "empty")
    one_sentence(agent("chat", "Hello", "--thread", "a/b", **demo_environment), 2, "thread id")
    one_sentence(agent("threads", "show", "x\udcff", **demo_environment), 2, "thread id")


def test_a_home_that_cannot_be_used(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one_sentence(agent("chat", "Hello", AGENT_HOME=str(tmp_path / "file" / "home")), 5, "AGENT_HOME")
    for home in (tmp_path / "file", tmp_path / "file" / "home", "/proc/home"):
        told = agent("chat", "Hello", AGENT_HOME=str(home), AGENT_SECRET="")
        one_sentence(told, 5, "AGENT_HOME", "a folder that can be created and written")


def test_a_home_that_nobody_may_look_into(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with opening(Settings(_env_file=None, home=tmp_path)):
        pass
    with pytest.raises(ConfigurationError, match=r"Permission denied.*a folder that can be created and written"):
        read_or_make_secret(tmp_path)


@pytest.mark.parametrize("level", ["warning", "debug"])
def test_a_process_says_the_same_and_its_traceback_only_in_debugging(tmp_path: Path, level: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "OPENAI_"))}
    variables = {"AGENT_HOME": str(tmp_path / "home"), "AGENT_SECRET": SECRET, "AGENT_LOG_LEVEL": level}
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli.main", "chat", "Hello"],
        env={**inherited, **variables, "DATABASE_URL": NO_SERVER},
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    no_secret(done.stdout + done.stderr, {})
    if level == "debug":
        assert "Traceback" in done.stderr
    else:
        is_sentence(done.stderr, "127.0.0.1", "Start the server")


def test_debugging_shows_the_traceback_and_still_no_secret(agent: Agent) -> None:
    done = agent("chat", "Hello", DATABASE_URL=NO_SERVER, AGENT_LOG_LEVEL="debug")
    assert "Traceback" in done.stderr
    assert done.exit_code == 5
