"""Statements that the parser and a server could read differently: encodings, settings of our logins, white space, versions.

What is assessed is a text; what runs must be the same text, whatever the environment, the logins' own settings and the
server's version and encoding make of it. `boom` is the user's function that none of these may call unasked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.db import setup
from agent.errors import DatabaseUnavailable
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.types import LOGINS, ToolResult

APPLICATION = """
create table public.notes (id int primary key, body text not null);
insert into public.notes values (1, 'é'), (2, 'plain');
create function public.boom() returns int language plpgsql as $$ begin raise exception 'boom ran'; end $$;
grant select on public.notes to agent_reader;
grant select, update on public.notes to agent_actor;
"""
# In GBK, SJIS and others the last byte of the character takes the backslash with it, and the string ends earlier.
HIDDEN_CALL = r"select E'あ\', boom() --'"


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


@pytest.fixture
def noted(settings: Settings) -> Settings:
    query(url_of(settings), APPLICATION)
    return settings


def set_for_logins(settings: Settings, setting: str) -> None:
    """What a database administrator may have set for our logins, in this database."""
    database = str(psycopg.conninfo.conninfo_to_dict(url_of(settings))["dbname"])
    for login in LOGINS:
        query(url_of(settings), f'alter role {login} in database "{database}" set {setting}')


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Runtime]:
    runtime = await open_runtime(settings)
    try:
        with use_runtime(runtime):
            yield runtime
    finally:
        await runtime.close()


async def run(statement: str) -> ToolResult:
    return await safe_executor.execute("execute_sql", {"sql": statement}, wait=False)


@pytest.mark.parametrize("encoding", ["GBK", "SJIS", "BIG5", "UHC", "LATIN1", "WIN1252", "SQL_ASCII"])
@pytest.mark.parametrize("by", ["environment", "login"])
async def test_no_client_encoding_moves_the_end_of_a_string(
    noted: Settings, monkeypatch: pytest.MonkeyPatch, encoding: str, by: str
) -> None:
    if by == "login":
        set_for_logins(noted, f"client_encoding = '{encoding}'")
    else:
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    async with opened(noted):
        assert (await run(HIDDEN_CALL))["rows"] == [["あ', boom() --"]]
        assert (await run("select id, body from notes where body = 'é'"))["rows"] == [[1, "é"]]
        assert (await run("update notes set body = 'ü' where body = 'é'"))["status"] == "waiting"


@pytest.fixture(params=["LATIN1", "EUC_JP", "SQL_ASCII"])
def encoded(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Settings]:
    """An application whose own encoding is not UTF-8."""
    name = f"encoded_{request.param.lower()}"
    query(
        cluster.url("postgres"),
        f"create database {name} encoding '{request.param}' locale_provider libc locale 'C' template template0",
    )
    query(cluster.url(name), APPLICATION.replace("'é'", "'plain too'"))
    settings = cluster.database(cluster.template("blank"), app_database_url=cluster.url(name))
    setup.set_up(settings)
    yield settings
    cluster.drop(settings)
    query(cluster.url("postgres"), f"drop database {name} with (force)")


async def test_an_application_in_another_encoding_is_read_or_told_why_not(encoded: Settings) -> None:
    async with opened(encoded):
        assert (await run("select count(*) from notes"))["rows"] == [[2]]
        told = await run("select 'あ'")
        assert told.get("rows") == [["あ"]] or "no equivalent in encoding" in told["error"]
        assert (await run("update notes set body = 'x' where id = 1"))["status"] == "waiting"


async def decided(result: ToolResult) -> ToolResult:
    assert result["status"] == "waiting", result
    await human_approval_queue.decide(result["approval_id"], "approve")
    return await safe_executor.run_approved(result["approval_id"])


MEASURES = """
create table public.measures (id int primary key, amount float8 not null, took interval not null default '1 day');
insert into public.measures values (1, 1.2345678, '-1 day -02:03:04');
grant select on public.measures to agent_reader;
grant select, update on public.measures to agent_actor;
"""


@pytest.mark.parametrize(
    "setting",
    [
        "datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'", "extra_float_digits = -15", "standard_conforming_strings = off",
        "backslash_quote = on", "row_security = off", "client_min_messages = debug5", "bytea_output = 'escape'",
        "quote_all_identifiers = on", "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on",
        "timezone = 'Asia/Tokyo'", "agents.tenant_id = 'somebody else'", "search_path = public, pg_catalog", "array_nulls = off",
    ],
)  # fmt: skip
async def test_no_setting_of_our_logins_changes_what_a_statement_says(noted: Settings, setting: str) -> None:
    query(url_of(noted), MEASURES)
    set_for_logins(noted, setting)
    async with opened(noted):
        read = await run(
            r"select amount, took, '\', interval '-1 2:00:00', '\xdead'::bytea, array[null, 'null']::text[]"
            r" from measures where date '2026-02-03' = make_date(2026, 2, 3)"
        )
        assert read["rows"] == [
            [1.2345678, "-1 days -02:03:04", "\\", "-1 days +02:00:00", "\\xdead", [None, "null"]]
        ], read
        changed = await run(r"update measures set amount = 2.3456789, took = '-1 2:00:00' where took < '-1 0:00:00'")
        preview = (await human_approval_queue.get(changed["approval_id"])).preview
        assert preview is not None
        assert preview["notices"] == []
        assert (await decided(changed))["rows"] == [[1, 2.3456789, "-1 days +02:00:00"]]
    assert query(url_of(noted), "select amount from public.measures") == [(2.3456789,)]


async def test_a_change_too_small_to_be_printed_is_still_a_change(noted: Settings) -> None:
    query(url_of(noted), MEASURES)
    set_for_logins(noted, "extra_float_digits = -15")
    async with opened(noted):
        asked = await run("update measures set amount = amount * 2 where id = 1")
        query(url_of(noted), "update public.measures set amount = 1.2345679")
        result = await decided(asked)
        assert (result["status"], "no longer" in result["error"]) == ("failed", True)
    assert query(url_of(noted), "select amount from public.measures") == [(1.2345679,)]


async def test_a_login_that_may_only_read_says_so_and_changes_nothing(noted: Settings) -> None:
    set_for_logins(noted, "default_transaction_read_only = on")
    async with opened(noted) as runtime:
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await safe_executor.execute("execute_sql", {"sql": "update notes set body = 'x'"}, runtime=runtime)
    assert query(url_of(noted), "select count(*) from public.notes where body = 'x'") == [(0,)]
