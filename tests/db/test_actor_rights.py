"""What agent_actor may do to tables is the operator's choice, and never reaches the agent's own schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.db import setup
from agent.db.logins import derive_password, login_conninfo
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster

TABLES = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'shop_owner') then create role shop_owner; create role shop_admin createrole; end if;
end $$;
create table public.goods (id int primary key, name text, price int);
insert into public.goods select g, 'good ' || g, g from generate_series(1, 5) g;
create view public.cheap as select * from public.goods where price < 3;
alter table public.goods owner to shop_owner;
alter view public.cheap owner to shop_owner;
create table public.ours (id int primary key);
create table public.admins (id int primary key);
alter table public.admins owner to shop_admin;
"""
CHANGES = (
    "CREATE TABLE public.made (id int)",
    "CREATE INDEX goods_name ON goods (name)",
    "ALTER TABLE goods ADD COLUMN note text",
    "TRUNCATE ours",
    "DROP TABLE goods CASCADE",
)


@dataclass(frozen=True)
class Shop:
    """A database whose tables have owners of several kinds."""

    runtime: Runtime
    url: str
    secret: str

    def give(self, rights: str) -> None:
        setup.setup_logins(self.url, self.secret, actor_rights=rights)

    def as_actor(self) -> psycopg.Connection:
        return psycopg.connect(login_conninfo(self.url, "agent_actor", derive_password(self.secret, "agent_actor")))

    def allowed(self, sql: str) -> bool:
        with self.as_actor() as conn:
            try:
                conn.execute(sql)
            except psycopg.errors.InsufficientPrivilege:
                return False
            finally:
                conn.rollback()
        return True


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server of its own: memberships are the server's."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
async def shop(own_cluster: Cluster) -> AsyncIterator[Shop]:
    settings = own_cluster.database(
        own_cluster.template("shop", lambda conn: conn.execute(TABLES) and None), actor_rights="schema"
    )
    url, secret = settings.database_url.get_secret_value(), settings.secret.get_secret_value()
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        yield Shop(runtime, url, secret)
    await runtime.close()


async def preview_of(sql: str, runtime: Runtime | None = None) -> dict:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    assert result["status"] == "waiting", result
    return {**(await human_approval_queue.get(result["approval_id"])).preview_json, "id": result["approval_id"]}


async def test_tables_are_changed_when_the_operator_chose_so_and_not_after(shop: Shop) -> None:
    assert [shop.allowed(sql) for sql in CHANGES] == [False] * 5
    shop.give("schema")
    assert [shop.allowed(sql) for sql in CHANGES] == [True] * 5
    shop.give("schema")
    shop.give("data")
    assert [shop.allowed(sql) for sql in CHANGES] == [False] * 5
    assert shop.allowed("UPDATE goods SET price = 1")
    with psycopg.connect(shop.url) as conn:
        assert conn.execute(
            "select rolinherit, (select count(*) from pg_auth_members where member = r.oid) from pg_roles r where rolname = 'agent_actor'"
        ).fetchone() == (False, 0)


async def test_no_right_reaches_what_is_the_agents_own_or_an_administrators(shop: Shop) -> None:
    shop.give("schema")
    for sql in ("DROP TABLE agents.controls", "TRUNCATE agents.agent_execution_log", "CREATE TABLE agents.x (id int)",
                "SELECT FROM agents.human_approval_queue", "DROP TABLE admins", "ALTER TABLE ours ADD x int", "SET ROLE shop_owner",
                "SET ROLE postgres", "CREATE ROLE x", "ALTER ROLE agent_actor SUPERUSER"):  # fmt: skip
        assert not shop.allowed(sql), sql
    chosen = setup.setup_logins(shop.url, shop.secret, schemas=["public", "agents"], actor_rights="schema")
    assert chosen == ["public"]
    assert not shop.allowed("SELECT FROM agents.human_approval_queue")
    with psycopg.connect(shop.url) as conn:
        flags = "rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication"
        assert not any(conn.execute(f"select {flags} from pg_roles where rolname = 'agent_actor'").fetchone())


async def test_an_approved_change_of_a_table_is_previewed_and_happens(shop: Shop) -> None:
    shop.give("schema")
    for sql, lock in (
        ("ALTER TABLE goods ADD COLUMN note text DEFAULT 'x'", "AccessExclusiveLock"),
        ("CREATE INDEX goods_note ON goods (note)", "ShareLock"),
        ("CREATE TABLE public.made AS SELECT id FROM goods", None),
        ("DROP TABLE goods CASCADE", "AccessExclusiveLock"),
    ):
        preview = await preview_of(sql)
        assert "would fail" not in " ".join(preview["not_previewed"])
        assert lock in {preview["lock"], None}
        await human_approval_queue.decide(preview["id"], "approve")
        result = await safe_executor.run_approved(preview["id"])
        assert result["success"], result
    with psycopg.connect(shop.url) as conn:
        assert conn.execute("select to_regclass('goods'), to_regclass('cheap')").fetchone() == (None, None)
    read = await safe_executor.execute("execute_sql", {"sql": "SELECT count(*) FROM made"})
    assert read["rows"] == [[5]]


@pytest.mark.parametrize(
    ("sql", "goes", "lost", "change"),
    [
        ("DROP TABLE goods CASCADE", ["view cheap"], [5], "insert into goods values (9)"),
        ("DROP TABLE goods CASCADE", ["view cheap"], [5], "create view cheaper as select * from goods"),
        ("TRUNCATE ours", [], [2], "insert into ours values (9)"),
        ("TRUNCATE goods CASCADE", ["the rows of parts"], [5, 3], "insert into parts values (9, 1)"),
    ],
)
async def test_what_goes_with_a_drop_is_named_counted_and_the_same_when_it_happens(
    shop: Shop, sql: str, goes: list[str], lost: list[int], change: str
) -> None:
    with psycopg.connect(shop.url, autocommit=True) as conn:
        conn.execute("insert into ours values (1), (2)")
        if "parts" in str(goes):
            conn.execute("create table parts (id int primary key, good int references goods)")
            conn.execute("insert into parts select g, 1 from generate_series(1, 3) g")
    shop.give("schema")
    assessment = await safe_executor.assess("execute_sql", {"sql": sql})
    assert assessment.risk == "CRITICAL"
    assert all(name in assessment.sentence for name in goes)
    preview = await preview_of(sql)
    assert preview["goes"] == goes
    assert [table["deleted"] for table in preview["tables"]] == lost
    await human_approval_queue.decide(preview["id"], "approve")
    with psycopg.connect(shop.url, autocommit=True) as conn:
        conn.execute(change)
        result = await safe_executor.run_approved(preview["id"])
        assert not result["success"]
        again = await human_approval_queue.successor(preview["id"], runtime=shop.runtime)
        await human_approval_queue.decide(again, "approve")
        result = await safe_executor.run_approved(again)
        assert result["success"], result


async def test_what_goes_with_a_dropped_column_is_told(shop: Shop) -> None:
    with psycopg.connect(shop.url, autocommit=True) as conn:
        conn.execute("create view dear as select id from goods where price > 3; alter view dear owner to shop_owner")
    shop.give("schema")
    preview = await preview_of("ALTER TABLE goods DROP COLUMN price CASCADE")
    told = " ".join(preview["notices"])
    assert "view cheap" in told
    assert "view dear" in told


async def test_what_is_not_allowed_says_who_runs_what(shop: Shop) -> None:
    careful = await open_runtime(shop.runtime.settings.model_copy(update={"actor_rights": "data"}))
    for sql in (
        "DROP TABLE goods CASCADE",
        "CREATE TABLE more (id int)",
        "CREATE TABLE more AS SELECT 1 AS a",
        "CREATE INDEX CONCURRENTLY i ON goods (id)",
        "ALTER TABLE goods ADD COLUMN x int",
    ):
        refused = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=careful)
        assert refused["status"] == "refused", (sql, refused)
        assert "AGENT_ACTOR_RIGHTS=schema" in refused["error"]
    assert await human_approval_queue.get_pending_approvals() == []
    await careful.close()
    shop.give("schema")
    told = (await safe_executor.execute("execute_sql", {"sql": "ALTER TABLE ours ADD COLUMN x int"}, wait=False))[
        "error"
    ]
    assert "ours belongs to 'postgres'" in told
    assert "ALTER TABLE ours OWNER TO" in told
