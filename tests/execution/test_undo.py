"""An approved change can be taken back: exactly, by a human's approval, and not where somebody has worked on since."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import NotFound
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.execution.undo import undo
from agent.runtime import Runtime, use_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import ToolResult

TYPES = {
    "a_bool": ("boolean", ["true", "false"]),
    "a_small": ("smallint", ["-32768", "7"]),
    "a_numeric": ("numeric(20, 6)", ["12.500000", "-0.000001", "'NaN'"]),
    "a_real": ("real", ["0.1", "'-Infinity'", "1e-30"]),
    "a_double": ("double precision", ["0.1", "1e308", "'-0'"]),
    "a_char": ("character(5)", ["'a'", "'  b'", "''"]),
    "a_varchar": ("character varying(40)", ["'quo\"te'", "'back\\slash'", "'(1,2)'"]),
    "a_text": ("text", ["''", "' '", "E'line\\nline'", "'null'", "'NULL'", "',,'", "'ü€😀'", "'it''s -- $1 %s {x}'"]),
    "a_bytea": ("bytea", ["'\\x00ff'", "''"]),
    "a_date": ("date", ["'2026-11-25'", "'0044-03-15 BC'", "'infinity'"]),
    "a_time": ("time with time zone", ["'12:34:56.789+02'"]),
    "a_stamp": ("timestamp", ["'2026-11-25 01:02:03.000004'", "'-infinity'"]),
    "a_moment": ("timestamp with time zone", ["'2026-11-25 01:02:03+14'"]),
    "an_interval": ("interval", ["'1 year -2 days 3:04:05.6'", "'-1 month'"]),
    "a_uuid": ("uuid", ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    "a_json": ("json", ['\'{"b": 1,  "a":[null]}\'', "'null'"]),
    "a_jsonb": ("jsonb", ["'null'", '\'{"a": "\\"x\\""}\'', "'1.50'"]),
    "an_array": ("integer[]", ["'{1,NULL,3}'", "'[0:1]={5,6}'", "'{}'", "'{{1,2},{3,4}}'"]),
    "texts": ("text[]", ['\'{"a,b","\\"","",NULL,"NULL"}\'']),
    "a_range": ("int4range", ["'[1,5)'", "'empty'", "'(,)'"]),
    "an_inet": ("inet", ["'10.0.0.1/8'", "'::1'"]),
    "a_point": ("point", ["'(1.5,-2)'"]),
    "bits": ("bit varying", ["B'1010'", "B''"]),
    "words": ("tsvector", ["to_tsvector('simple', 'the quick fox')"]),
    "money": ("money", ["1234.5::money"]),
    "a_vector": ("vector(3)", ["'[1,2.5,-3]'"]),
    "mood": ("public.mood", ["'so so'", "'sad'"]),
    "a_pair": ("public.pair", ["row(1, 'x,y')", "row(null, null)"]),
    "positive": ("public.positive", ["5"]),
}
COLUMNS = ", ".join(f'"{name}" {type_}' for name, (type_, _) in TYPES.items())
TABLES = f"""
create type public.mood as enum ('sad', 'so so', 'happy');
create type public.pair as (a integer, b text);
create domain public.positive as integer check (value > 0);
create table public.every_type (
  id bigint generated always as identity primary key, {COLUMNS}, doubled integer generated always as (a_small * 2) stored,
  "odd \"\"name\"\"" text);
create table public.two_keys (a integer, b text, note text, primary key (a, b)) partition by list (a);
create table public.two_keys_1 partition of public.two_keys for values in (1);
create table public.two_keys_2 partition of public.two_keys for values in (2, 3, 4, 5, 6, 7, 8, 9, 10);
insert into public.two_keys select 1 + g % 2, 'k' || g, 'note ' || g from generate_series(1, 20) g;
create table public.keyless (a integer, b text);
insert into public.keyless values (1, 'x'), (1, 'x');
create table public.parents (id integer primary key, name text, changed timestamptz);
create table public.children (id integer primary key, parent integer references public.parents on delete cascade);
insert into public.parents select g, 'parent ' || g from generate_series(1, 5) g;
insert into public.children select g, 1 from generate_series(1, 3) g;
"""


def fill(conn: psycopg.Connection) -> None:
    conn.execute(TABLES)
    chance = random.Random(3)
    for _ in range(12):
        picked = {name: chance.choice(values) for name, (_, values) in TYPES.items() if chance.random() < 0.8}
        names = ", ".join(f'"{name}"' for name in picked)
        conn.execute(f"insert into public.every_type ({names}) values ({', '.join(picked.values())})")


@pytest.fixture(scope="module", params=["shared", "apart"])
def app(request: pytest.FixtureRequest, cluster: Cluster) -> Settings:
    template = cluster.template("undo", fill)
    return cluster.database(template, apart=request.param == "apart")


@pytest.fixture
async def runtime(app: Settings) -> AsyncIterator[Runtime]:
    async with running(app) as runtime:
        yield runtime


def query(runtime: Runtime, sql: str) -> list[tuple]:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        cursor = conn.execute(sql)
        return cursor.fetchall() if cursor.description else []


def contents(runtime: Runtime) -> list[tuple]:
    tables = ("every_type", "two_keys", "parents")
    return [query(runtime, f"select concat(t.*) from public.{table} t order by 1") for table in tables]


async def approve(result: ToolResult) -> ToolResult:
    assert result["status"] == "waiting", result
    await human_approval_queue.decide(result["approval_id"], "approve")
    return await safe_executor.run_approved(result["approval_id"])


async def change(sql: str) -> int:
    done = await approve(await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))
    assert done["success"], done.get("error")
    return done["execution_id"]


def generated(chance: random.Random) -> str:
    """A change of a random form, of random columns to random values."""
    names = chance.sample(sorted(TYPES), chance.randint(1, 6))
    values = {name: chance.choice([*TYPES[name][1], "NULL"]) for name in names}
    rows = ", ".join(str(chance.randint(1, 14)) for _ in range(chance.randint(1, 4)))
    listed, written = ", ".join(f'"{name}"' for name in names), ", ".join(values.values())
    return chance.choice([
        f"UPDATE every_type SET {', '.join(f'{chr(34)}{name}{chr(34)} = {value}' for name, value in values.items())} WHERE id IN ({rows})",
        f"DELETE FROM every_type WHERE id IN ({rows})",
        f"INSERT INTO every_type ({listed}) VALUES ({written}), ({written})",
        f"UPDATE two_keys SET a = a + 2, note = note || 'x' WHERE a = 1 AND b < 'k{chance.randint(1, 9)}'",
        f"DELETE FROM two_keys WHERE b LIKE 'k{chance.randint(1, 9)}%'",
        f"INSERT INTO two_keys VALUES (9, 'new {chance.random()}', NULL)",
        f"UPDATE every_type AS e SET \"odd \"\"name\"\"\" = p.name FROM parents p WHERE p.id = e.id AND e.id < {chance.randint(2, 6)}",
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
async def test_a_generated_change_that_is_undone_leaves_every_row_as_it_was(runtime: Runtime, seed: int) -> None:
    chance = random.Random(seed)
    undone = 0
    for _ in range(4):
        before = contents(runtime)
        sql = generated(chance)
        number = await change(sql)
        if contents(runtime) == before:
            continue
        result = await safe_executor.undo(number, wait=False)
        assert result["status"] == "waiting", (sql, result)
        result = await approve(result)
        assert result["success"], (sql, result)
        assert contents(runtime) == before, sql
        undone += 1
    assert undone > 1


async def test_what_was_undone_can_be_done_again_by_undoing_that(runtime: Runtime) -> None:
    number = await change("UPDATE parents SET name = 'other' WHERE id IN (2, 3)")
    changed = contents(runtime)
    back = (await approve(await safe_executor.undo(number, wait=False)))["execution_id"]
    assert contents(runtime) != changed
    refused = await safe_executor.undo(number, wait=False)
    assert f"was undone already, by execution {back}" in refused["error"]
    again = (await approve(await safe_executor.undo(back, wait=False)))["execution_id"]
    assert contents(runtime) == changed
    await approve(await safe_executor.undo(again, wait=False))


async def test_nothing_is_undone_where_a_row_has_changed_since(runtime: Runtime) -> None:
    number = await change("UPDATE parents SET name = 'x' WHERE id IN (2, 3, 4)")
    waiting = await safe_executor.undo(number, wait=False)
    query(runtime, "update public.parents set changed = now() where id = 3")
    now = contents(runtime)
    late = await approve(waiting)
    assert (late["success"], "no longer" in late["error"] or "would now" in late["error"]) == (False, True)
    refused = await safe_executor.undo(number, wait=False)
    assert (refused["status"], "of its 3 rows, 1 are not" in refused["error"]) == ("refused", True)
    assert contents(runtime) == now
    query(runtime, "update public.parents set name = 'parent ' || id, changed = null")


async def test_the_statement_itself_changes_all_of_the_rows_or_none(runtime: Runtime) -> None:
    number = await change("UPDATE parents SET name = 'y' WHERE id IN (2, 3, 4)")
    sql = await undo.statement(undo.UndoChange(execution_id=number), runtime)
    query(runtime, "update public.parents set changed = now() where id = 3")
    query(runtime, sql)
    assert query(runtime, "select count(*) from public.parents where name = 'y'") == [(3,)]
    query(runtime, "update public.parents set changed = null where id = 3")
    query(runtime, sql)
    assert query(runtime, "select count(*) from public.parents where name = 'y'") == [(0,)]
    refused = await safe_executor.undo(number, wait=False)
    assert refused["status"] == "refused"


async def test_what_cascades_did_is_said_and_not_undone(runtime: Runtime) -> None:
    number = await change("DELETE FROM parents WHERE id = 1")
    result = await safe_executor.undo(number, wait=False)
    shown = (await human_approval_queue.get(result["approval_id"])).preview_json["sql"]
    assert "-- Not undone: public.children 3 deleted" in shown
    assert (await approve(result))["success"]
    assert query(runtime, "select count(*) from public.parents where id = 1") == [(1,)]
    assert query(runtime, "select count(*) from public.children") == [(0,)]
    query(runtime, "insert into public.children select g, 1 from generate_series(1, 3) g")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE keyless SET b = 'y'", "no primary key"),
        ("CREATE TABLE public.made (a int)", "only those of INSERT"),
        ("MERGE INTO parents p USING (VALUES (2)) v(id) ON p.id = v.id WHEN MATCHED THEN UPDATE SET name = 'm'", "only those"),
        ("UPDATE parents SET name = name WHERE id = 2", "no value"),
        ("UPDATE parents SET name = 'z' WHERE id = 99", "changed no rows"),
    ],
)  # fmt: skip
async def test_what_cannot_be_undone_says_why(runtime: Runtime, sql: str, why: str) -> None:
    if sql.startswith("CREATE"):
        query(runtime, "grant create on schema public to agent_actor")
    number = await change(sql)
    refused = await safe_executor.undo(number, wait=False)
    assert (refused["status"], why in refused["error"]) == ("refused", True), refused
    query(runtime, "drop table if exists public.made; update public.parents set name = 'parent 2' where id = 2")


async def test_images_are_kept_for_a_time_up_to_a_size_and_can_be_deleted(runtime: Runtime) -> None:
    from dataclasses import replace

    def limited(**settings: object) -> Runtime:
        return replace(runtime, settings=runtime.settings.model_copy(update=settings))

    with use_runtime(limited(undo_max_bytes=10)):
        large = await change("UPDATE parents SET name = 'large' WHERE id IN (2, 3)")
    assert "more than 10 bytes" in (await safe_executor.undo(large, wait=False))["error"]
    with use_runtime(limited(undo_days=0)):
        unkept = await change("UPDATE parents SET name = 'unkept' WHERE id IN (2, 3)")
    assert "not kept" in (await safe_executor.undo(unkept, wait=False))["error"]
    kept = await change("UPDATE parents SET name = 'kept' WHERE id IN (2, 3)")
    with use_runtime(limited(undo_days=1e-10)):
        assert "it is older" in (await safe_executor.undo(kept, wait=False))["error"]
    with use_runtime(limited(undo_days=0)):
        assert "AGENT_UNDO_DAYS is 0" in (await safe_executor.undo(kept, wait=False))["error"]
    assert await undo.forget(kept) == 1
    assert "executions forget" in (await safe_executor.undo(kept, wait=False))["error"]
    assert await undo.forget() > 0
    assert await undo.forget() == 0
    query(runtime, "update public.parents set name = 'parent ' || id")


async def test_who_undoes_names_an_execution_of_this_tenant(runtime: Runtime) -> None:
    number = await change("UPDATE parents SET name = 'mine' WHERE id = 5")
    other = runtime.for_tenant("somebody else")
    for wrong in (number, 10**9):
        with pytest.raises(NotFound):
            await undo.statement(undo.UndoChange(execution_id=wrong), other)
    done = await approve(await safe_executor.undo(number, wait=False))
    assert "sql" not in done or not done["sql"]  # the rows that it restores are not for the model
    assert (await executions.get(done["execution_id"])).status == "succeeded"
