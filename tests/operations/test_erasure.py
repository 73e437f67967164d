"""Erasure: a dump of the database, made by pg_dump, holds no trace of a person or a conversation, and the audit log is whole."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.audit.log import audit_log
from agent.chat import chat
from agent.db.programs import bin_folder
from agent.errors import DecisionRefused, InvalidInput, ThreadBusy
from agent.execution.safe_executor import safe_executor
from agent.jobs.jobs import Jobs
from agent.learning.memory import agent_memory
from agent.operations import erasure
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.threads import threads

NAME, ADDRESS = "Zofia Wróblewska", "z.wroblewska@pelikan.example"
# As people, JSON, addresses, programs and other keyboards write them.
SPELLINGS = (
    NAME, NAME.upper(), "Wróblewska, Zofia", "Zofia\nWroblewska", "zofia.wróblewska", "Zofia%20Wr%C3%B3blewska", ADDRESS, ADDRESS.upper(),
    "Zofia Wr\\u00f3blewska", "Zofia Wro\u0301blewska",
)  # fmt: skip
TRACE = re.compile(r"wr(?:ó|o\u0301?|\\+u00f3|%c3%b3|\\+303\\+263)blewska|pelikan", re.IGNORECASE)


def dump(runtime: Runtime) -> str:
    """Return the agent's own schemas as pg_dump writes them, and every byte string in them once more as text."""
    url = runtime.settings.database_url.get_secret_value()
    arguments = [str(bin_folder() / "pg_dump"), url, "--schema=agents*", "--inserts"]
    text = subprocess.run(
        arguments, check=True, capture_output=True, text=True, env={**os.environ, "PGTZ": "UTC"}
    ).stdout
    octets = (bytes.fromhex(digits).decode(errors="replace") for digits in re.findall(r"'\\x((?:[0-9a-f]{2})+)'", text))
    return "\n".join([text, *octets])


def traces(runtime: Runtime) -> list[str]:
    return [line[:300] for line in dump(runtime).splitlines() if TRACE.search(line)]


def places(runtime: Runtime, trace: re.Pattern[str] = TRACE) -> set[str]:
    """Return the tables whose rows hold a trace, as text or in byte strings."""

    def decoded(row: str) -> str:
        return re.sub(r"\\\\x((?:[0-9a-f]{2})+)", lambda octets: bytes.fromhex(octets[1]).decode(errors="replace"), row)

    rows = re.split(r"^INSERT INTO ", dump(runtime), flags=re.MULTILINE)[1:]
    return {row.split(" ", 1)[0] for row in rows if trace.search(row) or trace.search(decoded(row))}


async def done_jobs(runtime: Runtime, text: str) -> None:
    """Let a durable job run, and leave `text` in the records of jobs, as an error would that quotes what it met."""
    jobs = Jobs(runtime, maintenance="* * * * * *", learning="0 0 1 1 *")
    await jobs.start()
    try:
        async with asyncio.timeout(30):
            while not await runtime.one(
                "SELECT 1 FROM agents_jobs.workflow_status WHERE status = 'SUCCESS' AND %(tenant_id)s <> ''"
            ):
                await asyncio.sleep(0.2)
    finally:
        await jobs.stop()
    quoted = json.dumps({"message": f"cannot read {text!r}"})
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        for table in ("workflow_status", "operation_outputs"):
            changed = conn.execute(f"update agents_jobs.{table} set error = %s", [quoted])  # one of two names
            assert changed.rowcount > 0


def as_user(runtime: Runtime, name: str) -> Runtime:
    return runtime.for_tenant(runtime.tenant_id, user=name)


async def used(runtime: Runtime) -> None:
    """Leave traces everywhere: a conversation of the person, one about her, changes, decisions, events, an account, an API answer."""
    hers, his = as_user(runtime, NAME), as_user(runtime, "bob")
    await people.add("bob", ["admin"], runtime=his)
    await people.add(NAME, ["approver"], runtime=his)
    await chat.answer(f"Remember: reports go to {ADDRESS}", thread_id="hers", runtime=hers)
    await chat.answer("How many campaigns are there?", thread_id="hers", runtime=hers)
    await chat.answer("How many clients are there?", thread_id="shared", runtime=his)
    await chat.answer(f"Is {NAME} a client?", thread_id="shared", runtime=his)
    for number, spelling in enumerate(SPELLINGS):
        await agent_memory.save(f"note {number}: {spelling} called", metadata={"who": spelling}, runtime=his)
    fact = await agent_memory.save("Pelican deals close in June", trust="human", speaker=NAME, runtime=hers)
    await agent_memory.save("so the June forecast includes them", derived_from=[fact.id], runtime=his)
    for who, decider in ((hers, his), (his, hers)):
        sql = f"UPDATE clients SET name = '{NAME}' WHERE id = 1"
        asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=who)
        assert asked["approval_id"], asked
        await human_approval_queue.decide(
            asked["approval_id"], "approve", decided_by=decider.user, comment=f"fine, {NAME}", runtime=decider
        )
        assert (await safe_executor.run_approved(asked["approval_id"], runtime=who))["success"]
    await audit_log.seal(runtime=runtime)
    asked = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE clients SET name = 'x' WHERE id = 2"}, wait=False, runtime=hers
    )
    assert asked["approval_id"], asked
    open_request = f"UPDATE clients SET name = '{NAME}' WHERE id = 3"
    await safe_executor.execute("execute_sql", {"sql": open_request}, wait=False, runtime=his)
    sync = AgentSyncService(his)
    channel = await sync.create_sync_channel(name="news")
    event = {"event_type": "noted", "data": {"who": SPELLINGS[3], NAME: [1]}}
    await sync.broadcast_to_channel(channel.channel_id, event)
    await sync.register_agent("crm", name=f"for {NAME}")
    await sync.create_state_snapshot("crm", {"contact": ADDRESS})
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute(
            "insert into agents.messaging_identities (tenant_id, service, account, person) values ('default', 'slack', 'UPELIKAN', %s)",
            [NAME],
        )
        conn.execute(
            "insert into agents.messages (tenant_id, approval_id, service, place, binding, first_service, first_place)"
            " values ('default', %s, 'slack', 'UPELIKAN', 'b', 'slack', 'UPELIKAN')",
            [asked["approval_id"]],
        )
        conn.execute(
            "insert into agents.idempotent_requests (tenant_id, person, key, fingerprint, body) values ('default', 'bob', 'k', '', %s)",
            [f'{{"answer": "{ADDRESS}"}}'.encode()],
        )


async def test_a_person_leaves_no_trace_in_a_dump_and_the_audit_log_is_whole(demo_runtime: Runtime) -> None:
    await used(demo_runtime)
    his = as_user(demo_runtime, "bob")
    before = await audit_log.verify(runtime=his)
    assert before.findings == ()
    assert len(traces(demo_runtime)) > 30
    await done_jobs(demo_runtime, NAME)
    in_jobs = {"agents_jobs.workflow_status", "agents_jobs.operation_outputs"}
    assert {*in_jobs, "agents_checkpoints.checkpoints"} <= places(demo_runtime)
    anchor = await audit_log.export(runtime=his)

    assert (await erasure.erase_person(NAME, also=[ADDRESS], dry_run=True, runtime=his)).memories > 10
    assert len(traces(demo_runtime)) > 30
    gone = await erasure.erase_person(NAME, also=[ADDRESS], runtime=his)

    assert traces(demo_runtime) == []
    assert places(demo_runtime) == set()
    assert (gone.conversations, gone.requests) == (1, 3)
    report = await audit_log.verify(anchor=anchor, runtime=his)
    assert report.findings == ()
    assert (report.erased, report.effects) == (gone.entries, before.effects)
    assert await human_approval_queue.pending(runtime=his) == []
    left = {memory.content for memory in await agent_memory.list_memories(runtime=his)}
    assert "so the June forecast includes them" not in left
    assert [thread["thread_id"] for thread in await threads.recent(runtime=his)] == ["shared"]


async def test_a_conversation_leaves_no_trace_either(demo_runtime: Runtime) -> None:
    word = re.compile("zirconium|secret-thread")
    other = await agent_memory.save("gallium is what others spoke of", runtime=demo_runtime)
    await chat.answer("Remember: zirconium is the code word", thread_id="secret-thread", runtime=demo_runtime)
    asked = await chat.answer(
        "Set the name of client 3 to 'zirconium works'", thread_id="secret-thread", runtime=demo_runtime
    )
    await human_approval_queue.decide(asked.approvals[0].id, "approve", comment="zirconium it is", runtime=demo_runtime)
    await chat.finish("secret-thread", runtime=demo_runtime)
    await chat.answer("Set the name of client 4 to 'zirconium two'", thread_id="secret-thread", runtime=demo_runtime)
    await audit_log.seal(runtime=demo_runtime)
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:  # a table that comes later
        conn.execute("create table agents.later_lessons (tenant_id text, source_thread text, lesson text)")
        conn.execute("insert into agents.later_lessons values ('default', 'secret-thread', 'ask for zirconium')")
    assert len(word.findall(dump(demo_runtime))) > 20

    gone = await erasure.erase_thread("secret-thread", runtime=demo_runtime)

    assert word.findall(dump(demo_runtime)) == []
    assert (gone.conversations, gone.requests, gone.memories) == (1, 2, 2)
    report = await audit_log.verify(runtime=demo_runtime)
    assert (report.findings, report.effects) == ((), 1)
    assert await agent_memory.get(other.id, runtime=demo_runtime)
    assert await human_approval_queue.pending(runtime=demo_runtime) == []


async def test_who_is_no_admin_erases_nothing_and_a_running_turn_is_waited_for(runtime: Runtime) -> None:
    await agent_memory.save("hers", speaker="ann", runtime=runtime)
    async with runtime.connection() as conn:
        await conn.execute(
            "insert into agents.threads (thread_id, database_id, created_by, lease_until) values ('t', 'd', 'ann', now() + '1 minute')"
        )
    with pytest.raises(ThreadBusy, match="Nothing was erased: a turn is running"):
        await erasure.erase_person("ann", runtime=runtime)
    await people.add("bob", ["admin"], runtime=as_user(runtime, "bob"))
    with pytest.raises(DecisionRefused, match="Only an admin"):
        await erasure.erase_person("ann", runtime=as_user(runtime, "eve"))
    for name in ("", "a", "the", "What", "  .  ", "x" * 300):
        with pytest.raises(InvalidInput, match="would be found in texts about anything"):
            await erasure.erase_person(name, runtime=as_user(runtime, "bob"))
    assert len(await agent_memory.list_memories(runtime=runtime)) == 1


async def test_the_names_of_others_and_other_tenants_stay(runtime: Runtime) -> None:
    there = runtime.for_tenant("other")
    for text in ("Annabel paid", "the annual plan", "joann called", "Ann-Marie paid", "channel 5"):
        await agent_memory.save(text, runtime=runtime)
    await agent_memory.save("ann paid", runtime=there)
    assert (await erasure.erase_person("ann", runtime=runtime)).memories == 1
    assert len(await agent_memory.list_memories(runtime=runtime)) == 4
    assert len(await agent_memory.list_memories(runtime=there)) == 1


async def test_a_value_that_is_taken_out_of_the_log_without_an_erasure_is_found(runtime: Runtime) -> None:
    await human_approval_queue.request("act", {"to": "ann"}, runtime=as_user(runtime, "ann"))
    await audit_log.seal(runtime=runtime)
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute(
            "update agents.audit_log set content = content - 'requested_by', salts = salts - 'requested_by' where subject = 'human_approval_queue'"
        )
    assert {finding.kind for finding in (await audit_log.verify(runtime=runtime)).findings} == {"erased"}
