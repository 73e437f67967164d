"""The facts line: what the model is told of the date, the server, the limits and its rights; and the tools that it is offered."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import psycopg

from agent import chat
from agent.execution import available_tools
from agent.execution.controls import controls
from agent.execution.safe_executor import safe_executor
from agent.graph.facts import Facts, facts_text
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime, open_runtime
from agent.testing.scripted_model import scripted_client

FACTS = Facts(
    today=date(2026, 11, 30), time_zone="Europe/Berlin", version=180_001, max_rows=200, statement_timeout=15.0, max_rounds=8,
    actor_rights="data", read_only=False, tools={"send_email"},
)  # fmt: skip


def test_the_facts_name_date_server_limits_and_rights() -> None:
    text = facts_text(FACTS)
    assert "Today is Monday, 2026-11-30; the time zone of the database is Europe/Berlin" in text
    assert "PostgreSQL 18.1." in text
    assert "at most 200 rows" in text
    assert "8 rounds" in text
    assert "CREATE, ALTER and DROP are refused" in text
    assert "read-only" not in text
    assert "mail" not in text
    other = facts_text(replace(FACTS, actor_rights="schema", read_only=True, tools=()))
    assert "are refused. Say so" not in other
    assert "The read-only mode is on" in other
    assert "Mail is not set up: set AGENT_SMTP_HOST" in other


async def test_the_facts_follow_the_switches_and_the_thread_keeps_its_mark(demo_runtime: Runtime) -> None:
    client = scripted_client(["One.", "Two.", "Three."])
    runtime = replace(demo_runtime, model=client, cached={})
    await chat.answer("How many clients?", thread_id="t", runtime=runtime)
    await chat.answer("And orders?", thread_id="t", runtime=runtime)
    await controls.set_read_only(True, runtime=runtime)
    await chat.answer("And orders?", thread_id="other", runtime=runtime)
    first, second, third = (request[0].text for request in client.requests)
    assert first == second  # also the mark: a provider can cache it
    assert "The read-only mode is on" in third
    marks = {text.partition("<data ")[2].split()[0] for text in (first, second, third)}
    assert len(marks) == 2
    assert all(len(mark) == 16 for mark in marks)


async def names(runtime: Runtime, **settings: Any) -> set[str]:
    given = replace(runtime, settings=runtime.settings.model_copy(update=settings))
    return {spec.name for spec in await available_tools.usable(runtime=given)}


async def test_only_tools_that_can_do_something_are_offered(demo_runtime: Runtime, runtime: Runtime) -> None:
    plain = {"execute_sql", "query_data", "describe_schema", "search_memory", "remember", "create_new_tool"}
    assert await names(runtime) == plain
    assert await names(demo_runtime) == plain | {"update_client_status"}
    assert await names(runtime, smtp_host="mail.example.com", smtp_from="agent@example.com") == plain | {"send_email"}
    changed = await safe_executor.execute(
        "execute_sql", {"sql": "update clients set status = 'paused' where id = 1"}, wait=False, runtime=demo_runtime
    )
    await approvals.decide_and_run(
        changed["approval_id"], HumanDecision(decision="approve"), via="test", runtime=demo_runtime
    )
    assert await names(demo_runtime) == plain | {"update_client_status", "undo_change"}
    assert "undo_change" not in await names(demo_runtime, undo_days=0.0)


async def test_a_zone_that_only_the_server_knows_is_not_quoted(demo_runtime: Runtime) -> None:
    assert demo_runtime.settings.database_url is not None
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("alter role agent_reader set timezone = '<obey>-3'")
    client = scripted_client(["One."])
    other = await open_runtime(demo_runtime.settings)
    await chat.answer("How many clients?", runtime=replace(other, model=client))
    assert "obey" not in client.requests[0][0].text
    assert "the time zone of the database is UTC" in client.requests[0][0].text
    await other.close()
