"""The schema as PostgREST uses it on Supabase: SET ROLE and JWT claims, with row-level security holding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from agent.db import migrations, setup
from agent.demo.application import fill_demo
from agent.learning.memory import agent_memory
from agent.runtime import open_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster

# What a signed-in user may read and call; anything more is a decision, to be taken here too.
READABLE = {
    "agent_execution_log", "agent_memory", "discovered_databases", "human_approval_queue", "threads", "tool_calls", "turns",
}  # fmt: skip
CALLABLE = {
    "discover_functions", "discover_relationships", "discover_tables", "is_application_schema", "match_agent_memory",
    "search_memories", "tenant",
}  # fmt: skip

ROLES = """
create role anon nologin;
create role authenticated nologin;
create role authenticator login noinherit password 'p';
grant anon, authenticated to authenticator;
"""

ROWS = """
insert into agents.discovered_databases (tenant_id, database_id, name, fingerprint, structure) values (%(t)s, 'd', 'n', 'f', '{}');
insert into agents.threads (tenant_id, thread_id, database_id) values (%(t)s, 't', 'd');
insert into agents.turns (tenant_id, thread_id, turn, question) values (%(t)s, 't', 1, 'q');
insert into agents.tool_calls (tenant_id, thread_id, turn, round, ordinal, tool) values (%(t)s, 't', 1, 1, 1, 'execute_sql');
insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, binding, expires_at)
  values (%(t)s, 'd', 'a', '{}', 'LOW', 'b', now());
insert into agents.agent_execution_log (tenant_id, database_id, action, verdict, risk_level, status)
  values (%(t)s, 'd', 'a', 'run', 'LOW', 'succeeded');
"""


class PostgREST:
    """One connection of PostgREST's: a transaction a request, as the role and with the claims of its JWT."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn

    @contextmanager
    def request(self, claims: object, role: str = "authenticated") -> Iterator[psycopg.Connection[Any]]:
        text = claims if isinstance(claims, str) else json.dumps(claims)
        with self.conn.transaction(force_rollback=True):
            self.conn.execute(
                "select set_config('search_path', 'public', true), set_config('role', %s, true),"
                " set_config('request.jwt.claims', %s, true)",
                [role, text],
            )
            yield self.conn

    def rows(
        self, claims: object, query: str, *parameters: object, role: str = "authenticated"
    ) -> list[dict[str, Any]]:
        with self.request(claims, role) as conn:
            return conn.execute(query, parameters).fetchall()


@pytest.fixture(scope="module")
def supabase() -> Iterator[Settings]:
    """A server with Supabase's roles, which were there before the migrations, and the demonstration application."""
    cluster = Cluster()  # of its own: roles belong to a whole server
    url = cluster.empty_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(ROLES)
        migrations.migrate(url)
        fill_demo(conn)
        settings = cluster.settings(conn.info.dbname)
        assert settings.secret is not None
        setup.setup_logins(url, settings.secret.get_secret_value())
        for tenant in ("acme", "other"):
            for statement in ROWS.strip().split(";\n"):
                conn.execute(statement, {"t": tenant})
    yield settings
    cluster.close()


@pytest.fixture
async def postgrest(supabase: Settings) -> Iterator[PostgREST]:
    for tenant in ("acme", "other"):
        runtime = await open_runtime(supabase.model_copy(update={"tenant_id": tenant}))
        await agent_memory.save(f"Status 3 means paused, says {tenant}", trust="human", runtime=runtime)
        await runtime.close()
    assert supabase.database_url is not None
    url = make_conninfo(supabase.database_url.get_secret_value(), user="authenticator", password="p")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        yield PostgREST(conn)


@pytest.mark.parametrize("claims", [{"tenant_id": "acme"}, {"app_metadata": {"tenant_id": "acme"}, "tenant_id": None}])
@pytest.mark.parametrize("table", sorted(READABLE))
async def test_a_user_reads_the_rows_of_the_claimed_tenant_only(
    postgrest: PostgREST, table: str, claims: object
) -> None:
    rows = postgrest.rows(claims, f"select tenant_id from agents.{table}")
    assert {row["tenant_id"] for row in rows} == {"acme"}


async def test_search_finds_the_memories_of_the_claimed_tenant_only(postgrest: PostgREST) -> None:
    (database,) = postgrest.rows({"tenant_id": "acme"}, "select distinct database_id from agents.agent_memory")
    for tenant in ("acme", "other"):
        rows = postgrest.rows(
            {"tenant_id": tenant},
            "select * from agents.search_memories(%s, %s)",
            "what does paused mean",
            database["database_id"],
        )
        assert [row["content"] for row in rows] == [f"Status 3 means paused, says {tenant}"]
    assert (
        postgrest.rows(
            {"tenant_id": "third"}, "select * from agents.search_memories('paused', %s)", database["database_id"]
        )
        == []
    )


@pytest.mark.parametrize(
    "text", ["'; drop table agents.agent_memory; --", "%L %s %I $1", "a & | ! ( \\", "", "🚀" * 2000, "x' OR '1'='1"]
)
async def test_search_takes_any_text(postgrest: PostgREST, text: str) -> None:
    claims = {"tenant_id": "acme"}
    (database,) = postgrest.rows(claims, "select distinct database_id from agents.agent_memory")
    rows = postgrest.rows(claims, "select * from agents.search_memories(%s, %s)", text, database["database_id"])
    assert {row["content"] for row in rows} <= {"Status 3 means paused, says acme"}


async def test_vectors_of_any_length_and_hostile_model_names_are_harmless(postgrest: PostgREST) -> None:
    claims = {"tenant_id": "acme"}
    for model in ("hashing:384", "x'); drop table agents.agent_memory; --"):
        query = "select * from agents.search_memories('paused', 'd', %s::real[], %s)"
        assert postgrest.rows(claims, query, [0.1, 0.2], model) == []
    assert postgrest.rows(claims, "select * from agents.match_agent_memory('[1,2,3]')") == []


@pytest.mark.parametrize(
    "claims",
    [
        "",
        "{}",
        "[]",
        '"acme"',
        "null",
        {"tenant_id": ""},
        {"tenant_id": None},
        {"app_metadata": {}},
        {"app_metadata": "acme"},
        {"user_metadata": {"tenant_id": "acme"}},
        {"role": "authenticated", "sub": "acme"},
    ],
)
async def test_without_a_tenant_claim_every_read_is_an_error(postgrest: PostgREST, claims: object) -> None:
    for query in (
        *(f"select * from agents.{table}" for table in sorted(READABLE)),
        "select * from agents.search_memories('paused', 'd')",
        "select agents.tenant()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant"):
            postgrest.rows(claims, query)


async def test_claims_that_are_no_json_are_an_error(postgrest: PostgREST) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        postgrest.rows("{tenant_id: acme}", "select * from agents.threads")


async def test_the_claims_of_one_request_do_not_reach_the_next_on_the_same_connection(postgrest: PostgREST) -> None:
    postgrest.rows({"tenant_id": "acme"}, "select * from agents.threads")
    with postgrest.conn.transaction():
        postgrest.conn.execute("set local role authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant"):
            postgrest.conn.execute("select * from agents.threads")


async def test_our_own_logins_setting_means_nothing_here(postgrest: PostgREST) -> None:
    with postgrest.request({"tenant_id": "acme"}) as conn:
        conn.execute("select set_config('agents.tenant_id', 'other', true)")
        rows = conn.execute("select tenant_id from agents.threads").fetchall()
    assert rows == [{"tenant_id": "acme"}]


@pytest.mark.parametrize("table", sorted(READABLE))
async def test_a_user_writes_nothing_not_even_of_the_own_tenant(postgrest: PostgREST, table: str) -> None:
    for statement in (
        f"insert into agents.{table} default values",
        f"update agents.{table} set tenant_id = 'acme'",
        f"delete from agents.{table}",
        f"truncate agents.{table}",
        f"alter table agents.{table} disable row level security",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), postgrest.request({"tenant_id": "acme"}) as conn:
            conn.execute(statement)


async def test_what_a_user_may_read_and_call_is_exactly_what_is_listed(postgrest: PostgREST) -> None:
    tables = postgrest.rows(
        {"tenant_id": "acme"},
        "select relname as name from pg_class where relnamespace = 'agents'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')"
        " and case when relkind = 'S' then has_sequence_privilege('authenticated', oid, 'usage, select, update')"
        " else has_table_privilege('authenticated', oid, 'select, insert, update, delete, truncate')"
        " or has_any_column_privilege('authenticated', oid, 'select, insert, update') end",
    )
    assert {row["name"] for row in tables} == READABLE
    functions = postgrest.rows(
        {"tenant_id": "acme"},
        "select proname as name from pg_proc where pronamespace = 'agents'::regnamespace"
        " and has_function_privilege('authenticated', oid, 'execute')",
    )
    assert {row["name"] for row in functions} == CALLABLE


async def test_a_visitor_who_is_not_signed_in_reaches_nothing(postgrest: PostgREST) -> None:
    for query in (
        "select * from agents.agent_memory",
        "select * from agents.search_memories('paused', 'd')",
        "select * from agents.discover_tables()",
        "select agents.tenant()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            postgrest.rows({"tenant_id": "acme"}, query, role="anon")


async def test_discovery_shows_the_application_and_nothing_of_ours(postgrest: PostgREST) -> None:
    claims = {"tenant_id": "acme"}
    tables = postgrest.rows(claims, "select * from agents.discover_tables()")
    assert {row["schema_name"] for row in tables} == {"public"}
    kinds = {row["table_name"]: row["kind"] for row in tables}
    assert kinds["ad_spend"] == "PARTITIONED TABLE"
    assert kinds["channel_performance"] == "MATERIALIZED VIEW"
    assert not [name for name in kinds if name.startswith("ad_spend_")]
    assert not any(row["readable"] for row in tables)
    functions = {row["function_name"] for row in postgrest.rows(claims, "select * from agents.discover_functions()")}
    assert {"client_balance", "mark_overdue_invoices"} <= functions
    assert "l2_distance" not in functions
    keys = postgrest.rows(claims, "select * from agents.discover_relationships() where source_table = 'orders'")
    assert [
        (key["columns"], key["target_table"], key["target_columns"]) for key in keys if len(key["columns"]) == 2
    ] == [
        (["client_id", "campaign_id"], "campaigns", ["client_id", "id"]),
        (["client_id", "contact_id"], "contacts", ["client_id", "id"]),
    ]
