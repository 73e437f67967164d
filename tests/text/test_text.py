"""Text as databases hold it: any encoding, JSON with escapes that no text can hold, cells of any length, rows of any width."""

from __future__ import annotations

import ast
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.graph.results_for_model import fit_result
from agent.learning.auto_discover import auto_discovery
from agent.providers.chat.stream import fold
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.installed_server import InstalledServer
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client


def admin(runtime: Runtime) -> psycopg.Connection:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    return psycopg.connect(url.get_secret_value(), autocommit=True)


async def done(sql: str, runtime: Runtime, number: int | None = None) -> dict[str, Any]:
    """A change that is asked about, approved and executed; its preview and its result."""
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    if asked["status"] != "waiting":
        return {"result": asked, "preview": {}}
    approval = await human_approval_queue.get(asked["approval_id"], runtime=runtime)
    await human_approval_queue.decide(approval.id, "approve", decided_by="boss", runtime=runtime)
    result = await safe_executor.run_approved(approval.id, runtime=runtime)
    return {"result": result, "preview": approval.preview_json}


JSON_TABLES = r"""
create table public.nul (id int primary key, j json, t text);
insert into public.nul values (1, '{"a":"x\u0000y"}', 'ok'), (2, '{"a":"\ud83d"}', 'ok'), (3, '["\ude00\ud83d", "\\u0000"]', 'ok'),
  (4, '{"\u0000":"\ud83d\ude00 \\\u0000"}', 'ok'), (5, '{"a":"\ud83d\ude00"}', E'a\\u0000b'), (6, '"\\\\\\ud83d\ude00\\\ude00"', '\');
"""


@pytest.fixture
async def escapes(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("escapes", lambda conn: conn.execute(JSON_TABLES)))
    async with running(settings) as runtime:
        yield runtime


async def test_json_with_escapes_that_no_text_can_hold_is_read_with_them(escapes: Runtime) -> None:
    client = scripted_client(
        [call("execute_sql", sql="select id, j, t, j::text as raw from nul order by id"), "There."]
    )
    answer = await chat.answer("What is in nul?", thread_id="t", runtime=replace(escapes, model=client, cached={}))
    assert answer.text == "There."
    found = await safe_executor.execute("execute_sql", {"sql": "select id, j, t from nul order by id"}, runtime=escapes)
    assert [row[1] for row in found["rows"]] == [
        {"a": "x\\u0000y"}, {"a": "\\ud83d"}, ["\\ude00\\ud83d", "\\u0000"], {"\\u0000": "😀 \\\\u0000"}, {"a": "😀"},
        "\\\\\\ud83d\\ude00\\\\ude00",
    ]  # fmt: skip
    json.dumps(found, ensure_ascii=False).encode()
    assert [row[2] for row in found["rows"]] == ["ok", "ok", "ok", "ok", "a\\u0000b", "\\"]


async def test_rows_with_such_json_are_changed_shown_and_taken_back(escapes: Runtime) -> None:
    with admin(escapes) as conn:
        before = conn.execute("select id, j::text, t from public.nul order by id").fetchall()
        for number in (1, 2, 3, 4, 5, 6):
            for sql in (f"update nul set t = 'z' where id = {number}", f"delete from nul where id = {number}"):
                change = await done(sql, escapes)
                assert change["result"]["success"], change
                (row,) = change["preview"]["rows"]
                assert (row["before"]["id"], row["before"]["t"]) == (number, before[number - 1][2])
                taken_back = await safe_executor.undo(change["result"]["execution_id"], wait=False, runtime=escapes)
                assert taken_back["status"] == "waiting", taken_back
                await human_approval_queue.decide(
                    taken_back["approval_id"], "approve", decided_by="boss", runtime=escapes
                )
                undone = await safe_executor.run_approved(taken_back["approval_id"], runtime=escapes)
                assert undone["success"], undone
                assert conn.execute("select id, j::text, t from public.nul order by id").fetchall() == before
    shown = await done("update nul set t = 'y'", escapes)
    assert shown["preview"]["rows"][0]["before"]["j"] == {"a": "x\\u0000y"}


async def test_a_trigger_that_writes_such_json_is_previewed(escapes: Runtime) -> None:
    with admin(escapes) as conn:
        conn.execute(
            "create table public.log (id int primary key, was json);"
            "create function public.note() returns trigger language plpgsql as"
            " $$ begin insert into public.log values (old.id, old.j); return new; end $$;"
            "create trigger note after update on public.nul for each row execute function public.note()"
        )
    setup.set_up(escapes.settings)
    change = await done("update nul set t = 'z' where id < 4", escapes)
    assert change["result"]["success"], change
    (other,) = change["preview"]["others"]
    assert [row["after"]["was"] for row in other["rows"]] == [
        {"a": "x\\u0000y"},
        {"a": "\\ud83d"},
        ["\\ude00\\ud83d", "\\u0000"],
    ]


@pytest.fixture
async def long_cells(cluster: Cluster) -> AsyncIterator[Runtime]:
    def fill(conn: psycopg.Connection) -> None:
        conn.execute(
            "create table public.article (id int primary key, title text, html text);"
            "insert into public.article select g, 'T' || g, repeat('x', 12500) from generate_series(1, 200) g;"
            "create table public.documents (id bigint primary key, content text, embedding vector(1536));"
            "insert into public.documents select g, 'doc ' || g, (select array_agg(random()) from generate_series(1, 1536)"
            " where g > 0)::vector from generate_series(1, 30) g;"
            "create table public.blobs (id int primary key, b bytea, j jsonb, a int[]);"
            "insert into public.blobs select g, decode(repeat('ff', 9000), 'hex'), jsonb_build_object('k', repeat('y', 9000)),"
            " array(select generate_series(1, 4000)) from generate_series(1, 40) g"
        )
        columns = ", ".join(f"column_{number} int default {number}" for number in range(1, 1600))
        conn.execute(f"create table public.wide (id int, {columns})")
        conn.execute("insert into public.wide (id) select generate_series(1, 5)")

    settings = cluster.database(cluster.template("long_cells", fill))
    async with running(settings) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select * from article where id <= 3 order by id", 3),
        ("select * from article order by id", 200),
        ("select * from documents order by id", 30),
        ("select * from blobs order by id", 40),
    ],
)
async def test_long_cells_are_cut_and_every_row_stays(long_cells: Runtime, sql: str, rows: int) -> None:
    found = await safe_executor.execute("execute_sql", {"sql": sql}, runtime=long_cells)
    assert (len(found["rows"]), found["row_count"], found["truncated"]) == (rows, rows, False)
    for limit in (12_000, 40 * rows * len(found["columns"]) + 2_000):
        shown = json.loads(fit_result(found, limit))
        if limit >= 12_000 and rows < 100:
            assert [row[0] for row in shown["rows"]] == [row[0] for row in found["rows"]]
            assert not shown["truncated"]
            assert shown["cut_cells"] >= rows
    if "article" in sql:
        assert all(row[2].endswith("... (12500 characters)") for row in shown["rows"])


async def test_a_row_of_1600_columns_is_read_and_shown(long_cells: Runtime) -> None:
    found = await safe_executor.execute("execute_sql", {"sql": "select * from wide"}, runtime=long_cells)
    assert [row[0] for row in found["rows"]] == [1, 2, 3, 4, 5]
    assert found["rows"][4][1599] == 1599
    shown = json.loads(fit_result(found, 12_000))
    assert shown["rows"][0][0] == 1
    assert "to 1600: name what you need" in shown["left_out"]


ENCODINGS = [
    "SQL_ASCII", "LATIN1", "LATIN2", "LATIN3", "LATIN4", "LATIN5", "LATIN6", "LATIN7", "LATIN8", "LATIN9", "LATIN10",
    "WIN1250", "WIN1251", "WIN1252", "WIN1253", "WIN1254", "WIN1255", "WIN1256", "WIN1257", "WIN1258", "WIN866", "WIN874",
    "KOI8R", "KOI8U", "ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8", "EUC_CN", "EUC_JP", "EUC_KR", "EUC_TW",
    "EUC_JIS_2004",
]  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_database_in_any_encoding_is_learned_read_changed_and_undone(
    cluster: Cluster, installed_server: InstalledServer, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    with installed_server.connect() as conn:
        conn.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    url = installed_server.url(name)
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
        conn.execute("create table public.namen (id int primary key, v text, j json, w text)")
        conn.execute(r"""insert into public.namen values (1, 'abc', '{"a":"\u20ac\u0000"}', repeat('x', 9000))""")
        conn.execute("analyze")
    settings = cluster.database(cluster.template("blank"), app_database_url=url)
    setup.set_up(settings)
    async with running(settings) as runtime:
        structure = await auto_discovery.discover_app_structure()
        assert [table["qualified"] for table in structure["tables"]] == ["public.namen"]
        found = await safe_executor.execute("query_data", {"table": "namen"}, runtime=runtime)
        assert found["rows"] == [[1, "abc", {"a": "€\\u0000"}, "x" * 9000]], found
        plan = await safe_executor.execute("execute_sql", {"sql": "explain select * from namen"}, runtime=runtime)
        assert plan["success"]
        change = await done("update namen set v = 'z' where id = 1", runtime)
        assert change["result"]["success"], change
        assert change["preview"]["rows"][0]["before"]["v"] == "abc"
        for arguments in ({"table": "namen", "filters": [{"column": "v", "value": "ﷺ…"}]}, {"table": "ﷺ"}):
            odd = await safe_executor.execute("query_data", arguments, runtime=runtime)
            assert encoding == "SQL_ASCII" or not odd["success"] or odd["rows"] == []
            assert odd["success"] or "ﷺ" in odd["error"], odd
        client = scripted_client([call("execute_sql", sql="select v from namen where v = 'ﷺ'"), "No."])
        answer = await chat.answer("Where is ﷺ?", runtime=replace(runtime, model=client, cached={}))
        assert answer.text == "No."
    cluster.drop(settings)


async def test_bytes_that_are_no_characters_are_shown_as_bytes(
    cluster: Cluster, installed_server: InstalledServer
) -> None:
    for name, encoding, odd in (
        ("odd_ascii", "SQL_ASCII", "e9"),
        ("odd_win", "WIN1252", "81"),
        ("odd_jp", "EUC_JP", "a9a1"),
    ):
        with installed_server.connect() as conn:
            conn.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
        url = installed_server.url(name)
        with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
            conn.execute("create table public.namen (id int primary key, v text, t timestamp, unique (v))")
            conn.execute(
                f"insert into public.namen select g, 'caf' || convert_from('\\x{odd}', '{encoding}') || g, now()"
                " from generate_series(1, 8) g"
            )
            conn.execute("create table public.kinds (id int primary key, kind text, at timestamp default now())")
            conn.execute(
                f"insert into public.kinds select g, convert_from('\\x{odd}', '{encoding}') || g % 2 from generate_series(1, 100) g"
            )
            conn.execute(
                "do $$ begin execute format('comment on table public.namen is %L', (select v from public.namen limit 1)); end $$"
            )
            conn.execute("create index on public.kinds (at); analyze")
        settings = cluster.database(cluster.template("blank"), app_database_url=url)
        setup.set_up(settings)
        async with running(settings) as runtime:
            structure = await auto_discovery.discover_app_structure()
            assert {table["qualified"] for table in structure["tables"]} == {"public.namen", "public.kinds"}
            found = await safe_executor.execute(
                "query_data", {"table": "namen", "columns": ["id", "v"]}, runtime=runtime
            )
            escaped = "".join(f"\\x{odd[i : i + 2]}" for i in range(0, len(odd), 2))
            assert len(found["rows"]) == 8
            assert found["rows"][0][1] in {f"caf{escaped}1"}, found["rows"]
            change = await done("update namen set t = null where id = 1", runtime)
            assert change["result"]["success"], change
            assert escaped in change["preview"]["rows"][0]["before"]["v"]
            change = await done("delete from namen where id = 1", runtime)
            assert change["result"]["success"], change
        cluster.drop(settings)


def test_every_text_that_our_sql_holds_is_ascii() -> None:
    root = Path(__file__).parents[2]
    for path in [*(root / "src").rglob("*.sql"), *(root / "supabase" / "migrations").glob("*.sql")]:
        assert path.read_text(encoding="utf-8").isascii(), path
    statements = 0
    for path in (root / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if "pg_catalog." in text or text.lstrip()[:7].upper().rstrip() in _VERBS:
                statements += 1
                assert text.isascii(), (path, text)
    assert statements > 50


_VERBS = {
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DECLARE",
    "CREATE",
    "ALTER",
    "GRANT",
    "WITH",
    "DO $$",
    "SET",
    "FETCH",
}


PLACES = """
create table public.place (id int primary key, name text, lat numeric(9, 6), lon float8, rate numeric(10, 6), fee numeric(6, 4));
insert into public.place values (1, 'Berlin', 52.520008, 13.404954, 0.003456, 0.0049), (2, 'Rome', 41.902784, 12.496366, 1.084370, 12.3456);
create table public.big (id int primary key, n numeric);
insert into public.big values (1, 123456789012345678901234567890.123456789);
create table public.article (id int primary key, title text, html text);
insert into public.article select g, 'T' || g, repeat('x', 12500) from generate_series(1, 3) g;
create table public.nul (id int primary key, j json, t text);
insert into public.nul values (1, '{"a":"x\\u0000y"}', 'ok'), (2, '{"a":"\\ud83d"}', 'fine');
"""


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is the lat of place Berlin?", ["52.520008"]), ("rate of place Berlin", ["0.003456"]),
        ("What is the fee of place Berlin?", ["0.0049"]), ("List big", ["123456789012345678901234567890.123456789"]),
        ("List article", ["T1", "T2", "T3"]), ("List nul", ["ok", "fine", '{"a": "x\\\\u0000y"}', '"\\\\ud83d"']),
        ("What is the average fee of places?", ["6.17525"]),
    ],
)  # fmt: skip
async def test_the_built_in_model_says_values_as_they_are(cluster: Cluster, question: str, parts: list[str]) -> None:
    settings = cluster.database(cluster.template("places", lambda conn: conn.execute(PLACES)))
    async with running(settings):
        answer = await chat.answer(question)
    cluster.drop(settings)
    for part in parts:
        assert part in answer.text, answer.text


NUMBERS = """
create domain public.share as real; create domain public.part as public.share;
create table public.rates (id real primary key, r real, d double precision, n numeric, m money, s public.part, i integer, t text);
insert into public.rates values (1.1, 1.1, 1.1, 1.1, 1.1, 1.1, 1, '1.1'), (16777217, 0.1, 1e308, 123456789012345678901234567890.123456789, 5, 0.3, 2, 'x'),
  ('-0', '-0', 'NaN', 'NaN', -1, 'Infinity', 3, 'y'), (1e-30, '-Infinity', '-0', 0.1, 0, 2.5, 4, 'z');
create table public.clients (id real primary key, name text, status real, note interval, at timestamptz, check (status < 100));
insert into public.clients values (1.1, 'Ann', 0.1, '1 mon -2 days', 'infinity'), (2.2, 'Bo', 0.2, null, now());
"""


@pytest.fixture
async def numbers(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("numbers", lambda conn: conn.execute(NUMBERS)))
    async with running(settings) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("r", 1.1, 1), ("r", 0.1, 2), ("r", -0.0, 3), ("r", float("-inf"), 4), ("d", 1.1, 1), ("d", 1e308, 2), ("d", float("nan"), 3),
        ("n", 1.1, 1), ("n", "123456789012345678901234567890.123456789", 2), ("m", 1.1, 1), ("m", 5, 2), ("s", 1.1, 1), ("s", 0.3, 2),
        ("s", "Infinity", 3), ("i", 2, 2), ("i", 2.0, 2), ("id", 16777217, 2), ("id", 1e-30, 4), ("t", 1.1, 1),
    ],
)  # fmt: skip
async def test_a_number_finds_the_row_that_holds_it_in_any_type(
    numbers: Runtime, column: str, value: Any, found: int
) -> None:
    for filter_ in ({"value": value}, {"op": "in", "value": [value]}, {"op": "between", "value": [value, value]}):
        arguments = {"table": "rates", "columns": ["i"], "filters": [{"column": column, **filter_}]}
        result = await safe_executor.execute("query_data", arguments, runtime=numbers)
        assert result.get("rows") == [[found]], result


async def test_a_number_that_no_column_of_whole_numbers_holds_is_no_error(numbers: Runtime) -> None:
    for value in (1.5, 3_000_000_000, 10**25):
        arguments = {"table": "rates", "columns": ["i"], "filters": [{"column": "i", "op": "<", "value": value}]}
        result = await safe_executor.execute("query_data", arguments, runtime=numbers)
        assert result["success"], result


async def test_a_models_decimals_arrive_with_every_digit(numbers: Runtime) -> None:
    text = '{"table": "rates", "columns": ["i"], "filters": [{"column": "n", "value": 123456789012345678901234567890.123456789}]}'
    chunk = tool_call_chunk(name="query_data", args=text, id="call_1", index=0)
    (asked,) = fold([AIMessageChunk(content="", tool_call_chunks=[chunk])], must_finish=False).tool_calls
    result = await safe_executor.execute(asked["name"], asked["args"], runtime=numbers)
    assert result["rows"] == [[2]]


async def test_a_client_with_a_real_key_is_changed_and_changed_back(numbers: Runtime) -> None:
    for client in ({"client_name": "Ann"}, {"client_id": "1.1"}):
        asked = await safe_executor.execute(
            "update_client_status", {"status": "0.7", **client}, wait=False, runtime=numbers
        )
        assert asked["status"] == "waiting", asked
        await human_approval_queue.decide(asked["approval_id"], "approve", decided_by="boss", runtime=numbers)
        result = await safe_executor.run_approved(asked["approval_id"], runtime=numbers)
        assert (result["success"], result["row_count"]) == (True, 1)
        undone = await safe_executor.undo(result["execution_id"], wait=False, runtime=numbers)
        await human_approval_queue.decide(undone["approval_id"], "approve", decided_by="boss", runtime=numbers)
        assert (await safe_executor.run_approved(undone["approval_id"], runtime=numbers))["row_count"] == 1
    with admin(numbers) as conn:
        assert conn.execute("select status::text from public.clients where name = 'Ann'").fetchone() == ("0.1",)
