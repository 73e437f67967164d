"""What was approved without being tried is bound to the code that it may run: replaced after the yes, it is not executed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import ToolResult

TABLES = """
create table public.items (id int primary key, note text);
insert into public.items select n, 'kept' from generate_series(1, 5) n;
create table public.jobs (id int, what text);
create function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items where id = $1; return 1; end $$;
create function public.addtax(int) returns int language plpgsql as $$ begin update public.items set note = 'taxed' where id = $1; return 1; end $$;
create function public.addtax(text) returns int language sql as 'select 1';
create function public.outer_one(int) returns int language plpgsql as $$ begin return public.inner_one($1); end $$;
create function public.by_name(text, int) returns int language plpgsql as $$ declare n int; begin execute 'select ' || $1 || '($1)' into n using $2; return n; end $$;
create function public.in_pieces(int) returns int language plpgsql as $$ declare f text := 'inner_one'; begin execute format('select %I($1)', f) using $1; return 1; end $$;
create function public.atomic_one(int) returns int begin atomic select public.by_name('inner_one', $1); end;
create procedure public.tidy(int) language plpgsql as $$ begin perform public.inner_one($1); end $$;
create view public.shown as select public.inner_one(2) as one;
create function public.noted() returns trigger language plpgsql as $$ begin perform public.by_name(tg_argv[0], 99); return new; end $$;
create function public.told(int) returns int language sql as 'select 0';
create trigger noted after insert on public.jobs for each row execute function public.noted('told');
create function public.files(text) returns int language plpgsql as $$ begin insert into public.jobs values (1, $1); return 1; end $$;
create function public.weigh(int) returns int immutable language plpgsql as $$ begin return $1; end $$;
create function public.equals(int, int) returns boolean language plpgsql as $$ begin return $1 = $2; end $$;
create operator public.=== (leftarg = int, rightarg = int, function = public.equals);
create function public.positive(int) returns boolean language plpgsql as $$ begin return $1 > 0; end $$;
create domain public.amount as int check (public.positive(value));
create function public.unrelated() returns int language sql as 'select 1';
create sequence public.bump;
grant all on all sequences in schema public to public;
"""
CASES = {
    "SELECT addtax(1)": "create or replace function public.addtax(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "SELECT outer_one(1)": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "SELECT by_name('inner_one', 1)": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "SELECT in_pieces(1)": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "SELECT atomic_one(1)": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "CALL tidy(1)": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "CALL public.tidy(2)": "create or replace procedure public.tidy(int) language plpgsql as $$ begin delete from public.items; end $$",
    "CREATE TABLE t1 AS SELECT * FROM shown": "create or replace function public.inner_one(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "CREATE TABLE t2 AS SELECT one + 1 AS x FROM shown": "create or replace view public.shown as select public.inner_one(3) as one",
    "SELECT files('x')": "create or replace function public.told(int) returns int language plpgsql as $$ begin delete from public.items; return 1; end $$",
    "SELECT files('y')": "create or replace trigger noted after insert on public.jobs for each row execute function public.noted('inner_one')",
    "SELECT files('z')": "create rule more as on insert to public.jobs do also delete from public.items",
    "SELECT files('w')": "alter table public.jobs add check (public.weigh(id) > 0)",
    "UPDATE items SET note = addtax(id)::text WHERE id = 1": "create or replace function public.addtax(int) returns int language sql as 'delete from public.items; select 1'",
    "DELETE FROM items WHERE id === 1": "create or replace function public.equals(int, int) returns boolean language plpgsql as $$ begin return true; end $$",
    "SELECT nextval('bump'), 5::amount": "create or replace function public.positive(int) returns boolean language plpgsql as $$ begin delete from public.items; return true; end $$",
    "CREATE INDEX CONCURRENTLY ON items (weigh(id))": "create or replace function public.weigh(int) returns int immutable language plpgsql as $$ begin delete from public.items; return 1; end $$",
}


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("untried_code", lambda conn: conn.execute(TABLES))
    async with running(cluster.database(template, actor_rights="schema")) as runtime:
        yield runtime


def _as_owner(runtime: Runtime, sql: str) -> list[tuple[object, ...]]:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        found = conn.execute(sql)
        return found.fetchall() if found.description else []


async def _approved(sql: str) -> int:
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert asked["status"] == "waiting", (sql, asked)
    await human_approval_queue.decide(asked["approval_id"], "approve")
    return int(asked["approval_id"])


@pytest.mark.parametrize("sql", CASES)
async def test_code_that_was_replaced_after_the_yes_is_not_run(store: Runtime, sql: str) -> None:
    number = await _approved(sql)
    _as_owner(store, CASES[sql])
    result: ToolResult = await safe_executor.run_approved(number)
    assert result["success"] is False, result
    assert "no longer what was approved" in result["error"] or "was given before this was known" in result["error"]
    assert _as_owner(store, "select count(*) from public.items where note = 'kept'") == [(5,)]
    if "no longer" in result["error"]:
        again = await human_approval_queue.get(result["data"]["asked_again_as"])
        assert again.status == "pending"


async def test_code_that_was_replaced_and_put_back_is_asked_about_again(store: Runtime) -> None:
    number = await _approved("SELECT addtax(1)")
    text = str(_as_owner(store, "select pg_get_functiondef('public.addtax(int)'::regprocedure)")[0][0])
    _as_owner(store, CASES["SELECT addtax(1)"])
    _as_owner(store, text)
    assert "asked_again_as" in (await safe_executor.run_approved(number))["data"]


async def test_what_is_as_it_was_approved_is_done(store: Runtime) -> None:
    number = await _approved("SELECT addtax(1)")
    _as_owner(store, "create or replace function public.unrelated() returns int language sql as 'select 2'")
    _as_owner(store, "analyze public.items; update public.items set note = 'kept' where id = 5")
    result = await safe_executor.run_approved(number)
    assert result["success"], result
    assert _as_owner(store, "select note from public.items where id = 1") == [("taxed",)]
