"""Linking on the demo application: the tables that a question needs, inside a budget, for models and tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from agent.learning import auto_discover
from agent.learning.auto_discover import auto_discovery
from agent.learning.memory import agent_memory
from agent.learning.schema_linking.linking import describe, link_schema
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster

_ROOT = Path(__file__).parents[2]
QUESTIONS = json.loads((_ROOT / "benchmarks" / "questions_demo.json").read_text(encoding="utf-8"))


def fill(conn: psycopg.Connection) -> None:
    conn.execute((_ROOT / "supabase" / "seed.sql").read_bytes())


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    return cluster.database(cluster.template("linking", fill))


async def test_the_demos_questions_find_their_tables_within_the_budget(runtime: Runtime) -> None:
    lost = {}
    for item in QUESTIONS:
        linked = await link_schema(item["question"], token_budget=4_000)
        assert linked.tokens <= 4_000
        if missing := set(item["tables"]) - set(linked.tables):
            lost[item["question"]] = missing
    assert len(lost) <= 0.05 * len(QUESTIONS), lost


async def test_a_database_never_discovered_is_discovered_by_the_first_question(runtime: Runtime) -> None:
    assert await auto_discovery.get_cached_structure() == {}
    assert "public.clients" in (await link_schema("clients")).tables
    assert (await auto_discovery.get_cached_structure())["tables"]


async def test_a_small_budget_still_gets_the_best_table_by_its_keys(runtime: Runtime) -> None:
    linked = await link_schema("orders of a client", token_budget=100)
    assert linked.tables
    assert linked.tokens <= 100
    assert (await link_schema("orders", token_budget=5)).text == ""


async def test_a_question_that_names_nothing_gets_the_whole_of_a_small_schema(runtime: Runtime) -> None:
    linked = await link_schema("hello", token_budget=4_000)
    assert len(linked.tables) == 23


async def test_a_question_that_names_nothing_gets_the_joined_ones_when_the_schema_does_not_fit(
    runtime: Runtime,
) -> None:
    linked = await link_schema("hello", token_budget=600)
    assert linked.chosen == ()
    assert len(linked.tables) > 5
    assert "\n  (campaign_id pk -> campaigns, channel pk, budget_share)" in linked.text
    assert linked.tokens <= 600


async def test_a_question_of_ten_megabytes_with_nul_and_surrogates_is_taken(runtime: Runtime) -> None:
    linked = await link_schema("clients \x00 \ud800 " + "orders " * 1_500_000)
    assert "public.orders" in linked.tables


async def test_the_text_tells_that_row_level_security_hides_rows(runtime: Runtime) -> None:
    assert "row-level security hides every row" in (await link_schema("what do people earn?")).text


async def test_a_matching_function_is_shown(runtime: Runtime) -> None:
    assert "FUNCTION public.client_balance(client bigint)" in (await link_schema("balance of a client")).text


async def test_a_new_table_is_linked_once_the_cache_is_old(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    await link_schema("clients")
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.spaceships (id int primary key)")
    assert "public.spaceships" not in (await link_schema("spaceships")).tables
    monkeypatch.setattr(auto_discover, "CHECK_EVERY", 0.0)
    assert "public.spaceships" in (await link_schema("spaceships")).tables


async def test_describing_nothing_lists_relations_and_functions(runtime: Runtime) -> None:
    text = await describe(None)
    assert text.count("\n") == 26
    assert "PROCEDURE public.mark_overdue_invoices()" in text
    assert (await describe(None, token_budget=100)).endswith("more; describe one by its name")


@pytest.mark.parametrize("name", ["public.orders", "orders", "ORDERS", '"orders"', " orders "])
async def test_describing_a_table_tells_its_columns_keys_and_references(runtime: Runtime, name: str) -> None:
    text = await describe(name)
    assert text.startswith("TABLE public.orders ~1200 rows -- What clients ordered\n  id bigint pk generated\n")
    assert "referenced by public.order_items(order_id)" in text
    assert "newest placed_at: " in text


async def test_describing_a_type_or_function_tells_it(runtime: Runtime) -> None:
    assert await describe("client_status") == "ENUM public.client_status in (lead|active|paused|churned)"
    assert (await describe("client_balance")).startswith(
        "FUNCTION public.client_balance(client bigint) returns numeric"
    )


async def test_describing_what_is_not_there_names_the_nearest(runtime: Runtime) -> None:
    assert "The nearest are public.orders" in await describe("ordrs")


async def test_denied_tables_are_never_linked(runtime: Runtime) -> None:
    careful = await open_runtime(runtime.settings.model_copy(update={"deny": "salaries,clients.portal_token"}))
    linked = await link_schema("salaries and portal tokens of clients", runtime=careful)
    assert "salaries" not in linked.text
    assert "portal" not in linked.text
    assert "public.clients" in linked.tables
    await careful.close()


class MeaningEmbedder:
    """Knows one thing: texts about staff leaving and the word quitters are near."""

    model, dimensions, semantic, remote = "test:meaning", 2, True, False

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "left_on" in text or "quitters" in text else [0.0, 1.0] for text in texts]


async def test_a_question_without_a_word_of_the_schema_is_linked_by_meaning(runtime: Runtime) -> None:
    knowing = await open_runtime(runtime.settings, embedder=MeaningEmbedder())
    await auto_discovery.discover_app_structure(runtime=knowing)
    await agent_memory.embed_pending(runtime=knowing)
    linked = await link_schema("quitters lately", runtime=knowing, token_budget=400)
    assert linked.tables[0] == "public.employees"
    await knowing.close()
