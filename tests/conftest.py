"""One throw-away Postgres a run, one fresh database a test, and nothing of the machine's environment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from agent.demo.application import fill_demo
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read no setting of the machine they run on."""
    for name in list(os.environ):
        if name.startswith(
            ("AGENT_", "OPENAI_", "DEEPSEEK_", "SUPABASE_", "LANGSMITH_", "LANGCHAIN_")
        ) or name.endswith("DATABASE_URL"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The throw-away server of this run."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    """Settings of a fresh, migrated database with an empty application."""
    settings = cluster.database(cluster.template("blank"))
    yield settings
    cluster.drop(settings)


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime on a fresh, migrated database with an empty application; it is the current one."""
    async with running(settings) as runtime:
        yield runtime


@pytest.fixture
def demo_settings(cluster: Cluster) -> Iterator[Settings]:
    """Settings of a fresh copy of the demonstration application."""
    settings = cluster.database(cluster.template("demo", fill_demo))
    yield settings
    cluster.drop(settings)


@pytest.fixture
async def demo_runtime(demo_settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime on a fresh copy of the demonstration application; it is the current one."""
    async with running(demo_settings) as runtime:
        yield runtime
