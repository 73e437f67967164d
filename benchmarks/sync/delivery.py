"""Measure how events reach their readers: replay, idle latency, beside a stuck subscriber, and to 1,000 followers."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import psycopg

from agent.runtime import Runtime, open_runtime
from agent.sync import AgentSyncService
from agent.testing.served import served
from benchmarks.report import Report

REPLAYED, PAGE, SAMPLES, CLIENTS, SENT = 20_000, 1_000, 200, 1_000, 30
DATA = {"status": "processing", "progress": 0.5, "metrics": {"processed": 1500, "remaining": 500}}
SELECT = """select channel_id, sequence, event_type, source_agent_id, data, published_at from agents.agent_sync_events
 where tenant_id = %(tenant_id)s and channel_id = %(channel)s and sequence > %(after)s order by sequence limit 1000"""


def event(**data: Any) -> dict[str, Any]:
    return {"source_agent_id": "bench", "event_type": "n", "data": {**DATA, **data}}


def p(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


async def replay(report: Report, runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = (await service.create_sync_channel(name="replay")).channel_id
    await service.subscribe_agent_to_channel("replayer", channel, start="all")
    for _ in range(REPLAYED // PAGE):
        await service.publish_sync_events(channel, [event()] * PAGE)

    async def bare() -> int:
        count = 0
        while rows := await runtime.all(SELECT, channel=channel, after=count):
            count += len(rows)
        return count

    async def ours() -> int:
        count, offset = 0, "-1"
        while events := (
            reading := await service.get_agent_events("replayer", offset=offset, channel_id=channel, limit=PAGE)
        ).events:
            count, offset = count + len(events), reading.offset
        return count

    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(6):
        for name, read in (("bare", bare), ("ours", ours)):
            started = time.perf_counter()
            assert await read() == REPLAYED
            if turn:
                seconds[name].append(time.perf_counter() - started)
    share = median(seconds["bare"]) / median(seconds["ours"])
    report.bar(
        f"replay of {REPLAYED:,} events in pages of {PAGE:,}, over a bare SELECT", bar=">= 70 %",
        reached=f"{share:.0%} ({REPLAYED / median(seconds['ours']):,.0f} events a second)", ok=share >= 0.7,
    )  # fmt: skip


async def idle(report: Report, runtime: Runtime) -> None:
    """From the publish call to the reader in another process's connections, one at a time, against a notification's way."""
    url = runtime.db.conninfo("agent_app")
    bare: list[float] = []
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as sender,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as listener,
    ):
        await listener.execute("listen bench")
        for _ in range(SAMPLES):
            await asyncio.sleep(0.01)
            started = time.perf_counter()
            await sender.execute("select pg_notify('bench', '')")
            async for _one in listener.notifies(stop_after=1):
                pass
            bare.append(time.perf_counter() - started)
    other = await open_runtime(runtime.settings)
    try:
        service = AgentSyncService(runtime)
        channel = (await service.create_sync_channel(name="idle")).channel_id
        await service.subscribe_agent_to_channel("idle", channel)
        times = await _latencies(service, channel, [AgentSyncService(other)], "idle", SAMPLES, pause=0.06)
    finally:
        await other.close()
    ratio = p(times, 99) / p(bare, 99)
    report.bar(
        "idle delivery p99, over a bare LISTEN/NOTIFY round trip", bar="<= 3 x",
        reached=f"{ratio:.1f} x ({p(times, 99) * 1000:.1f} ms of {p(bare, 99) * 1000:.1f} ms; medians {median(times) * 1000:.1f} of {median(bare) * 1000:.1f})",
        ok=ratio <= 3,
    )  # fmt: skip


async def _latencies(
    service: AgentSyncService, channel: str, readers: list[AgentSyncService], agent: str, count: int, *, pause: float
) -> list[float]:
    """Publish one event after the other, and return how long each took to each reader."""
    times: list[float] = []
    arrived = asyncio.Event()
    ready = [asyncio.Event() for _ in readers]

    async def follow(place: int, reader: AgentSyncService) -> None:
        async for reading in reader.follow_agent_events(agent, channel_id=channel, offset="now"):
            ready[place].set()
            for one in reading.events:
                times.append(time.perf_counter() - one.data["at"])
                arrived.set()

    tasks = [asyncio.create_task(follow(place, reader)) for place, reader in enumerate(readers)]
    await asyncio.gather(*(one.wait() for one in ready))
    await asyncio.sleep(0.3)
    for _ in range(count):
        await asyncio.sleep(pause)
        arrived.clear()
        await service.publish_sync_event(channel, event(at=time.perf_counter()))
        async with asyncio.timeout(10):
            await arrived.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return times


async def stuck(report: Report, runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = (await service.create_sync_channel(name="stuck")).channel_id
    await service.subscribe_agent_to_channel("well", channel)
    before = await _latencies(service, channel, [service], "well", SAMPLES, pause=0.01)
    await service.subscribe_agent_to_channel("stuck", channel, max_ack_pending=10, ack_wait_seconds=1)

    async def hang(_event: Any) -> None:
        await asyncio.Event().wait()

    hanging = asyncio.create_task(service.consume("stuck", channel, hang))
    after = await _latencies(service, channel, [service], "well", SAMPLES, pause=0.01)
    hanging.cancel()
    ratio = p(after, 99) / p(before, 99)
    report.bar(
        "p99 of the others beside one stuck subscriber", bar="< 2 x",
        reached=f"{ratio:.1f} x ({p(before, 99) * 1000:.1f} -> {p(after, 99) * 1000:.1f} ms)", ok=ratio < 2,
    )  # fmt: skip


async def followers(report: Report, runtime: Runtime, *, kind: str) -> None:
    """The clients are another process: what they need themselves takes nothing from the server but the machine."""
    service = AgentSyncService(runtime)
    channel = (await service.create_sync_channel(name=kind)).channel_id
    for number in range(CLIENTS):
        await service.subscribe_agent_to_channel(f"{kind}-{number}", channel)
    # One caller for all of them: AGENT_RATE_LIMIT would refuse their connections after the first 600 of a minute, and a stream
    # is a request for as long as it lasts, of which AGENT_MOST_REQUESTS are served at a time.
    free = replace(
        runtime,
        settings=runtime.settings.model_copy(update={"rate_limit": "100000/minute", "most_requests": 2 * CLIENTS}),
    )
    async with served(free) as client:
        command = [sys.executable, "-m", "benchmarks.sync.clients", kind, str(client.base_url), str(CLIENTS), str(SENT)]
        started = time.perf_counter()
        clients = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=2**24)
        assert clients.stdout is not None
        async with asyncio.timeout(400):
            assert await clients.stdout.readline() == b"ready\n"
        connected = time.perf_counter() - started
        for number in range(SENT):
            await service.publish_sync_event(channel, event(n=number, at=time.perf_counter()))
            await asyncio.sleep(0.5)
        seen = json.loads(await clients.stdout.readline())
        await clients.wait()
    lost, times = CLIENTS * SENT - seen["right"], seen["times"]
    report.bar(
        f"events lost or out of order for {CLIENTS:,} clients over {kind} on one process, {SENT} events each", bar="0",
        reached=f"{lost:,} (p50 {p(times, 50):.2f} s, p95 {p(times, 95):.2f} s; connected in {connected:.0f} s)", ok=lost == 0,
    )  # fmt: skip
