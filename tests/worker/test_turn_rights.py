"""A turn that another process or person goes on with has the rights of who asked: their claims, and what they may see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from agent.chat import chat
from agent.errors import InvalidInput, ThreadBusy
from agent.execution.safe_executor import safe_executor
from agent.jobs.maintenance import maintain
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client
from agent.threads import acting_for_asker, threads
from agent.worker import Worker

TABLES = """
create table public.notes (id int primary key, owner text, text text);
insert into public.notes values (1, 'ana', 'of ana'), (2, 'bo', 'of bo'), (3, 'operator', 'of the operator');
create table public.done (id int primary key);
alter table public.done owner to agent_actor;
alter table public.notes enable row level security;
create policy own on public.notes for select using (owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');
"""
SCRIPT = [
    call("execute_sql", sql="INSERT INTO done SELECT 1 FROM generate_series(1, 1)"),
    call("execute_sql", sql="SELECT text FROM notes"),
    "That is what I read.",
]


@pytest.fixture
async def operator(cluster: Cluster) -> AsyncIterator[Runtime]:
    """A process that reads as some user by itself."""
    template = cluster.template("turn-rights", lambda conn: conn.execute(TABLES))
    claims = SecretStr(json.dumps({"sub": "operator", "role": "authenticated"}))
    async with running(cluster.database(template, user="op", read_as_claims=claims)) as runtime:
        yield replace(runtime, model=scripted_client(SCRIPT), cached={})


def of(runtime: Runtime, name: str, *, masked: bool = True) -> Runtime:
    acting = runtime.for_tenant(runtime.tenant_id, user=name, masked=masked)
    return acting.reading_as({"sub": name, "role": "authenticated"})


async def asked_and_approved(runtime: Runtime, thread_id: str) -> None:
    waiting = await chat.answer("Note it, and read the notes", thread_id=thread_id, runtime=runtime)
    assert waiting.status == "waiting", waiting
    await safe_executor.decide(waiting.approvals[0].id, "approve", runtime=runtime)


async def read_by(runtime: Runtime, thread_id: str) -> list[list[Any]]:
    calls = await threads.calls(thread_id, 1, runtime=runtime)
    return [one.result["rows"] for one in calls if one.result and "rows" in one.result][-1]


async def test_a_worker_goes_on_with_the_claims_of_who_asked_and_no_more(operator: Runtime) -> None:
    ana = of(operator, "ana")
    await asked_and_approved(ana, "t")
    acting = await acting_for_asker("t", runtime=operator)
    assert (acting.user, acting.masked, acting.claims) == ("ana", True, ana.claims)
    # A worker of another process: nothing but the database tells it who asked.
    worker = Worker(replace(operator, cached={}, model=scripted_client(SCRIPT[1:])))
    running_worker = asyncio.create_task(worker.run())
    for _ in range(200):
        turn = (await threads.turns("t", runtime=ana))[-1]
        if turn["status"] == "done":
            break
        await asyncio.sleep(0.1)
    worker.stop()
    await running_worker
    assert (turn["status"], turn["asked_by"]) == ("done", "ana")
    assert await read_by(operator, "t") == [["of ana"]]
    await maintain(operator.tenant_id, operator)
    assert await operator.all("select * from agents.turn_rights where tenant_id = %(tenant_id)s") == []


async def test_another_person_neither_lends_nor_gets_rights_by_going_on(operator: Runtime) -> None:
    ana, bo = of(operator, "ana"), of(operator, "bo")
    await asked_and_approved(ana, "t")
    with pytest.raises(ThreadBusy, match="'ana' asked"):
        await chat.answer("And what do I have?", thread_id="t", runtime=bo)
    with pytest.raises(ThreadBusy, match="'ana' asked"):  # the same person with other rights
        await chat.answer("And what do I have?", thread_id="t", runtime=replace(ana, claims=bo.claims))
    await chat.finish("t", runtime=bo)
    assert await read_by(operator, "t") == [["of ana"]]


async def test_a_turn_whose_rights_are_not_known_is_gone_on_with_by_its_asker_only(operator: Runtime) -> None:
    ana, bo = of(operator, "ana"), of(operator, "bo")
    await asked_and_approved(ana, "t")
    await operator.execute("delete from agents.turn_rights where tenant_id = %(tenant_id)s")
    for other in (bo, operator):
        with pytest.raises(InvalidInput, match="not known with which rights 'ana' asked"):
            await chat.finish("t", runtime=other)
    assert (await chat.finish("t", runtime=ana)).status == "done"
    assert await read_by(operator, "t") == [["of ana"]]
