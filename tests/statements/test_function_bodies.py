"""Functions that tell who asks do not make a read ask, whoever made them; what only looks like one does."""

from __future__ import annotations

import psycopg
import pytest

from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.settings import Settings

UID = "nullif(current_setting('request.jwt.claim.sub', true), '')::uuid"
CLAIMS = "nullif(current_setting('request.jwt.claims', true), '')::jsonb"
SETUP = f"""
create schema auth;
create function auth.uid() returns uuid language sql stable as $$ select coalesce({UID}, ({CLAIMS} ->> 'sub')::uuid) $$;
create function auth.jwt() returns jsonb language sql stable as $$ select {CLAIMS} $$;
create schema storage;
create function storage.foldername(name text) returns text[] language plpgsql as $$
declare _parts text[];
begin
  select string_to_array(name, '/') into _parts; -- the words count, not how they stand
  return _parts[1:array_length(_parts,1)-1];
end $$;
create table todos (id int primary key, owner uuid, path text);
alter table todos enable row level security;
grant usage on schema auth, storage to agent_assessor, agent_reader, agent_actor;
"""


def run(settings: Settings, *statements: str) -> None:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())
    setup.set_up(settings)


def policy(expression: str) -> str:
    return f"create policy own on todos using ({expression})"


async def verdict(runtime: Runtime, sql: str = "select count(*) from todos") -> str:
    return (await safe_executor.assess("execute_sql", {"sql": sql}, runtime=runtime)).verdict


HARMLESS = [
    policy("auth.uid() = owner"),
    policy("(select auth.uid()) = owner"),
    policy("(auth.jwt() ->> 'sub')::uuid = owner"),
    policy("(storage.foldername(path))[1] = auth.uid()::text"),
    "create function mine(who uuid) returns boolean language sql as $$ select who = auth.uid() $$;" + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language sql set search_path = '' as $$ select who = auth.uid() $$;"
    + policy("mine(owner)"),
    f"create function mine(who uuid) returns boolean language sql return who = {UID};" + policy("mine(owner)"),
    "create function me() returns text language sql as $$ select current_setting('app.user', true) $$;"
    + policy("owner::text = me()"),
    f"create view v as select {UID} is null or auth.uid() is null as nobody, * from todos;" + policy("true"),
]  # fmt: skip
NOT_KNOWN = [
    "create function mine(who uuid) returns boolean language sql security definer as $$ select who = auth.uid() $$;"
    + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language plpgsql as $$ begin return who = auth.uid(); end $$;"
    + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language sql as $$ select exists (select from todos where owner = who) $$;"
    + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language sql set work_mem = '1GB' as $$ select who = auth.uid() $$;"
    + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language sql as $$ select who = auth.uid(); select true $$;"
    + policy("mine(owner)"),
    "create function mine(who uuid) returns boolean language sql as $$ select pg_notify('c', '') is null or who = auth.uid() $$;"
    + policy("mine(owner)"),
    # A shadow of what the body names: by the types of its arguments it fits better than the server's own.
    "create function public.wrote(jsonb, jsonb) returns text language plpgsql as $$ begin return 'x'; end $$;"
    "create operator public.->> (leftarg = jsonb, rightarg = jsonb, function = public.wrote);" + policy("auth.uid() = owner"),
    "create function public.array_length(text[], int) returns int language plpgsql as $$ begin return 1; end $$;"
    + policy("(storage.foldername(path))[1] = 'a'"),
    "create or replace function storage.foldername(name text) returns text[] language plpgsql as $$ declare _parts text[]; begin"
    " perform pg_notify('c', ''); select string_to_array(name, '/') into _parts; return _parts[1:array_length(_parts,1)-1]; end $$;"
    + policy("(storage.foldername(path))[1] = 'a'"),
]  # fmt: skip


@pytest.mark.parametrize("statements", HARMLESS)
async def test_a_policy_that_asks_who_asks_does_not_ask_a_human(
    settings: Settings, runtime: Runtime, statements: str
) -> None:
    run(settings, SETUP, statements)
    assert await verdict(runtime) == "run"
    result = await safe_executor.execute("execute_sql", {"sql": "select count(*) from todos"}, runtime=runtime)
    assert result["rows"] == [[0]]


@pytest.mark.parametrize("statements", NOT_KNOWN)
async def test_what_only_looks_like_such_a_function_asks(settings: Settings, runtime: Runtime, statements: str) -> None:
    run(settings, SETUP, statements)
    assert await verdict(runtime) == "ask"


async def test_outside_of_policies_only_what_tells_who_asks_is_let_run(settings: Settings, runtime: Runtime) -> None:
    run(
        settings, SETUP,
        "create view who as select auth.uid() as id; create view folders as select storage.foldername(path) from todos;"
        "create function two() returns int language sql as $$ select 2 $$; create view twos as select two();"
        "create function key() returns text language sql as $$ select current_setting('app.jwt_secret', true) $$;"
        "create view keys as select key()",
    )  # fmt: skip
    for sql in ("select * from who", "select auth.uid(), auth.jwt() ->> 'sub'", "select * from folders"):
        assert await verdict(runtime, sql) == "run", sql
    for sql in ("select * from twos", "select two()", "select key()", "select * from keys"):
        assert await verdict(runtime, sql) == "ask", sql
    assert await verdict(runtime, "select set_config('request.jwt.claims', '{}', true), auth.uid()") == "refuse"


async def test_a_changed_body_is_judged_anew(settings: Settings, runtime: Runtime) -> None:
    run(settings, SETUP, policy("auth.uid() = owner"))
    assert await verdict(runtime) == "run"
    run(
        settings,
        "create or replace function auth.uid() returns uuid language sql as $$ select gen_random_uuid() from todos $$",
    )
    assert await verdict(runtime) == "ask"
    run(settings, f"create or replace function auth.uid() returns uuid language sql as $$ select {UID} $$")
    assert await verdict(runtime) == "run"


async def test_a_policy_for_others_does_not_ask(settings: Settings, runtime: Runtime) -> None:
    check = (
        "create function allowed() returns boolean language plpgsql security definer as $$ begin return true; end $$"
    )
    run(
        settings,
        SETUP,
        "create role others_of_todos",
        check,
        "create policy p on todos to others_of_todos using (allowed())",
    )
    assert await verdict(runtime) == "run"
    # As the owner of a view it may run all the same.
    run(settings, "create view shown as select * from todos", "grant all on schema public to others_of_todos",
        "grant select on todos to others_of_todos", "alter view shown owner to others_of_todos")  # fmt: skip
    assert await verdict(runtime, "select * from shown") == "ask"
    run(settings, "drop view shown", "grant others_of_todos to agent_reader with inherit true")
    assert await verdict(runtime) == "ask"
    run(settings, "revoke others_of_todos from agent_reader")
    assert await verdict(runtime) == "run"
