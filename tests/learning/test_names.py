"""Names as catalogs allow them: each is discovered, described, read, changed, shown and undone, however it is written."""

from __future__ import annotations

import random
from dataclasses import replace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.identifiers import parse_name, qualified, quote_name
from agent.learning.schema_linking.linking import describe
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client

NAMES = (
    'we"ird', '"', '""', "Mixed Case", "a.b", "%", "%s", "100%(x)s", "{}", "{0}{name}", "new\nline", "tab\t", "😀", "ü" * 31, "x" * 63, "select",
    "$1", "?", ":x", "it's", "back\\slash", "--", "/*", ";", "a b", " lead", "UPPER", "0digit", "semi;colon", "[0]", "o'\"x", "\uff46\uff55", "agent_old",
    "agent_changed", "AGENT_WRAPPED", "%%", "{{}}", "\\", "t", "o", "was", "e\u0301", "א", "null", "$$", "$a$", "U&\"x\"", "\u202e", "row", "json", "a,b", "(x)",
)  # fmt: skip


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_name_is_read_back_from_how_it_is_written(name: str) -> None:
    assert parse_name(quote_name(name)) == (name,)
    assert parse_name(qualified(name, "x")) == (name, "x")


def made(runtime: Runtime, schema: str, table: str, key: str, column: str) -> None:
    url = runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        names = [sql.Identifier(name) for name in (schema, table, key, column)]
        conn.execute(sql.SQL("create schema if not exists {}").format(names[0]))
        conn.execute(
            sql.SQL("create table {}.{} ({} int primary key, {} text, at timestamptz default now())").format(*names)
        )
        conn.execute(sql.SQL("insert into {}.{} select g, 'v' || g from generate_series(1, 3) g").format(*names[:2]))
    setup.set_up(runtime.settings)


async def approved(runtime: Runtime, asked: dict) -> dict:
    assert asked["status"] == "waiting", asked
    approval = await human_approval_queue.get(asked["approval_id"], runtime=runtime)
    await human_approval_queue.decide(approval.id, "approve", decided_by="boss", runtime=runtime)
    result = await safe_executor.run_approved(approval.id, runtime=runtime)
    assert result["success"], result
    return {**result, "preview": approval.preview_json}


@pytest.mark.parametrize("seed", range(2))
async def test_tables_and_columns_of_any_name_are_worked_with(runtime: Runtime, seed: int) -> None:
    chance = random.Random(seed)
    names = list(NAMES)
    chance.shuffle(names)
    tables = names[seed * 8 :][:8]
    for table in tables:
        schema, key, column = "public" if chance.random() < 0.5 else chance.choice(NAMES), *chance.sample(NAMES, 2)
        if key == "at" or column == "at" or key == column:
            continue
        made(runtime, schema, table, key, column)
        structure = await auto_discovery.discover_app_structure(runtime=runtime)
        (found,) = [one for one in structure["tables"] if (one["schema"], one["name"]) == (schema, table)]
        assert [one["name"] for one in found["columns"]][:2] == [key, column]
        place = f"{found['qualified']}"
        assert found["qualified"] in await describe(place, runtime=runtime)
        for arguments in (
            {
                "table": place,
                "columns": [column],
                "filters": [{"column": key, "value": 2}],
                "order_by": [{"column": column}],
            },
            {"table": place, "columns": [quote_name(column)], "filters": [{"column": column, "value": "v2"}]},
            {
                "table": f"{schema}.{table}" if "." not in schema + table else place,
                "columns": [column],
                "filters": [{"column": key, "value": 2}],
            },
        ):
            result = await safe_executor.execute("query_data", arguments, runtime=runtime)
            assert result.get("rows") == [["v2"]], (result, arguments)
            assert result["columns"] == [column]
        update = f"update {place} set {quote_name(column)} = 'new' where {quote_name(key)} <= 2"
        change = await approved(
            runtime, await safe_executor.execute("execute_sql", {"sql": update}, wait=False, runtime=runtime)
        )
        assert {row["before"][column] for row in change["preview"]["rows"]} == {"v1", "v2"}
        undone = await safe_executor.undo(change["execution_id"], wait=False, runtime=runtime)
        assert undone["status"] == "waiting", (undone, schema, table, key, column)
        await approved(runtime, undone)
        for write in (f"delete from {place} where {quote_name(key)} = 3", f"insert into {place} values (9, 'x')"):
            change = await approved(
                runtime, await safe_executor.execute("execute_sql", {"sql": write}, wait=False, runtime=runtime)
            )
            await approved(runtime, await safe_executor.undo(change["execution_id"], wait=False, runtime=runtime))
        everything = await safe_executor.execute(
            "query_data", {"table": place, "columns": [key, column], "order_by": [{"column": key}]}, runtime=runtime
        )
        assert everything["rows"] == [[1, "v1"], [2, "v2"], [3, "v3"]]
        client = scripted_client([call("query_data", table=place), "There."])
        answer = await chat.answer(f"What is in {table}?", runtime=replace(runtime, model=client, cached={}))
        assert (answer.text, answer.sources["statements"][0]["row_count"]) == ("There.", 3)


@pytest.mark.parametrize("rights", ["data", "schema"])
def test_a_schemas_name_is_never_a_statement_of_the_set_up(runtime: Runtime, rights: str) -> None:
    name = "$$; create table public.forged (); --"
    made(runtime, name, "t", "id", "v")
    settings = runtime.settings.model_copy(update={"actor_rights": rights})
    setup.set_up(settings)
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        assert conn.execute("select to_regclass('public.forged')").fetchone() == (None,)
        conn.execute(setup.script_for(settings.model_copy(update={"app_schemas": name})))
        assert conn.execute("select to_regclass('public.forged')").fetchone() == (None,)


TRIGGERS = """
create table public.plain (id int primary key, v text);
insert into public.plain values (1, 'a');
create table public."100%{}""s" ("%s" int primary key, "{}" text);
insert into public."100%{}""s" values (1, 'old');
create function public.note() returns trigger language plpgsql as
  $$ begin update public."100%{}""s" set "{}" = new.v; return new; end $$;
create trigger note after update on public.plain for each row execute function public.note();
"""


async def test_what_triggers_do_to_tables_of_such_names_is_shown(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(TRIGGERS)
    setup.set_up(runtime.settings)
    update = {"sql": "update plain set v = 'b'"}
    change = await approved(runtime, await safe_executor.execute("execute_sql", update, wait=False, runtime=runtime))
    (other,) = change["preview"]["others"]
    assert other["table"] == 'public.100%{}"s'
    assert other["rows"][0]["after"] == {"%s": 1, "{}": "b"}
