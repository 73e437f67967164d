"""Decided turns and approved actions go on in whichever process is alive, once, also when a worker is killed at work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from agent.access import keys
from agent.chat import chat
from agent.db import setup
from agent.execution.controls import controls
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.testing.served import served
from agent.threads import threads
from agent.worker import Worker

CHANGE = "UPDATE notes SET text = text || '!'"
SCRIPT = [call("execute_sql", sql=CHANGE), "All notes are changed."]


@pytest.fixture
async def notes(runtime: Runtime) -> Runtime:
    """An application with a table, and a model that changes it."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.notes (id int primary key, text text)")
        conn.execute("insert into public.notes select n, 'n' from generate_series(1, 30) n")
    setup.setup_logins(runtime.settings.database_url.get_secret_value(), runtime.settings.secret.get_secret_value())
    return replace(runtime, model=scripted_client(SCRIPT), cached={})


def changed(runtime: Runtime) -> int:
    """Return how many notes were changed exactly once."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return conn.execute("select count(*) from public.notes where text = 'n!'").fetchone()[0]


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 30.0) -> Any:
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := await condition():
            return value
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen in time")


async def test_a_decision_over_http_is_carried_out_and_its_thread_goes_on_by_itself(notes: Runtime) -> None:
    async with served(notes) as client:
        waiting = (await client.post("/api/chat", json={"message": "Change all notes", "thread_id": "t"})).json()
        assert waiting["status"] == "waiting", waiting
        (request,) = waiting["approvals"]
        done = await client.post(f"/api/approvals/{request['id']}/decision", json={"decision": "approve"})
        assert done.json()["result"]["success"] is True, done.text

        async def answered() -> Any:
            turn = (await client.get("/api/threads/t")).json()["turns"][-1]
            return turn["status"] == "done" and turn

        turn = await until(answered)
    assert turn["answer"] == "All notes are changed."
    assert changed(notes) == 30
    assert await notes.all("select * from agents.open_work") == []


async def test_what_waits_for_the_end_of_a_stop_goes_on_at_once(notes: Runtime) -> None:
    waiting = await chat.answer("Change all notes", thread_id="t", runtime=notes)
    await controls.stop("look first", runtime=notes)
    worker = Worker(notes)
    running = asyncio.create_task(worker.run())
    await approvals.decide(waiting.approvals[0].id, HumanDecision(decision="approve"), via="api", runtime=notes)
    await asyncio.sleep(1.0)
    assert (await threads.turns("t", runtime=notes))[-1]["status"] == "waiting"
    began = time.monotonic()
    await controls.resume(runtime=notes)

    async def answered() -> bool:
        return (await threads.turns("t", runtime=notes))[-1]["status"] == "done"

    await until(answered)
    assert time.monotonic() - began < 4
    worker.stop()
    await running


async def test_two_workers_do_a_decided_action_of_no_thread_once(notes: Runtime) -> None:
    workers = [Worker(notes), Worker(notes)]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    asked = await safe_executor.execute("execute_sql", {"sql": CHANGE}, wait=False, runtime=notes)
    await approvals.decide(asked["approval_id"], HumanDecision(decision="approve"), via="api", runtime=notes)

    async def done() -> bool:
        return changed(notes) == 30

    await until(done)
    await asyncio.sleep(0.5)
    assert changed(notes) == 30
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)


async def test_work_of_one_tenant_is_done_for_that_tenant(notes: Runtime) -> None:
    other = notes.for_tenant("b", user="bo")
    waiting = await chat.answer("Change all notes", thread_id="t", runtime=other)
    worker = Worker(notes)
    running = asyncio.create_task(worker.run())
    await approvals.decide(waiting.approvals[0].id, HumanDecision(decision="approve"), via="api", runtime=other)

    async def answered() -> bool:
        return (await threads.turns("t", runtime=other))[-1]["status"] == "done"

    await until(answered)
    assert await threads.recent(runtime=notes) == []
    worker.stop()
    await running
    assert await keys.any_key(runtime=notes) is False


async def test_a_decision_while_its_turn_is_about_to_wait_is_never_overheard(notes: Runtime) -> None:
    """Both orders of the two transactions: each waits for the other, and afterwards the turn is due."""
    await chat.answer("Change all notes", thread_id="t", runtime=notes)
    request = await notes.one("select id, turn from agents.human_approval_queue where tenant_id = %(tenant_id)s")
    assert request
    decide = "update agents.human_approval_queue set status = %(status)s, decided_via = 'api' where tenant_id = %(tenant_id)s and id = %(id)s"
    pause = "update agents.turns set status = %(status)s where tenant_id = %(tenant_id)s and thread_id = 't' and turn = %(turn)s"

    async def reset() -> None:
        await notes.execute(decide, status="pending", id=request["id"])
        await notes.execute(pause, status="running", turn=request["turn"])

    async def first_and_second(first: tuple[str, str], second: tuple[str, str]) -> list[dict[str, Any]]:
        await reset()
        values = {"tenant_id": notes.tenant_id, **request}
        async with notes.transaction() as conn:
            await conn.execute(first[0], {**values, "status": first[1]})
            other = asyncio.create_task(notes.execute(second[0], **request, status=second[1]))
            done, _ = await asyncio.wait({other}, timeout=0.5)
            assert not done  # it waits
        await other
        return await notes.all(
            "select subject, ready_at < now() + interval '4 seconds' as soon from agents.open_work where kind = 'turn'"
        )

    due = [{"subject": "t", "soon": True}]
    assert await first_and_second((decide, "approved"), (pause, "waiting")) == due
    assert await first_and_second((pause, "waiting"), (decide, "approved")) == due
    # A turn that waits for a human who has not decided is no work.
    await reset()
    await notes.execute(pause, status="waiting", turn=request["turn"])
    assert await notes.all("select subject from agents.open_work where kind = 'turn'") == []
