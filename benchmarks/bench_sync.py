"""Measure synchronisation: publishing, then what benchmarks/sync has. Publishing: single events against a bare INSERT with NOTIFY, and batches against a bare batch INSERT, in the same run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from statistics import median

import psycopg

from agent.db import Connection
from agent.runtime import Runtime, open_runtime
from agent.sync import AgentSyncService
from agent.testing.cluster import Cluster
from benchmarks.report import Report
from benchmarks.sync import delivery, kills, merges, outages

WRITERS, SINGLE, BATCHES, BATCH, ROUNDS = 8, 150, 6, 1_000, 5
DATA = {"status": "processing", "progress": 0.5, "metrics": {"processed": 1500, "remaining": 500}}
EVENT = {"source_agent_id": "bench", "event_type": "status_update", "data": DATA}
# What somebody would write by hand: the same columns, and a number from a sequence.
BARE = """
create table agents.bare_events (
  id bigint generated always as identity primary key, channel_id uuid not null, event_type text not null, source_agent_id text,
  target_agents text[], data jsonb not null, published_at timestamptz not null default now());
grant select, insert on agents.bare_events to agent_app
"""
INSERT = "insert into agents.bare_events (channel_id, event_type, source_agent_id, data) values (%s, %s, %s, %s::jsonb) returning id"
NOTIFY = f"with made as ({INSERT}) select id, pg_notify('bare', id::text) from made"
MANY = """insert into agents.bare_events (channel_id, event_type, source_agent_id, data)
select %s, t, s, d::jsonb from unnest(%s::text[], %s::text[], %s::text[]) as g(t, s, d) returning id, published_at"""


async def measure(report: Report) -> None:
    cluster = Cluster()
    try:
        settings = cluster.database(cluster.template("blank"))
        assert settings.database_url is not None
        with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
            conn.execute(BARE)
        runtime = await open_runtime(settings)
        try:
            await _measure(report, runtime)
            await delivery.replay(report, runtime)
            await delivery.idle(report, runtime)
            await delivery.stuck(report, runtime)
            await delivery.followers(report, runtime, kind="sockets")
            await delivery.followers(report, runtime, kind="streams")
            merges.measure(report)
            await outages.measure(report, runtime)
            await kills.measure(report, runtime)
        finally:
            await runtime.close()
    finally:
        cluster.close()


async def _measure(report: Report, runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    ids = [(await service.create_sync_channel(name=f"c{number}")).channel_id for number in range(WRITERS)]

    async def bare(conn: Connection, channel: str) -> None:
        await conn.execute(NOTIFY, [channel, "status_update", "bench", json.dumps(DATA)])

    async def bare_many(conn: Connection, channel: str) -> None:
        values = [channel, ["status_update"] * BATCH, ["bench"] * BATCH, [json.dumps(DATA)] * BATCH]
        await (await conn.execute(MANY, values)).fetchall()

    async def ours(channel: str) -> None:
        await service.publish_sync_event(channel, EVENT)

    async def ours_many(channel: str) -> None:
        await service.publish_sync_events(channel, [EVENT] * BATCH)

    def by_hand(write: Callable[[Connection, str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        async def through_the_pool(channel: str) -> None:
            async with runtime.connection() as conn:
                await write(conn, channel)

        return through_the_pool

    single = {"bare": by_hand(bare), "ours": ours}
    rates = await _compared(single, ids, SINGLE)
    share = rates["ours"] / rates["bare"]
    report.bar(
        f"single publishes, {WRITERS} writers on {WRITERS} channels, over a bare INSERT with NOTIFY", bar=">= 60 %",
        reached=f"{share:.0%} ({rates['ours']:,.0f} of {rates['bare']:,.0f} a second)", ok=share >= 0.6,
    )  # fmt: skip
    one = await _compared(single, ids[:1] * WRITERS, SINGLE)
    report.note(
        f"{WRITERS} writers on one channel: {one['ours']:,.0f} single publishes a second (bare {one['bare']:,.0f})"
    )
    batched = {"bare": by_hand(bare_many), "ours": ours_many}
    rates = {name: BATCH * rate for name, rate in (await _compared(batched, ids, BATCHES)).items()}
    share = rates["ours"] / rates["bare"]
    report.bar(
        f"publishes in batches of {BATCH:,}, over a bare batch INSERT", bar=">= 50 %",
        reached=f"{share:.0%} ({rates['ours']:,.0f} of {rates['bare']:,.0f} events a second)", ok=share >= 0.5,
    )  # fmt: skip
    figures = await service.get_sync_statistics()
    row = await runtime.one("select count(*) as n from agents.agent_sync_events where tenant_id = %(tenant_id)s")
    report.bar(
        "events stored, over the sum of the channels' last numbers", bar="equal", reached=f"{row['n']:,} of {figures.event_count:,}" if row else "none",
        ok=bool(row) and row["n"] == figures.event_count > 0,
    )  # fmt: skip


async def _compared(
    ways: dict[str, Callable[[str], Awaitable[None]]], channels: list[str], count: int
) -> dict[str, float]:
    """Return the median of operations a second of each way, measured in turns so that both see the same machine."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name in sorted(ways, reverse=bool(turn % 2)):
            rate = await _rate(ways[name], channels, count)
            if turn:  # the first warms up
                rates[name].append(rate)
    return {name: median(found) for name, found in rates.items()}


async def _rate(write: Callable[[str], Awaitable[None]], channels: list[str], count: int) -> float:
    async def writer(channel: str) -> None:
        for _ in range(count):
            await write(channel)

    started = time.perf_counter()
    await asyncio.gather(*map(writer, channels))
    return count * len(channels) / (time.perf_counter() - started)
