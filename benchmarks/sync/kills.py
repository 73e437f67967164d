"""Kill publishers, the server and subscribers at any moment: no number is missing, and nobody misses an event."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.commands import environment

from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.testing.processes import free_port
from benchmarks.report import Report

WORKER = Path(__file__).parents[2] / "tests" / "cases" / "sync_worker.py"
ROLES = ("serve", "publish", "consume", "follow")
KILLS, TOTAL = 100, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left after the kills: the numbers of the events, what each carries, and what the two subscribers saw, in their order."""

    numbers: list[int]
    carried: list[int]
    consumed: list[int]
    followed: list[int]

    @property
    def gaps(self) -> int:
        """Return how many numbers are missing."""
        return len(set(range(1, max(self.numbers, default=0) + 1)) - set(self.numbers))

    @property
    def lost(self) -> int:
        """Return how many events were not stored, or not seen by a subscriber."""
        numbers = set(self.numbers)
        unseen = len(numbers - set(self.consumed)) + len(numbers - set(self.followed))
        return TOTAL - len(set(self.carried)) + unseen


async def race(runtime: Runtime, *, kills: int, seed: int = 9) -> Outcome:
    """Kill the server, its publisher and two subscribers, `kills` processes in all; let the last ones end, and return what is left.

    The publisher repeats with the same keys what it got no answer to. One subscriber is durable: it writes down, then acknowledges.
    The other follows over a WebSocket, and goes on from the offset that it kept.
    """
    settings, service, chance = runtime.settings, AgentSyncService(runtime), random.Random(seed)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    channel = (await service.create_sync_channel(name="killed")).channel_id
    await service.subscribe_agent_to_channel("r", channel, ack_wait_seconds=0.3, max_deliver=1_000, start="all")
    await service.subscribe_agent_to_channel("f", channel, start="all")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "create table public.seen (who text, sequence bigint, place serial); create table public.reached (value text)"
        )
    port = free_port()
    more = {"SEEN": url, "SERVER": f"http://127.0.0.1:{port}", "AGENT_RATE_LIMIT": "100000/minute"}
    variables = {**os.environ, **environment(settings), **more}

    def start(role: str) -> subprocess.Popen[bytes]:
        served = ["-m", "agent.cli.main", "serve", "--port", str(port)]
        return subprocess.Popen(
            [sys.executable, *(served if role == "serve" else [str(WORKER), role, channel])], env=variables, cwd=WORKER.parent,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    left = kills
    while left > 0:
        workers = [start(role) for role in ROLES]
        await _answers(more["SERVER"], workers)
        await asyncio.sleep(chance.uniform(0.0, 0.6))
        for worker in chance.sample(workers, len(workers)):
            worker.kill()
            worker.wait()
            await asyncio.sleep(chance.choice([0.0, 0.05]))
        left -= len(workers)
    workers = [start(role) for role in ROLES]
    try:
        async with asyncio.timeout(300):
            while not await _ended(runtime, url, workers[ROLES.index("publish")]):
                await asyncio.sleep(0.2)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return await _left(runtime, channel, url)


async def _answers(server: str, workers: list[subprocess.Popen[bytes]]) -> None:
    async with httpx.AsyncClient(base_url=server) as client, asyncio.timeout(120):
        while True:
            assert workers[0].poll() is None, "the server ended by itself"
            try:
                await client.get("/health")
            except httpx.TransportError:
                await asyncio.sleep(0.02)
            else:
                return


async def _ended(runtime: Runtime, url: str, publisher: subprocess.Popen[bytes]) -> bool:
    if publisher.poll() != 0:
        return False
    (held,) = await AgentSyncService(runtime).list_subscriptions(agent_id="r")
    with psycopg.connect(url) as conn:
        row: Any = conn.execute("select max(sequence) from public.seen where who = 'follow'").fetchone()
    return not held.lag and not held.pending and row[0] is not None and row[0] >= TOTAL


async def _left(runtime: Runtime, channel: str, url: str) -> Outcome:
    rows = await runtime.all(
        "select sequence, data from agents.agent_sync_events where tenant_id = %(tenant_id)s and channel_id = %(channel)s::uuid"
        " order by sequence",
        channel=channel,
    )
    with psycopg.connect(url) as conn:
        seen = conn.execute("select who, sequence from public.seen order by place").fetchall()
    return Outcome(
        numbers=[row["sequence"] for row in rows], carried=[row["data"]["n"] for row in rows],
        consumed=[number for who, number in seen if who == "consume"],
        followed=[number for who, number in seen if who == "follow"],
    )  # fmt: skip


async def measure(report: Report, runtime: Runtime) -> None:
    """Measure gaps and losses."""
    left = await race(runtime, kills=KILLS)
    report.bar(
        f"gaps and lost events over {KILLS} kill -9 of publisher, server and two subscribers", bar="0 and 0",
        reached=f"{left.gaps} and {left.lost}", ok=left.gaps == left.lost == 0,
    )  # fmt: skip
