"""What our own SQL names is the system's, whatever an application has created: an owner of schema public runs nothing by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.cases.shadows import LOG_TREES, calls_in, cast_shadows, named, traces

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.chat import chat
from agent.db import migrations, setup
from agent.errors import ConfigurationError, SetupRequired
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.learning.memory import NewMemory, agent_memory
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime
from agent.settings import Settings
from agent.statements.trusted_functions import trusted_functions
from agent.status import check_status
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import LOGINS

APPLICATION = """
create table public.clients (id integer primary key, name text not null, status text not null);
create table public.orders (id integer primary key, client_id integer not null references public.clients on delete cascade,
  total numeric not null, placed timestamptz not null);
create index orders_placed on public.orders (placed);
create view public.client_names as select id, name from public.clients;
create function public.noted() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger noted after update on public.clients for each row execute function public.noted();
create function public.one() returns integer language sql immutable return 1;
insert into public.clients values (1, 'Ada', 'new'), (2, 'Bob', 'new'), (3, 'Cy', 'new');
insert into public.orders values (1, 1, 10, '2026-01-01Z'), (2, 1, 20, '2026-01-02Z'), (3, 2, 30, '2026-01-03Z');
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A server whose log is read."""
    cluster = Cluster()
    yield cluster
    cluster.close()


def log_of(server: Cluster) -> Path:
    return server.home / "postgres" / "log"


async def approve(result: dict, runtime: Runtime, **grant: object) -> dict:
    if result["status"] != "waiting":
        return result
    await safe_executor.decide(result["approval_id"], "approve", runtime=runtime, **grant)
    return await safe_executor.run_approved(result["approval_id"], runtime=runtime)


async def run(sql: str, runtime: Runtime, **grant: object) -> dict:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    done = await approve(result, runtime, **grant)
    assert done["status"] in {"succeeded"}, done
    return done


async def everything(settings: Settings, *, migrated: Callable[[], object] = lambda: None) -> None:
    """All that the product does with a database; `migrated` is called when our tables are there."""
    url = settings.database_url.get_secret_value()
    migrations.migrate(url)
    migrated()
    setup.set_up(settings)
    setup.set_up(settings)
    migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(setup.script_for(settings).encode())
    async with running(settings) as runtime:
        assert (await check_status(settings)).usable
        await auto_discovery.discover_app_structure(runtime=runtime)
        await auto_discovery.refresh_if_changed(runtime=runtime)
        rows = await run("SELECT id, name FROM client_names WHERE id = 1", runtime)
        assert rows["rows"] == [[1, "Ada"]]
        await run("EXPLAIN SELECT id FROM clients", runtime)
        await run("SHOW search_path", runtime)
        await trusted_functions.trust("one", runtime=runtime)
        assert (await run("SELECT one()", runtime))["rows"] == [[1]]
        changed = await run("UPDATE clients SET status = 'old' WHERE id = 2", runtime, always=Always(seconds=3600))
        await run("UPDATE clients SET status = 'old' WHERE id = 2", runtime)
        await run("DELETE FROM clients WHERE id = 1", runtime)
        await run("INSERT INTO clients VALUES (9, 'Di', 'new')", runtime)
        await approve(await safe_executor.undo(changed["execution_id"], wait=False, runtime=runtime), runtime)
        await approve(
            await safe_executor.execute(
                "update_client_status", {"client_name": "Bob", "status": "new"}, wait=False, runtime=runtime
            ),
            runtime,
        )
        await run("VACUUM orders", runtime) if settings.actor_rights == "schema" else None
        await run("TRUNCATE orders", runtime)
        asked = await safe_executor.execute(
            "execute_sql", {"sql": "DROP TABLE clients CASCADE"}, wait=False, runtime=runtime
        )
        assert asked["status"] in {"waiting", "refused"}, asked  # refused where its right is missing
        await agent_memory.save_many(
            [NewMemory(content=f"Client {n} likes colour {n * 7}") for n in range(130)], runtime=runtime
        )
        found = await semantic_search.search_memories("Which colour does client 7 like?", runtime=runtime)
        assert found
        await agent_memory.forget(found[0].id, runtime=runtime)
        await agent_memory.counts(runtime=runtime)
        assert (await chat.answer("Hello!", thread_id="t", runtime=runtime)).status == "done"
        assert (await chat.answer("How many orders are there?", thread_id="t", runtime=runtime)).status == "done"
        await human_approval_queue.get_pending_approvals(runtime=runtime)
        await audit_log.seal(runtime=runtime)
        assert (await audit_log.verify(runtime=runtime)).whole
        await audit_log.export(runtime=runtime)


@pytest.fixture(scope="module")
def understood(server: Cluster) -> set:
    """What our SQL calls, as the server understood it in a database without shadows."""
    url = server.empty_database()
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(APPLICATION)
        for setting in LOG_TREES:
            conn.execute(f"alter database {name} set {setting}")
    asyncio.run(everything(server.settings(name, actor_rights="schema")))
    with psycopg.connect(url, autocommit=True) as conn:
        return named(calls_in(log_of(server)), conn)


@pytest.mark.parametrize("place", ["public", "extensions"])
async def test_no_shadow_runs_and_nothing_fails_for_one(server: Cluster, understood: set, place: str) -> None:
    url = server.empty_database()
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"create schema if not exists {place}; create extension vector with schema {place}")
        conn.execute(APPLICATION)
        made = sum(cast_shadows(understood, schema, conn) for schema in {"public", place})
        start = len(log_of(server).read_text(errors="replace"))
        try:
            await everything(
                server.settings(name, actor_rights="schema"), migrated=lambda: cast_shadows(understood, "public", conn)
            )
        finally:
            ran = traces(log_of(server), start)
            print(f"\n{made} shadows, {len(ran)} ran: {ran}")
    assert made > 200
    assert ran == []


OWNER = """
grant all on schema public to shadow_owner;
set role shadow_owner;
create table public.spoils (said text);
create function public.nothing(text[], text) returns text[] language sql immutable return '{}'::text[];
create aggregate public.array_agg(text) (sfunc = public.nothing, stype = text[], initcond = '{}');
create function public.sneaky() returns integer language plpgsql security definer as
  $$ begin insert into public.spoils values ('sneaky'); return 1; end $$;
create view public.harmless as select public.sneaky() as one;
create function public.seen(jsonb, jsonb) returns jsonb language plpgsql as
  $$ begin raise log 'a shadow ran: jsonb_agg as %', current_user; return coalesce($1, '[]'); end $$;
create aggregate public.jsonb_agg(jsonb) (sfunc = public.seen, stype = jsonb);
create function public.format(text, text) returns text language plpgsql as
  $$ begin raise log 'a shadow ran: format as %', current_user; return 'alter role shadow_owner superuser'; end $$;
create function public.unnest(name[]) returns setof name language sql immutable as 'select null::name where false';
grant select on public.harmless to public;
reset role;
"""


@pytest.fixture
def owned(server: Cluster) -> Settings:
    """A database whose schema public belongs to a role that is no superuser, and that has prepared itself."""
    url = server.empty_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "do $$ begin if to_regrole('shadow_owner') is null then create role shadow_owner; end if; end $$;" + OWNER
        )
    settings = server.settings(url.partition("@/")[2].partition("?")[0])
    migrations.migrate(url)
    setup.set_up(settings)
    return settings


async def test_an_owner_of_public_neither_hides_code_nor_runs_any_as_somebody_else(
    server: Cluster, owned: Settings
) -> None:
    start = len(log_of(server).read_text(errors="replace"))
    setup.set_up(owned)  # again: what the owner made is there by now
    async with running(owned) as runtime:
        assessment = await safe_executor.assess("execute_sql", {"sql": "SELECT one FROM harmless"}, runtime=runtime)
        plain = await safe_executor.assess("execute_sql", {"sql": "SELECT said FROM spoils"}, runtime=runtime)
        assert (await chat.answer("Hello!", thread_id="t", runtime=runtime)).status == "done"
        assert (await chat.answer("Hello again!", thread_id="t", runtime=runtime)).status == "done"
    assert (assessment.verdict, plain.verdict) == ("ask", "run")
    assert any("sneaky" in reason for reason in assessment.reasons)
    assert traces(log_of(server), start) == []
    with psycopg.connect(owned.database_url.get_secret_value()) as conn:
        assert conn.execute("select rolsuper from pg_roles where rolname = 'shadow_owner'").fetchone() == (False,)
        assert conn.execute("select count(*) from public.spoils").fetchone() == (0,)


def test_every_function_of_ours_has_our_path_or_a_body_without_names(settings: Settings) -> None:
    with psycopg.connect(settings.database_url.get_secret_value()) as conn:
        rows = conn.execute(
            "select oid::regprocedure::text from pg_proc where pronamespace = 'agents'::regnamespace and prosqlbody is null"
            " and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)"
        ).fetchall()
    assert rows == []


async def test_each_session_of_ours_has_our_path_also_after_it_was_wiped(runtime: Runtime) -> None:
    for login in LOGINS:
        for _ in range(3):
            async with runtime.app.connection(login) as conn:
                row = await (await conn.execute("SELECT pg_catalog.current_schemas(true) AS path")).fetchone()
                assert [name for name in row["path"] if not name.startswith("pg_temp")] in (
                    ["pg_catalog"], ["pg_catalog", "agents", "agents_checkpoints"],
                ), login  # fmt: skip
    assert (await runtime.app.facts("agent_reader")).search_path == ("public",)


def test_migrations_that_were_run_by_hand_are_recorded_and_half_of_one_is_not_gone_on_from(cluster: Cluster) -> None:
    every = migrations.all_migrations()
    url, half = cluster.empty_database(), cluster.empty_database()
    with psycopg.connect(url, autocommit=True) as conn:
        for migration in every:
            conn.execute(migration.text.encode())
        conn.execute("set search_path = pg_catalog")
        before = {one.version for one in migrations.pending_migrations(conn)}
    assert "20250101000000" not in before
    assert set(migrations.migrate(url)) == before
    assert migrations.migrate(url) == []
    with psycopg.connect(half, autocommit=True) as conn:
        conn.execute("create schema agents; create table agents.agent_memory (id int)")
    with pytest.raises(ConfigurationError, match="only a part of it is there"):
        migrations.migrate(half)


def test_a_schema_of_ours_that_somebody_else_made_is_refused(cluster: Cluster) -> None:
    url = cluster.empty_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("do $$ begin if to_regrole('schema_taker') is null then create role schema_taker; end if; end $$")
        conn.execute("create schema agents authorization schema_taker")
    with pytest.raises(SetupRequired, match="'schema_taker' may create objects"):
        migrations.migrate(url)


def test_the_printed_script_fits_the_embedded_database(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")
    script = setup.script_for(settings)
    assert script.startswith("set search_path = pg_catalog, pg_temp;")
    secret = (tmp_path / "home" / "secret").read_text().strip()
    assert script == setup.setup_script(secret, ("public",), bypass_rls=False)
