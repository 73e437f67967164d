"""Scheduled jobs: one of several processes runs each tick, a kill loses none, and no row can bring code in."""

from __future__ import annotations

import asyncio
import base64
import itertools
import pickle
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.jobs import Jobs
from agent.learning.background_learner import background_learner
from agent.learning.learning_runs import LearningRun, learning_runs
from agent.runtime import Runtime
from agent.testing.processes import agent_process


async def test_maintenance_expires_what_nobody_answered(runtime: Runtime) -> None:
    other = runtime.for_tenant("b")
    waits = await human_approval_queue.request("call_api", {}, timeout=0.2, runtime=other)
    jobs = Jobs(runtime, maintenance="* * * * * *")
    await jobs.start()
    try:
        end = time.monotonic() + 30
        row = None
        while time.monotonic() < end and (row is None or row["status"] != "expired"):
            await asyncio.sleep(0.1)
            row = await other.one(
                "select status from agents.human_approval_queue where tenant_id = %(tenant_id)s and id = %(id)s",
                id=waits.id,
            )
        assert row == {"status": "expired"}
    finally:
        await jobs.stop()


class Mark:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.file,))


async def tables(runtime: Runtime) -> list[str]:
    """Return the tables of DBOS that say how their rows are to be read."""
    return [
        row["name"]
        for row in await runtime.all(
            "select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid"
            " where c.relnamespace = 'agents_jobs'::regnamespace and c.relkind = 'r' and a.attname = 'serialization'"
        )
    ]


TICKS = """
import asyncio
from agent.jobs import Jobs
from agent.learning.background_learner import background_learner
from agent.learning.learning_runs import LearningRun, learning_runs
from agent.runtime import open_runtime

async def main():
    jobs = Jobs(await open_runtime(), maintenance="*/2 * * * * *")
    await jobs.start()
    print("started", jobs.executor_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_row_that_brings_code_is_refused_and_one_from_before_is_removed_unread(
    runtime: Runtime, tmp_path: Path
) -> None:
    code = base64.b64encode(pickle.dumps({"args": (Mark(tmp_path / "ran"),), "kwargs": {}})).decode()
    jobs = Jobs(runtime, maintenance="0 0 1 1 *")
    await jobs.start()
    places = await tables(runtime)
    await jobs.stop()
    assert len(places) >= 6, places
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        for place in places:
            (check,) = conn.execute(
                "select pg_get_constraintdef(oid) from pg_constraint where conname = 'no_pickle' and conrelid = %s::regclass",
                [f"agents_jobs.{place}"],
            ).fetchone()
            assert "portable_json" in check
        conn.execute("set session_replication_role = replica")  # a writer of one table need not know the others
        plant = """insert into agents_jobs.workflow_status
            (workflow_uuid, status, name, inputs, serialization, executor_id, application_version, queue_name, created_at, updated_at)
            values ('planted', 'PENDING', 'maintenance', %s, 'py_pickle', 'gone', '1', null, 1, 1)"""
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(plant, [code])
        for place in places:
            conn.execute(f"alter table agents_jobs.{place} drop constraint no_pickle")
        conn.execute(plant, [code])
    async with agent_process(runtime.settings, "-c", TICKS, folder=tmp_path) as process:
        await process.until_said("started")
        await asyncio.sleep(7)  # the supervisor would have taken the planted job over, and a worker would have read it
    assert not (tmp_path / "ran").exists()
    assert await runtime.all("select 1 from agents_jobs.workflow_status where workflow_uuid = 'planted'") == []


JOBS = """select workflow_uuid as id, status, executor_id from agents_jobs.workflow_status
           where name = 'maintenance' order by created_at"""


async def jobs_when(runtime: Runtime, condition: Callable[[list[dict[str, Any]]], Any], *, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition(await runtime.all(JOBS)):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(await runtime.all(JOBS))


async def test_one_of_three_processes_runs_each_tick_and_a_kill_in_the_middle_loses_none(
    runtime: Runtime, tmp_path: Path
) -> None:
    await human_approval_queue.request("call_api", {}, runtime=runtime)  # somebody to work for
    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(agent_process(runtime.settings, "-c", TICKS, folder=tmp_path))
            for _ in range(3)
        ]
        for process in started:
            await process.until_said("started")
        await jobs_when(runtime, lambda jobs: sum(job["status"] == "SUCCESS" for job in jobs) >= 3, seconds=30)
        with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
            conn.execute("lock table agents.idempotent_requests in access exclusive mode")  # maintenance waits for it
            held = await jobs_when(
                runtime, lambda jobs: [job for job in jobs if job["status"] == "PENDING"], seconds=20
            )
            (victim,) = [process for process in started if f"-{process.pid}-" in held[0]["executor_id"]]
            victim.kill()
        done = await jobs_when(
            runtime,
            lambda jobs: [job for job in jobs if job["id"] == held[0]["id"] and job["status"] == "SUCCESS"],
            seconds=40,
        )
        assert done[0]["executor_id"] != held[0]["executor_id"]
        await asyncio.sleep(3)
    jobs = await runtime.all("select workflow_uuid as id from agents_jobs.workflow_status where name = 'maintenance'")
    ticks = sorted(datetime.fromisoformat(job["id"].removeprefix("sched-maintenance-")) for job in jobs)
    assert {later - earlier for earlier, later in itertools.pairwise(ticks)} == {timedelta(seconds=2)}


async def test_the_learner_runs_when_it_is_due_and_its_start_adds_nothing(runtime: Runtime) -> None:
    await human_approval_queue.request("call_api", {}, runtime=runtime)  # somebody to work for
    jobs = Jobs(runtime, maintenance="0 0 1 1 *", learning="* * * * * *")
    await jobs.start()
    try:
        tasks = len(asyncio.all_tasks())
        await background_learner.start(runtime=runtime)
        assert len(asyncio.all_tasks()) == tasks
        end = time.monotonic() + 30
        runs: list[LearningRun] = []
        while time.monotonic() < end and not (runs and runs[0].status == "done"):
            await asyncio.sleep(0.1)
            runs = await learning_runs.recent(runtime=runtime)
        await asyncio.sleep(2.5)  # more ticks, of which none is due
        assert [(run.status, run.woken_by) for run in await learning_runs.recent(runtime=runtime)] == [
            ("done", "schedule")
        ]
    finally:
        await jobs.stop()
