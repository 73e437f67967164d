"""The database layer: logins, tenants, migrations, and errors that say what to do."""

from __future__ import annotations

import asyncio
import json
import sys

import psycopg
import pytest

from agent.audit.log import audit_log
from agent.db import database, migrations, setup
from agent.db.database import Database
from agent.db.logins import redacted
from agent.errors import ConfigurationError, DatabaseUnavailable, SetupRequired
from agent.execution.controls import controls
from agent.runtime import Runtime, current_runtime, open_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import LOGINS


async def test_each_login_is_its_own_session_user(runtime: Runtime) -> None:
    for login in LOGINS:
        async with runtime.app.connection(login) as conn:
            row = await (await conn.execute("select session_user::text as name")).fetchone()
        assert row == {"name": login}


async def test_migrating_twice_applies_nothing_and_records_what_the_supabase_cli_records(
    cluster: Cluster,
) -> None:
    url = cluster.empty_database()
    versions = migrations.migrate(url)
    assert versions[0] == "20250101000000"
    assert migrations.migrate(url) == []
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "select version, name, cardinality(statements) from supabase_migrations.schema_migrations order by 1"
        ).fetchall()
    assert [row[0] for row in rows] == versions
    assert rows[0][1] == "agent_learning_system"
    assert rows[0][2] > 10


def test_a_migration_that_was_changed_after_it_was_applied_is_named(cluster: Cluster) -> None:
    url = cluster.empty_database()
    migrations.migrate(url)
    text = "update supabase_migrations.schema_migrations set statements"
    with psycopg.connect(url, autocommit=True) as conn:
        # Another tool cuts the text in another way: the same migration.
        conn.execute(f"{text} = (select array_agg(trim(s) || ';  -- cut here') from unnest(statements) s)")
        assert migrations.migrate(url) == []
        conn.execute(f"{text} = array_append(statements, 'create table agents.was_here_once ()')")
        with pytest.raises(ConfigurationError, match="unreleased version created the database"):
            migrations.migrate(url)
        conn.execute("alter table supabase_migrations.schema_migrations drop column statements")
    assert migrations.migrate(url) == []


async def test_every_table_of_ours_forces_row_level_security_by_tenant(runtime: Runtime, cluster: Cluster) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        tables = conn.execute(
            "select c.relname, c.relrowsecurity and c.relforcerowsecurity,"
            " exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnotnull)"
            " from pg_class c where c.relnamespace = 'agents'::regnamespace and c.relkind in ('r', 'p')"
        ).fetchall()
    assert len(tables) >= 8
    assert [name for name, forced, tenant in tables if not (forced and tenant)] == []


async def test_a_transaction_sees_its_tenant_only_and_none_without_one(runtime: Runtime) -> None:
    other = runtime.for_tenant("other")
    async with other.transaction() as conn:
        await conn.execute("insert into agents.threads (thread_id, database_id) values ('t', 'd')")
    async with runtime.transaction() as conn:
        assert await (await conn.execute("select * from agents.threads")).fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(
                "insert into agents.threads (tenant_id, thread_id, database_id) values ('other', 'u', 'd')"
            )
    async with runtime.db.connection("agent_app") as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant"):
            await conn.execute("select * from agents.threads")


async def test_what_goes_on_after_the_end_opens_nothing(settings: Settings) -> None:
    async with running(settings) as runtime:
        opening = asyncio.create_task(runtime.app.facts("agent_reader"))
        await asyncio.sleep(0)  # it has begun
    await opening
    for login in LOGINS:
        with pytest.raises(DatabaseUnavailable, match="open a new runtime"):
            async with runtime.app.connection(login):
                pass
    with psycopg.connect(settings.database_url.get_secret_value()) as conn:
        others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        for _ in range(100):  # a closed connection's server process takes a moment to end
            if (left := conn.execute(others).fetchone()) == (0,):
                break
            conn.commit()
            await asyncio.sleep(0.05)
    assert left == (0,)


async def test_a_current_runtime_that_was_closed_is_opened_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("DATABASE_URL", settings.database_url), ("AGENT_SECRET", settings.secret)):
        monkeypatch.setenv(name, value.get_secret_value())
    monkeypatch.setenv("AGENT_HOME", str(settings.home))
    first = await current_runtime()
    assert await current_runtime() is first
    await first.close()
    assert (await controls.state()).stopped is False
    await (await current_runtime()).close()


# Ends without closing the runtime, while a pool is being filled.
CARELESS = """
import asyncio, json, sys
import psycopg
from agent.execution.controls import controls
from agent.runtime import open_runtime
from agent.settings import Settings
connect = psycopg.AsyncConnection.connect.__func__
async def slowly(cls, *args, **kwargs):
    if filling.is_set():
        await asyncio.sleep(0.5)
    return await connect(cls, *args, **kwargs)
psycopg.AsyncConnection.connect = classmethod(slowly)
filling = asyncio.Event()
async def use(runtime):
    async with runtime.connection() as conn:
        await conn.execute("select pg_sleep(0.1)")
async def main():
    runtime = await open_runtime(Settings(_env_file=None, **json.loads(sys.argv[1])))
    await controls.stop("why", runtime=runtime)
    filling.set()
    await asyncio.gather(*(use(runtime) for _ in range(3)))
asyncio.run(main())
print("ended")
"""


async def test_a_program_that_ends_while_a_pool_is_being_filled_ends(settings: Settings) -> None:
    values = {name: getattr(settings, name).get_secret_value() for name in ("database_url", "secret")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CARELESS,
        json.dumps({"home": str(settings.home), **values}),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert said == b"ended\n"
    async with running(settings):
        assert [entry.sequence for entry in await audit_log.recent()] == [1]  # sealed on the way out


async def test_a_transaction_of_ours_that_stands_still_gives_its_locks_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MAX_IDLE_MS", 200)

    async def stand_still() -> None:
        async with runtime.transaction() as conn:
            await conn.execute("select 1 from agents.controls for update")
            with psycopg.connect(settings.database_url.get_secret_value()) as other:  # the event loop waits too
                other.execute("lock table agents.controls in access exclusive mode")
            await conn.execute("select 1")

    async with running(settings) as runtime:
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            await stand_still()
        assert (await controls.state()).stopped is False


@pytest.mark.parametrize("login", ["agent_reader", "agent_assessor", "agent_actor"])
async def test_the_other_logins_read_nothing_of_ours(runtime: Runtime, login: str) -> None:
    async with runtime.db.connection(login) as conn:
        await conn.execute("select set_config('agents.tenant_id', 'default', false)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("select * from agents.agent_memory")


async def test_a_superuser_in_place_of_a_login_is_refused(cluster: Cluster, runtime: Runtime) -> None:
    database = Database(lambda login: runtime.settings.database_url.get_secret_value())
    with pytest.raises(ConfigurationError, match="superuser"):
        await database.facts("agent_app")


async def test_no_server_is_reported_with_the_address_and_without_the_password() -> None:
    database = Database(lambda login: "postgresql://someone:hunter2@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1") as caught:
        await database.facts()
    assert "hunter2" not in str(caught.value)


async def test_a_wrong_password_says_to_check_the_secret(runtime: Runtime) -> None:
    settings = runtime.settings.model_copy(update={"secret": type(runtime.settings.secret)("another")})
    with pytest.raises(ConfigurationError, match="agent setup"):
        await open_runtime(settings)


async def test_a_database_without_migrations_says_to_migrate(cluster: Cluster) -> None:
    url = cluster.empty_database()
    setup.setup_logins(url, cluster.settings("x").secret.get_secret_value())
    runtime = await open_runtime(cluster.settings(url.partition("@/")[2].partition("?")[0]))
    try:
        with pytest.raises(SetupRequired, match="agent migrate"):
            async with runtime.transaction() as conn:
                await conn.execute("select * from agents.threads")
    finally:
        await runtime.close()


async def test_the_transaction_pooler_is_refused() -> None:
    database = Database(lambda login: "postgresql://u:p@db.abc.pooler.supabase.com:6543/postgres")
    with pytest.raises(ConfigurationError, match="5432"):
        await database.facts()


def test_a_redacted_address_has_no_password() -> None:
    assert redacted("postgresql://u:secret@h:1/d") == "postgresql://u@h:1/d"


def test_setting_up_grants_what_other_roles_own_now_and_create_later(cluster: Cluster) -> None:
    url, secret = cluster.empty_database(), cluster.settings("x").secret.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("drop role if exists shop_owner")
        conn.execute("create role shop_owner")
        conn.execute("grant create, usage on schema public to shop_owner")
        conn.execute("set role shop_owner")
        conn.execute("create table goods (id serial primary key)")
        conn.execute("reset role")
        setup.setup_logins(url, secret)
        conn.execute("set role shop_owner")
        conn.execute("create table later (id serial primary key)")
        for table in ("goods", "later"):
            assert _may(conn, "agent_reader", table, "select")
            assert not _may(conn, "agent_reader", table, "update")
            assert _may(conn, "agent_actor", table, "insert")
        conn.execute("reset role")
        conn.execute("drop owned by shop_owner")
        conn.execute("drop role shop_owner")


def test_bypassing_row_security_is_taken_back_with_the_setting(cluster: Cluster) -> None:
    url, secret = cluster.empty_database(), cluster.settings("x").secret.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        for wanted in (True, False):
            setup.setup_logins(url, secret, bypass_rls=wanted)
            row = conn.execute("select rolbypassrls from pg_roles where rolname = 'agent_reader'").fetchone()
            assert row == (wanted,)


def _may(conn: psycopg.Connection, login: str, table: str, right: str) -> bool:
    row = conn.execute("select has_table_privilege(%s, %s, %s)", [login, table, right]).fetchone()
    return row == (True,)
