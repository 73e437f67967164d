"""One throw-away Postgres a run, one fresh database a test, and nothing of the machine's environment."""

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

MOST_SECONDS = 300.0  # of one test; the slowest takes a tenth
_errors = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the way to the terminal, before it is captured."""
    config.stash[_errors] = os.dup(2)


def pytest_collection_finish() -> None:
    """What is imported by now stays: searching it for garbage again and again is a quarter of a run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that hangs says where each thread stands, and ends its process: with `-n`, it alone has failed then."""
    _watch(item.config)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Pytest itself watches no more after a failure, but what comes then can hang too."""
    _watch(node.config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """So can the way out."""
    _watch(session.config)


def _watch(config: pytest.Config) -> None:
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True, file=config.stash[_errors])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read no setting of the machine they run on."""
    for name in list(os.environ):
        if name.startswith(
            ("AGENT_", "OPENAI_", "DEEPSEEK_", "SUPABASE_", "LANGSMITH_", "LANGCHAIN_")
        ) or name.endswith("DATABASE_URL"):
            monkeypatch.delenv(name)


# Read before a test's own fixture clears the environment.
_REQUIRED = os.environ.get("AGENT_TEST_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def installed_server(request: pytest.FixtureRequest) -> Iterator[InstalledServer]:
    """A server made with the Postgres that is installed here, which pip cannot bring.

    Where there is none, a printed line says what did not run; AGENT_TEST_REQUIRE=installed-postgres makes that a failure.
    """
    if installed_programs() is None and "installed-postgres" not in _REQUIRED:
        said = f"Not run: {request.node.name}, no installed Postgres (apt-get install postgresql postgresql-contrib)."
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{said}")
        pytest.skip(said)
    server = InstalledServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The throw-away server of this run."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def databases_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test makes is gone after it; fixtures of a wider scope come before this one, and their databases stay."""
    if "cluster" not in request.fixturenames:
        yield
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    kept = list(cluster.made)
    yield
    cluster.drop_but(kept)


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    """Settings of a fresh, migrated database with an empty application."""
    return cluster.database(cluster.template("blank"))


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime on a fresh, migrated database with an empty application; it is the current one."""
    async with running(settings) as runtime:
        yield runtime


@pytest.fixture
def demo_settings(cluster: Cluster) -> Settings:
    """Settings of a fresh copy of the demonstration application."""
    return cluster.database(cluster.template("demo", fill_demo))


@pytest.fixture
async def demo_runtime(demo_settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime on a fresh copy of the demonstration application; it is the current one."""
    async with running(demo_settings) as runtime:
        yield runtime
