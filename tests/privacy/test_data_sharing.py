"""AGENT_DATA_SHARING: what reaches a model provider of the data, along every way, and that people see the rows all the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from agent.chat import ToolFinished, chat
from agent.graph.langchain_tools import langchain_tools
from agent.graph.middleware import KnowledgeMiddleware
from agent.learning.memory import agent_memory
from agent.privacy.data_sharing import shared_result
from agent.providers.embeddings import create_embedder
from agent.runtime import Runtime
from agent.settings import Settings
from agent.statements.counting import returns_only_counts
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client
from agent.types import DataSharing

TABLES = """
create table public.teams (id int primary key, name text);
insert into public.teams values (1, 'canary-team'), (2, 'canary-other');
create table public.staff (id int primary key, name text, city text, amount numeric(10, 2), born date, kind text check (kind in ('inner', 'outer')),
  team int references public.teams);
insert into public.staff select n, 'canary-anna-' || n, 'canary-ville', 424242.42, '1977-07-07', 'inner', 1 from generate_series(1, 40) n;
analyze public.staff; analyze public.teams;
"""
READS = [
    "SELECT name, city, born FROM staff ORDER BY id LIMIT 3",
    "SELECT row_to_json(s) FROM staff s LIMIT 1",
    "SELECT name::int FROM staff",
    "SELECT count(*) FROM staff",
    "SELECT amount FROM staff LIMIT 1",
]
CALLS = [
    *(call("execute_sql", sql=sql) for sql in READS),
    call("query_data", table="staff", limit=2),
    call("describe_schema", name="staff"),
    call("search_memory", query="staff"),
]
# What a level lets out, of what is searched for in everything that the provider was sent.
TRACES = ("canary", "1977-07-07", "424242", "40")
LETS_OUT: dict[DataSharing, set[str]] = {
    "schema": set(), "counts": {"40"}, "masked": {"40", "424242"}, "rows": {"canary", "1977-07-07", "424242", "40"},
}  # fmt: skip


@pytest.fixture
async def staff(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("sharing", lambda conn: conn.execute(TABLES)))
    async with running(settings) as runtime:
        await agent_memory.save("Of the staff canary-anna-1 earns most", kind="interaction", trust="agent")
        await agent_memory.save("The staff of the shop is small, says the boss", kind="fact", trust="human")
        yield runtime


def at_level(runtime: Runtime, level: DataSharing, **values: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update={"data_sharing": level}), cached={}, **values)


def found(text: str) -> set[str]:
    # A number of its own, not a part of another one such as a limit of the instructions.
    words = text.replace('"', " ").replace("~", " ").replace("[", " ").replace("]", " ").replace(",", " ").split()
    return {trace for trace in TRACES if (trace in words if trace == "40" else trace in text)}


@pytest.mark.parametrize("level", ["schema", "counts", "masked", "rows"])
async def test_a_provider_is_shown_no_more_than_the_level_and_the_user_every_row(
    staff: Runtime, level: DataSharing
) -> None:
    model = scripted_client([CALLS[:5], CALLS[5:], "Done.", "Done."])
    runtime = at_level(staff, level, model=model)
    events = [event async for event in chat.ask("Who works here?", thread_id="t", runtime=runtime)]
    await chat.answer("And what else of the staff?", thread_id="t", runtime=runtime)
    sent = "\n".join(str(message.content) for request in model.requests for message in request)
    assert found(sent) == LETS_OUT[level], level
    assert "says the boss" in sent
    assert "inner|outer" in sent, "what a check lists is schema"
    seen = json.dumps([event.result for event in events if isinstance(event, ToolFinished)], default=str)
    assert found(seen) == LETS_OUT["rows"]
    if level not in {"rows", "masked"}:
        assert "Its rows are not shown to you" in sent


async def test_the_built_in_model_is_no_provider_and_one_with_a_fallback_is_one(staff: Runtime) -> None:
    offline = at_level(staff, "schema")
    assert offline.data_sharing == "rows"
    assert at_level(staff, "schema", outside_model=True).data_sharing == "schema"
    both = scripted_client(["x"], name="offline")
    other = scripted_client(["x"]).candidates[0]
    assert at_level(staff, "schema", model=both).data_sharing == "rows"
    assert at_level(staff, "schema", model=replace(both, candidates=(*both.candidates, other))).data_sharing == "schema"


@pytest.mark.parametrize("level", ["schema", "counts", "masked"])
async def test_agents_of_other_programs_get_no_more_although_the_built_in_model_is_set_up(
    staff: Runtime, level: DataSharing
) -> None:
    runtime = at_level(staff, level)
    tools = {tool.name: tool for tool in langchain_tools(runtime=runtime)}
    results = [await tools[one["name"]].ainvoke(one["args"]) for one in CALLS]
    question = {"messages": [("human", "Who of the staff earns most?")]}
    state = await KnowledgeMiddleware(runtime=runtime).abefore_agent({"messages": []}, None)
    assert found(json.dumps([results, state, question], default=str)) <= LETS_OUT[level]


def test_texts_of_results_that_may_quote_rows_do_not_leave() -> None:
    several = "'Anna' fits several clients. Pass the client_id of one: 3: Anna Canary."
    failed = {"success": False, "status": "refused", "error": several}
    for level in ("schema", "counts", "masked"):
        assert "Canary" not in str(shared_result(failed, level, tool="update_client_status", arguments={}))
        for made in ("a_created_tool", "http_get"):
            made_result = {
                "success": True,
                "status": "succeeded",
                "message": "Canary",
                "data": {"Canary!": ["Canary", 1]},
            }
            assert "Canary" not in str(shared_result(made_result, level, tool=made, arguments={}))
        quoted = {"success": False, "status": "failed", "error": "the value 'Canary' is odd, and so is 'said'"}
        shown = shared_result(quoted, level, tool="execute_sql", arguments={"sql": "select 'said'"})["error"]
        assert "Canary" not in shown
        assert "'said'" in shown
        changed = {
            "success": True,
            "status": "succeeded",
            "sql": "UPDATE c SET s = 1 WHERE id = 'Canary'",
            "row_count": 1,
        }
        assert "Canary" not in str(shared_result(changed, level, tool="update_client_status", arguments={}))
        answered = {"success": True, "status": "answered", "message": "They said: Canary", "data": {"answer": "Canary"}}
        assert shared_result(answered, level, tool="execute_sql", arguments={}) == answered


@pytest.mark.parametrize(
    ("sql", "counts"),
    [
        ("SELECT count(*) FROM staff", True), ("select count(distinct name), pg_catalog.count(id) as n from staff group by city", True),
        ("SELECT count(*) + 1 FROM staff", False), ("SELECT city, count(*) FROM staff GROUP BY 1", False),
        ("SELECT public.count(name) FROM staff", False), ("SELECT max(name) FROM staff", False), ("VALUES ('x')", False),
        ("SELECT count(*) FROM staff UNION SELECT id FROM staff", False), ("SELECT (SELECT name FROM staff LIMIT 1)", False),
        ("TABLE staff", False), ("not sql", False), ("", False), ("DELETE FROM staff RETURNING name", False),
    ],
)  # fmt: skip
def test_only_calls_of_count_are_counts(sql: str, counts: bool) -> None:
    assert returns_only_counts(sql) is counts


def test_memories_are_not_sent_to_an_embedder_that_nobody_chose() -> None:
    key = {"OPENAI_API_KEY": "sk-x"}
    assert create_embedder(Settings(**key)).remote
    assert not create_embedder(Settings(**key, data_sharing="counts")).remote
    assert create_embedder(Settings(**key, data_sharing="counts", embedder="openai:text-embedding-3-small")).remote
