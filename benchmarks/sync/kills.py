"""Kill publishers and subscribers at any moment: no number is missing, and nobody misses an event."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import psycopg
from tests.commands import environment

from agent.runtime import Runtime
from agent.sync import AgentSyncService
from benchmarks.report import Report

WORKER = Path(__file__).parents[2] / "tests" / "cases" / "sync_worker.py"
KILLS, TOTAL = 100, 300


async def measure(report: Report, runtime: Runtime) -> None:
    settings, service, chance = runtime.settings, AgentSyncService(runtime), random.Random(9)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    channel = (await service.create_sync_channel(name="killed")).channel_id
    await service.subscribe_agent_to_channel("r", channel, ack_wait_seconds=0.3, max_deliver=1_000, start="all")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.seen (sequence bigint)")
    variables = {**os.environ, **environment(settings), "SEEN": url}

    def start(role: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(WORKER), role, channel], env=variables)

    for _ in range(KILLS // 4):  # two of each at a time
        workers = [start(role) for role in ("publish", "consume", "publish", "consume")]
        await asyncio.sleep(chance.uniform(1.0, 4.0))
        for worker in workers:
            worker.kill()
            worker.wait()
    workers = [start("publish"), start("consume")]
    async with asyncio.timeout(300):
        while True:
            (held,) = await service.list_subscriptions(agent_id="r")
            if workers[0].poll() == 0 and not held.lag and not held.pending:
                break
            await asyncio.sleep(0.2)
    workers[1].kill()
    workers[1].wait()
    rows = await runtime.all(
        "select sequence, data from agents.agent_sync_events where tenant_id = %(tenant_id)s and channel_id = %(channel)s::uuid",
        channel=channel,
    )
    with psycopg.connect(url) as conn:
        seen = {row[0] for row in conn.execute("select distinct sequence from public.seen")}
    numbers = sorted(row["sequence"] for row in rows)
    gaps = len(set(range(1, max(numbers) + 1)) - set(numbers))
    lost = TOTAL - len({row["data"]["n"] for row in rows}) + len(set(numbers) - seen)
    report.bar(
        f"gaps and lost events over {KILLS} kill -9 of publishers and subscribers", bar="0 and 0", reached=f"{gaps} and {lost}",
        ok=gaps == lost == 0,
    )  # fmt: skip
