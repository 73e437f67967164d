"""`agent worker --autoscale`: real processes come when work waits, go when it is quiet, and lose nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.worker.notes import APPROVE, Model, change, note_texts, status, until

from agent.chat import chat
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.runtime import Runtime
from agent.testing.openai_server import OpenAIServer
from agent.testing.processes import AgentProcess, agent_process
from agent.worker import Bounds, Worker
from agent.worker.scaling import Load, affordable, looked
from agent.worker.supervisor import CONNECTIONS


@given(st.lists(st.integers(0, 100), max_size=60))
def test_it_grows_after_two_crowded_looks_shrinks_after_quiet_and_stays_in_its_bounds(seen: list[int]) -> None:
    bounds, load, processes = Bounds(least=1, most=3, waiting=5, quiet_seconds=4), Load(), 1
    for number, waiting in enumerate(seen):
        load, after = looked(load, bounds, processes=processes, waiting=waiting, now=float(number))
        assert bounds.least <= after <= bounds.most
        if after > processes:
            assert all(one > 5 * processes for one in seen[number - 1 : number + 1])
            assert number >= 1
        if after < processes:
            assert seen[number - 4 : number + 1] == [0] * 5
        processes = after


def test_a_server_bounds_how_many_processes_there_are() -> None:
    assert affordable(most=8, limit=97, others=10, each=CONNECTIONS) == 87 // CONNECTIONS
    assert affordable(most=8, limit=20, others=19, each=CONNECTIONS) == 1


def changes(process: AgentProcess) -> list[dict[str, Any]]:
    found = []
    for line in process.said.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return [one for one in found if isinstance(one, dict) and "kind" in one]


def working(process: AgentProcess) -> list[int]:
    """The processes that work, by what was said."""
    kinds: dict[int, str] = {}
    for one in changes(process):
        kinds[one["pid"]] = one["kind"]
    return [pid for pid, kind in kinds.items() if kind == "working"]


def lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


async def test_processes_come_with_the_work_one_is_killed_none_is_lost_and_all_end(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    asked = [await chat.answer(f"change note {n}", thread_id=f"t{n}", runtime=notes) for n in range(1, 11)]
    for answer in asked:
        await approvals.decide(answer.approvals[0].id, APPROVE, via="api", runtime=notes)
    model.seconds = 2.5
    options = ("worker", "--autoscale", "--max", "2", "--waiting", "3", "--quiet", "1", "--json")
    async with agent_process(
        notes.settings, *options, folder=tmp_path, model=http_model, AGENT_WORKER_SLOTS="1"
    ) as supervisor:

        async def two_work() -> Any:
            pids = working(supervisor)
            return pids if len(pids) == 2 else None

        first, second = await until(two_work, seconds=90)
        os.kill(first, signal.SIGKILL)

        async def all_done() -> bool:
            texts = note_texts(notes)
            return all([await status(notes, f"t{n}") == "done" and texts[n] == "n!" for n in range(1, 11)])

        await until(all_done, seconds=120)

        async def one_is_left() -> bool:
            kinds = [one["kind"] for one in changes(supervisor)]
            return kinds.count("ended") >= 1 and len(working(supervisor)) == 1

        await until(one_is_left, seconds=60)
        said = changes(supervisor)
        assert "died" in [one["kind"] for one in said if one["pid"] == first]
        assert [one["kind"] for one in said].count("started") == 3
        assert max(one["processes"] for one in said) == 2
        assert await supervisor.end() == 0, supervisor.said
        assert not any(lives(one["pid"]) for one in said)
    assert second in [one["pid"] for one in said]


async def test_processes_end_with_a_supervisor_that_is_killed(
    notes: Runtime, http_model: OpenAIServer, tmp_path: Path
) -> None:
    async with agent_process(
        notes.settings, "worker", "--autoscale", "--json", folder=tmp_path, model=http_model
    ) as supervisor:

        async def works() -> Any:
            return working(supervisor)

        (child,) = await until(works, seconds=60)
        supervisor.kill()

        async def gone() -> bool:
            return not lives(child)

        await until(gone)


async def test_a_worker_that_drains_takes_nothing_more_and_ends_what_it_holds_however_long(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    waiting = await chat.answer("change note 1", thread_id="t", runtime=notes)
    model.seconds = 8.0  # longer than a process that is asked to end waits
    runtime = replace(notes, cached={})
    worker = Worker(runtime)
    running = asyncio.create_task(worker.run())
    await approvals.decide(waiting.approvals[0].id, APPROVE, via="api", runtime=notes)

    async def model_works() -> bool:
        return len(model.asked) == 2

    await until(model_works)
    worker.drain()
    late = await safe_executor.execute("execute_sql", {"sql": change(2)}, wait=False, runtime=notes)
    await approvals.decide(late["approval_id"], APPROVE, via="api", runtime=notes)
    await running
    assert (await status(notes, "t"), len(model.asked), note_texts(notes)[2]) == ("done", 2, "n")
