"""Give each run a throw-away Postgres and each test a fresh database, and hide the machine's settings from tests."""

from __future__ import annotations

import faulthandler
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from agent.demo.application import fill_demo
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.installed_server import InstalledServer, installed_programs
from agent.testing.running import running

pytest_plugins = ["tests.commands"]

MOST_SECONDS = 300.0  # of one test; the slowest takes a tenth
_errors = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a way to standard error, before pytest captures it."""
    config.stash[_errors] = os.dup(2)


def pytest_collection_finish() -> None:
    """What is imported by now stays: searching it for garbage again and again is a quarter of a run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """If a test hangs, print the stack of each thread and end the process. With `-n`, only that test fails."""
    _watch(item.config)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Watch again after a failure, because pytest cancels the watch, and the tests after it can hang too."""
    _watch(node.config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Watch the end of the run, which can hang too."""
    _watch(session.config)


def _watch(config: pytest.Config) -> None:
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True, file=config.stash[_errors])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's settings from the environment."""
    for name in list(os.environ):
        if name.startswith(
            ("AGENT_", "OPENAI_", "DEEPSEEK_", "SUPABASE_", "LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_API_", "PUSHER_")
        ) or name.endswith(("DATABASE_URL", "REDIS_URL", "_INTEGRATION_AGENTS")):
            monkeypatch.delenv(name)


# Read before a test's own fixture clears the environment.
_REQUIRED = os.environ.get("AGENT_TEST_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def installed_server(request: pytest.FixtureRequest) -> Iterator[InstalledServer]:
    """Run a server with the installed Postgres, which pip cannot bring.

    If there is none, a printed line says what did not run; with AGENT_TEST_REQUIRE=installed-postgres the test fails.
    """
    if installed_programs() is None and "installed-postgres" not in _REQUIRED:
        reason = f"Not run: {request.node.name}, no installed Postgres (apt-get install postgresql postgresql-contrib)."
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{reason}")
        pytest.skip(reason)
    server = InstalledServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Run the throw-away server of this run."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def databases_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop the databases that a test created; those of fixtures with a wider scope stay."""
    if "cluster" not in request.fixturenames:
        yield
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    kept = list(cluster.made)
    yield
    cluster.drop_but(kept)


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    """Return settings for a fresh, migrated database with an empty application."""
    return cluster.database(cluster.template("blank"))


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open a runtime on a fresh, migrated database with an empty application, and make it the current one."""
    async with running(settings) as runtime:
        yield runtime


@pytest.fixture
def demo_settings(cluster: Cluster) -> Settings:
    """Return settings for a fresh copy of the demonstration application."""
    return cluster.database(cluster.template("demo", fill_demo))


@pytest.fixture
async def demo_runtime(demo_settings: Settings) -> AsyncIterator[Runtime]:
    """Open a runtime on a fresh copy of the demonstration application, and make it the current one."""
    async with running(demo_settings) as runtime:
        yield runtime
