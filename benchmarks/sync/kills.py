"""Kill publishers and subscribers at any moment: no number is missing, and nobody misses an event."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tests.commands import environment

from agent.runtime import Runtime
from agent.sync import AgentSyncService
from benchmarks.report import Report

WORKER = Path(__file__).parents[2] / "tests" / "cases" / "sync_worker.py"
KILLS, TOTAL = 100, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left after the kills: the numbers of the events, what each carries, and the numbers that a subscriber saw."""

    numbers: list[int]
    carried: list[int]
    seen: set[int]


async def race(runtime: Runtime, *, kills: int, at_once: int = 1, seed: int = 9) -> Outcome:
    """Kill `at_once` publishers and as many subscribers at a time, `kills` in all; let the last ones end, and return what is left.

    Each publisher repeats with the same keys what it does not know to be stored; each subscriber writes down, then acknowledges.
    """
    settings, service, chance = runtime.settings, AgentSyncService(runtime), random.Random(seed)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    channel = (await service.create_sync_channel(name="killed")).channel_id
    await service.subscribe_agent_to_channel("r", channel, ack_wait_seconds=0.3, max_deliver=1_000, start="all")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.seen (sequence bigint)")
    variables = {**os.environ, **environment(settings), "SEEN": url}

    def start(role: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(WORKER), role, channel], env=variables)

    for _ in range(kills // (2 * at_once)):
        workers = [start(role) for role in ("publish", "consume") * at_once]
        await asyncio.sleep(chance.uniform(1.0, 4.0))
        for worker in workers:
            worker.kill()
            worker.wait()
    workers = [start("publish"), start("consume")]
    async with asyncio.timeout(200):
        while True:
            (held,) = await service.list_subscriptions(agent_id="r")
            if workers[0].poll() == 0 and not held.lag and not held.pending:
                break
            await asyncio.sleep(0.2)
    workers[1].kill()
    workers[1].wait()
    rows = await runtime.all(
        "select sequence, data from agents.agent_sync_events where tenant_id = %(tenant_id)s and channel_id = %(channel)s::uuid"
        " order by sequence",
        channel=channel,
    )
    with psycopg.connect(url) as conn:
        seen = {row[0] for row in conn.execute("select distinct sequence from public.seen")}
    return Outcome(numbers=[row["sequence"] for row in rows], carried=[row["data"]["n"] for row in rows], seen=seen)


async def measure(report: Report, runtime: Runtime) -> None:
    """Measure gaps and losses."""
    left = await race(runtime, kills=KILLS, at_once=2)
    gaps = len(set(range(1, max(left.numbers) + 1)) - set(left.numbers))
    lost = TOTAL - len(set(left.carried)) + len(set(left.numbers) - left.seen)
    report.bar(
        f"gaps and lost events over {KILLS} kill -9 of publishers and subscribers", bar="0 and 0", reached=f"{gaps} and {lost}",
        ok=gaps == lost == 0,
    )  # fmt: skip
