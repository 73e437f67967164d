"""Sealing under load: many writers who commit late or not at all, several sealers, and kill -9 in between."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import psycopg

from agent.audit.log import audit_log
from agent.execution.controls import controls
from agent.runtime import Runtime, open_runtime

WORKER = Path(__file__).parents[1] / "cases" / "audit_worker.py"
WRITERS, SEALERS, KILLS = 12, 3, 4
INSERT = """insert into agents.agent_execution_log (database_id, actor, action, verdict, risk_level, status)
values ('d', %s, 'execute_sql', 'run', 'LOW', 'succeeded')"""


async def write(runtime: Runtime, number: int, end: asyncio.Event) -> int:
    """Insert rows until the `end`, each in a transaction that takes some time; returns how many were committed."""
    chance, committed = random.Random(number), 0
    while not end.is_set():
        async with runtime.db.tenant(runtime.tenant_id) as conn, conn.transaction():
            await conn.execute(INSERT, [f"writer {number}"])
            await asyncio.sleep(chance.expovariate(50))
            if chance.random() < 0.1:
                raise psycopg.Rollback
            committed += 1
    return committed


def passed_on(runtime: Runtime) -> str:
    settings = runtime.settings
    secrets = {"database_url": settings.database_url, "secret": settings.secret}
    values = {name: secret.get_secret_value() for name, secret in secrets.items()}
    return json.dumps({"home": str(settings.home), **values})


async def sealer(runtime: Runtime) -> asyncio.subprocess.Process:
    program = (sys.executable, str(WORKER), passed_on(runtime))
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert await process.stdout.readline() == b"ready\n"
    return process


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.communicate()


async def test_sealers_that_race_and_are_killed_leave_a_whole_and_gapless_chain(runtime: Runtime) -> None:
    sealers = [await sealer(runtime) for _ in range(SEALERS)]
    end = asyncio.Event()
    writers = [asyncio.create_task(write(runtime, number, end)) for number in range(WRITERS)]
    chance = random.Random(3)
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        await kill(sealers[number % SEALERS])
        sealers[number % SEALERS] = await sealer(runtime)
    end.set()
    committed = sum(await asyncio.gather(*writers))
    await asyncio.gather(*map(kill, sealers))
    await audit_log.seal()
    report = await audit_log.verify()
    assert report.findings == ()
    assert report.entries == report.rows == committed > 100 * KILLS
    async with runtime.connection() as conn:
        row = await (
            await conn.execute(
                "select count(distinct id) as ids, max(sequence) as last, array_agg(id order by sequence) as order from agents.audit_log"
            )
        ).fetchone()
    assert (row["ids"], row["last"]) == (committed, committed)


async def test_an_entry_that_is_committed_late_comes_after_those_sealed_before(runtime: Runtime) -> None:
    async with runtime.transaction() as late:
        await late.execute(INSERT, ["late"])
        await controls.set_read_only(True)
        await audit_log.seal()
        assert [(entry.sequence, entry.id) for entry in await audit_log.recent()] == [(1, 2)]
    await audit_log.seal()
    assert [(entry.sequence, entry.id) for entry in await audit_log.recent()] == [(2, 1), (1, 2)]
    assert (await audit_log.verify()).whole


async def test_changes_are_sealed_soon_after_and_while_others_seal(runtime: Runtime) -> None:
    await controls.stop("why")
    for _ in range(100):
        if (entries := await audit_log.recent()) and entries[0].sequence:
            break
        await asyncio.sleep(0.1)
    assert [entry.sequence for entry in entries] == [1]


async def test_what_was_changed_is_sealed_at_the_latest_when_the_runtime_closes(runtime: Runtime) -> None:
    short = await open_runtime(runtime.settings)
    await controls.stop("why", runtime=short)
    await controls.resume(runtime=short)
    await short.close()
    assert [entry.sequence for entry in await audit_log.recent()] == [2, 1]


PROGRAM = """
import asyncio, json, sys
from agent.execution.controls import controls
from agent.runtime import open_runtime
from agent.settings import Settings
async def main():
    await controls.stop("why", runtime=await open_runtime(Settings(_env_file=None, **json.loads(sys.argv[1]))))
asyncio.run(main())
"""


async def test_a_program_that_ends_without_closing_the_runtime_seals_too(runtime: Runtime) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, passed_on(runtime))
    assert await process.wait() == 0
    assert [entry.sequence for entry in await audit_log.recent()] == [1]


async def test_an_agent_without_a_key_works_and_leaves_its_entries_to_one_that_has_it(runtime: Runtime) -> None:
    settings = runtime.settings.model_copy(update={"secret": None})
    keyless = replace(runtime, settings=settings, cached={}, at_close=[])
    await controls.stop("why", runtime=keyless)
    for finish in keyless.at_close:
        await finish()
    assert [entry.sequence for entry in await audit_log.recent()] == [None]
    assert await audit_log.seal() == 1
