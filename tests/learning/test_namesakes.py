"""Tables of one name in several schemas: which is meant, who says so, and that none is taken silently for another."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.errors import InvalidArguments
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.namesakes import Order
from agent.learning.named_relations import find_relation
from agent.learning.schema_linking.linking import describe, link_schema
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cases import each
from agent.testing.cluster import Cluster
from agent.testing.running import running

# The archive has more rows of everything, more columns and comments that speak of the words of questions.
STORE = """
create schema archive; create schema stage;
create table public.clients (id int primary key, name text, status text);
create table public.orders (id int primary key, client_id int references public.clients, total int, status text);
create table archive.clients (id int primary key, name text, status text);
create table archive.orders (id int primary key, client_id int references archive.clients, total int, status text, note text);
comment on table archive.orders is 'orders, how many orders, all orders';
create table archive.parcels (id int primary key, weight int);
create table stage.loads (id int primary key, weight int); create table archive.loads (id int primary key, weight int);
create table public."Visits" (id int primary key, place text); create table archive.visits (id int primary key, place text);
create view stage.orders as select id, total from public.orders;
insert into public.clients select g, 'C' || g, 'new' from generate_series(1, 2) g;
insert into archive.clients select g, 'A' || g, 'gone' from generate_series(1, 40) g;
insert into public.orders select g, 1 + g % 2, g * 10, 'open' from generate_series(1, 5) g;
insert into archive.orders select g, 1 + g % 40, 1, 'closed' from generate_series(1, 1000) g;
insert into archive.parcels select g, g from generate_series(1, 7) g;
insert into public."Visits" values (1, 'Bonn'); insert into archive.visits select g, 'Ulm' from generate_series(1, 50) g;
insert into archive.loads select g, g from generate_series(1, 60) g;
analyze;
"""


def fill(conn: psycopg.Connection) -> None:
    conn.execute(STORE.encode())


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("store", fill))
    async with running(settings) as runtime:
        yield runtime
    cluster.drop(settings)


async def _answer(question: str, runtime: Runtime) -> str:
    return (await chat.answer(question, runtime=runtime)).text


@each(
    ("question", "said"),
    [
        ("How many orders are there?", "5 orders"),
        ("How many public orders are there?", "5 orders"),
        ("How many orders are there in the public schema?", "5 orders"),
        ("How many archive orders are there?", "1000 orders"),
        ("How many archive.orders are there?", "1000 orders"),
        ("How many orders are in archive?", "1000 orders"),
        ("How many orders are there in the archive schema?", "1000 orders"),
        ("How many archive orders with status = closed?", "1000 orders"),
        ("How many orders with status = closed?", "0 orders"),
        ("What is the total of all orders?", "150"),
        ("What is the average total of archive orders?", "is 1.00"),
        ("How many clients are there?", "2 clients"),
        ("How many orders are there per client?", "C1"),
        ("How many archive orders are there per client?", "A1"),
        ("How many stage orders are there?", "5 orders"),
        ("How many parcels are there?", "7 parcels"),
        ("How many archive parcels are there?", "I do not understand 'archive'"),
        ("How many visits are there?", "1 Visits"),
        ("How many archive visits are there?", "50 visits"),
    ],
)
async def test_a_question_is_about_the_table_of_the_path_unless_it_names_a_schema(
    store: Runtime, question: str, said: str
) -> None:
    assert said in await _answer(question, store)


async def test_an_answer_says_which_of_the_tables_it_is_about(store: Runtime) -> None:
    assert "public.orders" in await _answer("How many orders are there?", store)
    assert "archive.orders" in await _answer("How many archive orders are there?", store)
    assert "archive" not in await _answer("How many parcels are there?", store)


async def test_where_no_schema_comes_first_the_question_is_asked_back(store: Runtime) -> None:
    answer = await _answer("How many loads are there?", store)
    assert "the number for archive.loads\n- the number for stage.loads" in answer
    assert "60" not in answer
    assert "60 loads" in await _answer("How many archive loads are there?", store)


@pytest.mark.parametrize(
    ("wish", "table"),
    [
        ("Set the status of order 1 to shipped", "public.orders"),
        ("Set the status of archive order 1 to shipped", "archive.orders"),
        ("Set the status of client 1 to gone", "public.clients"),
        ("Set the status of archive client 1 to new", "archive.clients"),
    ],
)
async def test_a_change_names_the_schema_to_the_human(store: Runtime, wish: str, table: str) -> None:
    await chat.answer(wish, runtime=store)
    (asked,) = await human_approval_queue.history(runtime=store)
    shown = re.sub('"', "", str(asked.preview_json["sql"]))
    assert shown.startswith(f"UPDATE {table} ")


async def test_a_schema_after_the_row_is_asked_back_and_nothing_is_proposed(store: Runtime) -> None:
    answer = await _answer("Set the status of order 1 in archive to shipped", store)
    assert "Nothing was changed." in answer
    assert await human_approval_queue.history(runtime=store) == []


async def test_both_tables_are_in_a_prompt_and_the_meant_one_comes_first(store: Runtime) -> None:
    linked = await link_schema("How many orders are there?", runtime=store)
    assert [table for table in linked.tables if table.endswith(".orders")] == [
        "public.orders", "archive.orders", "stage.orders",
    ]  # fmt: skip
    assert "TABLE public.orders [plain orders means this, not archive.orders, stage.orders] ~5 rows" in linked.text
    assert "TABLE archive.orders [plain orders means public.orders, not this] ~1000 rows" in linked.text
    named = await link_schema("How many archive orders are there?", runtime=store)
    assert named.tables[0] == "archive.orders"


async def test_a_tight_budget_keeps_the_table_that_is_meant(store: Runtime) -> None:
    linked = await link_schema("orders", token_budget=60, runtime=store)
    assert linked.tables[0] == "public.orders"


async def test_tools_take_the_table_of_the_path_and_say_so(store: Runtime) -> None:
    plain = await safe_executor.execute("query_data", {"table": "orders", "limit": 1}, runtime=store)
    assert '"public"."orders"' in plain["sql"]
    assert plain["message"] == "This is public.orders; archive.orders and stage.orders have the same name."
    named = await safe_executor.execute("query_data", {"table": "archive.orders", "limit": 1}, runtime=store)
    assert '"archive"."orders"' in named["sql"]
    assert "message" not in named
    status = await safe_executor.execute(
        "update_client_status", {"client_id": 1, "status": "x"}, wait=False, runtime=store
    )
    (asked,) = await human_approval_queue.history(runtime=store)
    assert (asked.id, '"public"."clients"' in asked.preview_json["sql"]) == (status["approval_id"], True)


async def test_a_name_that_may_mean_several_is_asked_back_by_tools(store: Runtime) -> None:
    with pytest.raises(InvalidArguments, match=r"archive\.loads or stage\.loads"):
        await find_relation("loads", runtime=store)
    assert str(await find_relation("stage.loads", runtime=store)) == "stage.loads"
    assert str(await find_relation('public."Visits"', runtime=store)) == "public.Visits"
    assert str(await find_relation("visits", runtime=store)) == "public.Visits"
    assert str(await find_relation('"visits"', runtime=store)) == "archive.visits"
    assert str(await find_relation("Archive.Orders", runtime=store)) == "archive.orders"


async def test_describing_a_name_tells_of_its_namesakes(store: Runtime) -> None:
    assert (await describe("orders", runtime=store)).startswith("TABLE public.orders [plain orders means this, not")
    assert (await describe("archive.orders", runtime=store)).startswith("TABLE archive.orders [plain orders means")
    loads = await describe("loads", runtime=store)
    assert loads.startswith("2 relations have that name")
    assert "archive.loads" in loads
    assert "stage.loads" in loads


async def test_a_login_with_another_path_means_another_table(cluster: Cluster) -> None:
    settings = cluster.database(cluster.template("store", fill))
    admin = settings.database_url.get_secret_value() if settings.database_url else ""
    with psycopg.connect(admin, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f'alter role agent_reader in database "{name}" set search_path = archive, public'.encode())
    try:
        async with running(settings) as runtime:
            structure = await auto_discovery.discover_app_structure(runtime=runtime)
            meant = {table["qualified"]: table["meant"] for table in structure["tables"]}
            assert meant["public.orders"] == "archive.orders"
            assert "1000 orders" in await _answer("How many orders are there?", runtime)
            assert str(await find_relation("orders", runtime=runtime)) == "archive.orders"
    finally:
        cluster.drop(settings)


async def test_a_denied_table_is_named_nowhere(cluster: Cluster) -> None:
    settings: Settings = cluster.database(cluster.template("store", fill), deny="archive.orders")
    async with running(settings) as runtime:
        linked = await link_schema("How many orders are there?", runtime=runtime)
        found = await find_relation("orders", runtime=runtime)
        assert "archive.orders" not in linked.text + found.note + await describe("orders", runtime=runtime)
    cluster.drop(settings)


@pytest.mark.parametrize(
    ("path", "chosen", "names", "meant"),
    [
        (["public"], [], [("a", "t"), ("public", "t")], ("public", "t")),
        (["b", "public"], [], [("a", "t"), ("public", "t"), ("b", "t")], ("b", "t")),
        ([], [], [("a", "t"), ("public", "t")], ("public", "t")),
        ([], ["b", "a"], [("a", "t"), ("b", "t")], ("b", "t")),
        (["c"], [], [("a", "t"), ("b", "t")], None),
        (["c"], [], [("a", "t")], ("a", "t")),
        (["public"], [], [("public", "T"), ("public", "t")], ("public", "t")),
        (["public"], [], [("public", "T"), ("public", "TT"), ("a", "t")], None),
        (["public"], [], [("public", "T"), ("a", "t")], ("public", "T")),
    ],
)
def test_the_path_decides_then_public_then_the_chosen_schemas(
    path: list[str], chosen: list[str], names: list[tuple[str, str]], meant: tuple[str, str] | None
) -> None:
    assert Order(path=path, chosen=chosen).meant(names) == meant
    assert Order(path=path, chosen=chosen).meant(names[::-1]) == meant
