"""What the plans of a process write: each run in its own order, each entry whole or not at all, whatever the others do."""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import psycopg
import pytest

from agent.orchestration import store
from agent.orchestration.journal import PlanLost, journal_of
from agent.orchestration.plan import read_plan
from agent.orchestration.store import Owned
from agent.runtime import Runtime

RUNS, EVENTS = 25, 30


async def begun(runtime: Runtime) -> Owned:
    owned = await store.begin(read_plan({"id": "p", "steps": [{"id": "s", "agentId": "a"}]}), runtime=runtime)
    assert owned is not None
    return owned


async def test_runs_that_write_at_the_same_time_keep_their_order_and_an_entry_that_is_refused_leaves_nothing(runtime: Runtime) -> None:  # fmt: skip
    runs = await asyncio.gather(*(begun(runtime) for _ in range(RUNS)))
    journal, chance = journal_of(runtime), random.Random(1)
    query = store._QUERIES["event"]

    def event(owned: Owned, at: int) -> dict[str, object]:
        return {"id": owned.run_id, "epoch": owned.epoch, "kind": "k", "step_id": str(at), "payload": "{}"}

    async def write(owned: Owned, at: int) -> None:
        if at % 7 == 3:  # its first statement could be stored, its second cannot
            statements = ((query, {**event(owned, at), "step_id": "half"}), ("select 1 / 0", {}))
            with pytest.raises(psycopg.errors.DivisionByZero):
                await journal.write(owned.run_id, *statements)
        else:
            written = journal.write(owned.run_id, (query, event(owned, at)), fenced=True, urgent=chance.random() < 0.3)
            assert await written == [1]

    async def of_run(owned: Owned) -> None:
        writes = []
        for at in range(EVENTS):
            writes.append(asyncio.create_task(write(owned, at)))
            await asyncio.sleep(chance.choice((0, 0, 0.002)))
        await asyncio.gather(*writes)

    await asyncio.gather(*map(of_run, runs))
    expected = [str(at) for at in range(EVENTS) if at % 7 != 3]
    for owned in runs:
        assert [one.step_id for one in await store.events(owned.run_id, runtime=runtime)] == expected


async def test_a_run_may_write_more_than_fits_in_a_transaction_and_whoever_lost_it_learns_it(runtime: Runtime) -> None:  # fmt: skip
    owned = await begun(runtime)
    written = [store.note(owned, "k", {"at": at}, runtime=runtime) for at in range(700)]
    lost = store.note(Owned(run_id=owned.run_id, epoch=9), "k", {}, runtime=runtime)
    unknown = store.note(Owned(run_id=uuid4(), epoch=1), "k", {}, runtime=runtime)
    await journal_of(runtime).close()  # stores what waits, also what may wait
    assert [await one for one in written] == [[1]] * 700
    assert [one.payload["at"] for one in await store.events(owned.run_id, runtime=runtime)] == list(range(700))
    for one in (lost, unknown):
        with pytest.raises(PlanLost):
            await one
