"""Statements that the parser and a server could read differently: encodings, settings of our logins, white space, versions.

What is assessed is a text; what runs must be the same text, whatever the environment, the logins' own settings and the
server's version and encoding make of it. `boom` is the user's function that none of these may call unasked.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.db import embedded, setup
from agent.errors import DatabaseUnavailable
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster, throwaway_folder
from agent.types import LOGINS, ToolResult

APPLICATION = """
create table public.notes (id int primary key, body text not null);
insert into public.notes values (1, 'é'), (2, 'plain');
create function public.boom() returns int language plpgsql as $$ begin raise exception 'boom ran'; end $$;
grant select on public.notes to agent_reader;
grant select, update on public.notes to agent_actor;
"""
SECRET = "the secret of another server"
# In GBK, SJIS and others the last byte of the character takes the backslash with it, and the string ends earlier.
HIDDEN_CALL = r"select E'あ\', boom() --'"


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def dbname_of(settings: Settings) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url_of(settings))["dbname"])


@pytest.fixture
def noted(settings: Settings) -> Settings:
    query(url_of(settings), APPLICATION)
    return settings


def set_for_logins(settings: Settings, setting: str) -> None:
    """What a database administrator may have set for our logins, in this database."""
    for login in LOGINS:
        query(url_of(settings), f'alter role {login} in database "{dbname_of(settings)}" set {setting}')


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
    settings = cluster.database(cluster.template("blank"))  # makes the logins
    name = f"encoded_{request.param.lower()}"
    query(
        cluster.url("postgres"),
        f"create database {name} encoding '{request.param}' locale_provider libc locale 'C' template template0",
    )
    query(cluster.url(name), APPLICATION.replace("'é'", "'plain too'"))
    apart = cluster.settings(dbname_of(settings), app_database_url=cluster.url(name))
    setup.set_up(apart)
    yield apart
    cluster.drop(settings)
    query(cluster.url("postgres"), f"drop database {name} with (force)")


async def test_an_application_in_another_encoding_is_read_or_told_why_not(encoded: Settings) -> None:
    async with opened(encoded):
        assert (await run("select count(*) from notes"))["rows"] == [[2]]
        told = await run("select 'あ'")
        assert told.get("rows") == [["あ"]] or "which has no 'あ'" in told["error"]
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
        preview = (await human_approval_queue.get(changed["approval_id"])).preview_json
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


# Text that looks like something else.

HIDDEN = {
    "nbsp is no space": "select\u00a0boom()",
    "zero width space": "select \u200bboom()",
    "byte order mark": "\ufeffselect boom()",
    "mark inside": "select bo\ufeffom()",
    "quoted": 'select "boom"()',
    "unicode escape": r'select U&"boo\006D"()',
    "other escape": r"""select U&"boo!006D"() UESCAPE '!'""",
    "schema": "select public.boom()",
    "quoted schema": r'select U&"publi\0063".U&"boo\006D"()',
    "comment": "select boom/**/()",
    "nested comment": "select /* /* */ ' */ boom() -- '",
    "comment that is none": "select '/*', boom() --'*/'",
    "dollar quote": "select $a$ $b$ $a$, boom() --$b$",
    "dollar quote of another name": "select $é$ $e$ $é$, boom() --$e$",
    "escape string": r"select E'\\', boom() --'",
    "escaped quote": r"select E'\'', boom() --'",
    "octal quote": r"select E'\047, boom() --'",
    "continued string": "select 'a'\n'b', boom() --'",
    "bit string": "select B'01', X'0F', N'x', boom()",
    "numbers": "select 1_000, 0x1F, 0o17, 0b1, 1.5e1_0, boom()",
    "form feed": "select\f\v\tboom()",
    "carriage return ends a comment": "select 1 --\r, boom()",
    "line separator ends none": "select 1 --\u2028, boom()",
    "operator form": "select 1 operator(pg_catalog.+) public.boom()",
    "attribute form": "select (n).boomed from notes n",
    "upper": "select BOOM()",
    "upper beyond ascii": "select boom() as \u0130",
    "long name": f"select boom() as {'x' * 200}",
    "parameter": "select $1, boom()",
    "trailing semicolons": "select boom();;;",
    "two": "select 1; select boom()",
}
FORMS = """
create function public.boomed(public.notes) returns int language sql as 'select public.boom()';
"""


async def test_a_call_is_found_however_it_is_written(noted: Settings) -> None:
    """It asks, is refused, or the server says that it is no statement; what runs is only what has no call in it."""
    query(url_of(noted), FORMS)
    async with opened(noted):
        for form, sql in HIDDEN.items():
            result = await run(sql)
            assert "boom ran" not in str(result), form
            assert result["status"] != "succeeded" or "boom()" in str(result["rows"]) or "--" in sql, (form, result)


async def test_a_statement_of_white_space_that_is_none_is_told_as_that(noted: Settings) -> None:
    async with opened(noted):
        for blank in (
            "\u00a0",
            "\u200b",
            "\ufeff",
            "\u2003",
            "\u3000",
            "\u00ad",
            "\u2028",
            "\x1c",
            "\x85",
            "/* */",
            "--",
            ";",
            " \f\v\t\r\n",
        ):
            result = await run(blank)
            assert (result["success"], bool(result["error"])) == (False, True)
        assert (await run("\f\v\t\r\n select 1 \f"))["rows"] == [[1]]


# A server whose grammar is older, and one whose names are.

POLYFILLS = [
    ("json_exists", "jsonb, text"), ("json_value", "jsonb, text"), ("json_query", "jsonb, text"), ("json_scalar", "text"),
    ("json_serialize", "jsonb"), ("json", "text"), ("merge_action", ""), ("json_table", "jsonb, text"), ("casefold", "text"),
    ("array_sort", "int[]"), ("uuidv7", ""), ("random", "int, int"), ("xmltext", "text"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sixteen() -> Iterator[str]:
    """The administrator's URL of a PostgreSQL 16 whose application has functions that newer servers have built in."""
    home = throwaway_folder("other")
    home.chmod(0o755)
    try:
        embedded.initialise(home, SECRET, version=16)
        embedded.ensure_running(home, 16)
        url = embedded.admin_conninfo(home, SECRET, "postgres")
        query(
            url,
            "create table public.notes (id int primary key, body jsonb default '{}'); insert into public.notes values (1)",
        )
        for name, arguments in POLYFILLS:
            body = "$$ begin raise exception 'boom ran'; end $$"
            query(url, f"create function public.{name}({arguments}) returns int language plpgsql as {body}")
        yield url
    finally:
        embedded.halt(home, 16)
        shutil.rmtree(home, ignore_errors=True)


OLDER = [
    "select json_exists(body, '$.a') from notes", "select json_value(body, '$.a') from notes", "select json_query(body, '$.a') from notes",
    "select json_scalar('x')", "select json_serialize(body) from notes", "select json('x')", "select merge_action()",
    "select id from notes where json_exists(body, '$.a')", "select casefold('X')", "select array_sort(array[2, 1])", "select uuidv7()",
    "select random(1, 2)", "select xmltext('x')", "select (select json_value(body, '$.a')) from notes", "values (json_exists('{}'::jsonb, '$'))",
    "with a as (select json_query(body, '$') from notes) select * from a", "select * from notes order by json_value(body, '$.a')",
    "select * from json_table('[1]'::jsonb, '$[*]' columns (a int path '$')) x", "select now() at local",
    "merge into notes n using notes o on n.id = o.id when matched then do nothing returning merge_action()",
    "update notes set body = '{}' where id = 1 returning with (old as o) o.body", "explain analyze select json_exists(body, '$.a') from notes",
]  # fmt: skip


async def test_what_the_grammar_of_a_newer_server_has_built_in_is_a_users_function_on_an_older_one(
    cluster: Cluster, sixteen: str
) -> None:
    settings = cluster.database(cluster.template("blank"), app_database_url=sixteen)
    setup.set_up(settings)
    async with opened(settings):
        for statement in OLDER:
            result = await run(statement)
            assert result["status"] != "succeeded", (statement, result)
            assert "boom ran" not in str(result), (statement, result)
        assert (await run("select 1_000, 0x1F, id as old, id as new from notes"))["rows"] == [[1000, 31, 1, 1]]
        assert (await run("select any_value(id), json_array_length('[1]') from notes"))["rows"] == [[1, 1]]
        newer = await run("update notes set body = null where id = 1 returning old.*, new.*")
        assert (newer["status"], '"old"' in newer["error"]) == ("failed", True)
        changed = await decided(await run("update notes set body = '[1]' where id = 1 returning body"))
        assert changed["rows"] == [[[1]]]  # as RETURNING asks
    cluster.drop(settings)
