"""What tests of worker processes share: a model over HTTP, and notes that it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from tests.worker.notes import Model

from agent.db import setup
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.openai_server import OpenAIServer
from agent.testing.running import running


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def http_model(model: Model) -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(choose=model.reply) as server:
        yield server


@pytest.fixture
async def notes(settings: Settings, http_model: OpenAIServer) -> AsyncIterator[Runtime]:
    """An application with a table, and this process's own runtime on it."""
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.notes (id int primary key, text text)")
        conn.execute("insert into public.notes select n, 'n' from generate_series(1, 30) n")
    setup.setup_logins(settings.database_url.get_secret_value(), settings.secret.get_secret_value())
    chosen = {"model": "openai:scripted", "openai_api_key": "none", "openai_base_url": http_model.url}
    async with running(Settings(_env_file=None, **{**settings.model_dump(exclude_unset=True), **chosen})) as runtime:
        yield runtime
