"""Give each test a table whose rows the agent changes, and ways to see what happened to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from agent.access import accounts
from agent.approval.people import people
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.telegram_server import TelegramServer

CHANGE = "UPDATE notes SET text = text || '!' WHERE id <= 7"
ANA, BO, STRANGER = 7, 8, 13


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


@pytest.fixture
async def notes(runtime: Runtime) -> Runtime:
    """An application with a table, and people: olga is admin and asks, ana and bo decide."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.notes (id int primary key, text text)")
        conn.execute("insert into public.notes select n, 'n' from generate_series(1, 30) n")
    setup.setup_logins(runtime.settings.database_url.get_secret_value(), runtime.settings.secret.get_secret_value())
    admin = replace(runtime, user="olga")
    for name, role in (("olga", "admin"), ("ana", "approver"), ("bo", "approver")):
        await people.add(name, [role], runtime=admin)
    return admin


async def ask(runtime: Runtime, sql: str = CHANGE, **options: Any) -> int:
    """Ask for a change as the runtime's user, and return the request's number."""
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime, **options)
    assert result["status"] == "waiting", result
    return result["approval_id"]


async def link(runtime: Runtime, service: str, account: object, person: str) -> None:
    code = await accounts.new_code(person, runtime=runtime)
    await accounts.link(service, str(account), code.code, runtime=runtime)


def changed(runtime: Runtime) -> int:
    """Return how many notes were changed exactly once; no note may be changed twice."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        once, twice = conn.execute(
            "select count(*) filter (where text = 'n!'), count(*) filter (where text like 'n!!%') from public.notes"
        ).fetchone()
    assert twice == 0
    return once


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.03)
    raise AssertionError("it did not happen in time")
