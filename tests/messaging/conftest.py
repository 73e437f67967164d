"""Give each test a table whose rows the agent changes, and ways to see what happened to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from agent.access import accounts
from agent.approval.people import people
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.messaging import Courier
from agent.operations import approvals
from agent.runtime import Runtime
from agent.testing.slack_server import Posted, SlackServer
from agent.testing.telegram_server import Sent, TelegramServer

CHANGE = "UPDATE notes SET text = text || '!' WHERE id <= 7"
ANA, BO, STRANGER = 7, 8, 13


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer() as server:
        yield server


@asynccontextmanager
async def messaging(runtime: Runtime) -> AsyncIterator[Courier]:
    courier = Courier(runtime)
    courier.start()
    try:
        yield courier
    finally:
        await courier.stop()


def with_settings(runtime: Runtime, **settings: Any) -> Runtime:
    values = runtime.settings.model_dump() | settings
    return replace(runtime, settings=type(runtime.settings)(**values), cached={})


def with_slack(runtime: Runtime, server: SlackServer, **settings: Any) -> Runtime:
    given = {
        "slack_bot_token": server.bot_token, "slack_app_token": server.app_token, "slack_url": server.url, "slack_channels": "C1",
    }  # fmt: skip
    return with_settings(runtime, **{**given, **settings})


def with_telegram(runtime: Runtime, server: TelegramServer, **settings: Any) -> Runtime:
    given = {"telegram_token": server.token, "telegram_url": server.url, "telegram_chats": "-5"}
    return with_settings(runtime, **{**given, **settings})


async def posted_in_slack(server: SlackServer, channel: str = "C1") -> Posted:
    return await until(lambda: next((one for one in server.channels.get(channel, []) if one.buttons), None))


async def posted_in_telegram(server: TelegramServer, chat: str = "-5") -> Sent:
    return await until(lambda: next((one for one in server.chats.get(chat, []) if one.buttons), None))


async def status(runtime: Runtime, number: int) -> str:
    return (await approvals.view(number, runtime=runtime)).approval.status


async def settled(runtime: Runtime) -> bool:
    """Return whether every message shows how its request stands."""
    rows = await runtime.all("select 1 from agents.messages where tenant_id = %(tenant_id)s and ready_at is not null")
    return not rows


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


async def until(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
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
