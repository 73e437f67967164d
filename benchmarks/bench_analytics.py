"""Measure analytics: models in worlds whose truth is known, batched ingest against a bare INSERT, and endpoints at a million runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import psycopg

from agent.analytics import AnalyticsService
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.served import served
from benchmarks.analytics.judging import judge_choices, judge_coordination, judge_predictions, judge_sequences
from benchmarks.analytics.world import AGENTS, TASKS
from benchmarks.report import Report

BATCH, BATCHES, ROUNDS = 1_000, 5, 6
FEW, MANY = 10_000, 1_000_000
REGISTERED, DOCUMENTED = 10_000, 71
POSTED = {
    "/analytics/predictions": {"agent_name": "agent-1", "task_type": "task-1"},
    "/analytics/recommendations": {"task_type": "task-1"},
}
# What somebody would write by hand: the document's table and one statement a batch.
BARE = """
create table agents.bare_log (
  id serial primary key, agent_name varchar(255) not null, task_id uuid, task_type varchar(255), execution_time float, success boolean,
  error_message text, resource_usage jsonb, "timestamp" timestamp default now());
grant select, insert on agents.bare_log to agent_app; grant usage on sequence agents.bare_log_id_seq to agent_app
"""
INSERT = """insert into agents.bare_log (agent_name, task_id, task_type, execution_time, success, resource_usage)
select a, i, t, e, s, u::jsonb from unnest(%s::text[], %s::uuid[], %s::text[], %s::float8[], %s::boolean[], %s::text[]) as g(a, i, t, e, s, u)"""
# As agents would log them, by SQL: all of them are counted by the same triggers as what comes through the service.
FILL = """insert into agents.execution_log (tenant_id, agent_name, task_id, task_type, execution_time, success, resource_usage, "timestamp")
select 'default', 'agent-' || (random() * %(agents)s)::int, gen_random_uuid(), 'task-' || (random() * %(tasks)s)::int, exp(random() * 2),
       random() < .8, '{"cpu": 10, "memory": 64}', now() - random() * interval '60 days' from generate_series(1, %(count)s)"""
ENDPOINTS = (
    "/agents/list", "/agents/agent-1/status", "/agents/agent-1/performance", "/analytics/performance", "/analytics/matrix",
    "/analytics/coordination", "/analytics/insights", "/analytics/patterns", "/analytics/anomalies", "/analytics/trends",
    "/analytics/trends?agent_name=agent-1", "/agents/agent-1/similar", "/analytics/models",
)  # fmt: skip


async def measure(report: Report) -> None:
    judge_predictions(report)
    judge_choices(report)
    judge_coordination(report)
    judge_sequences(report)
    cluster = Cluster()
    try:
        settings = cluster.database(cluster.template("blank"))
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(BARE)
        runtime = await open_runtime(settings.model_copy(update={"rate_limit": "1000000/minute"}))
        try:
            await _measure_ingest(report, runtime)
            await AnalyticsService(runtime).clear()
            await _measure_endpoints(report, runtime, url)
            await _measure_registry(report, runtime.for_tenant("many"), url)
        finally:
            await runtime.close()
    finally:
        cluster.close()


async def _measure_ingest(report: Report, runtime: Runtime) -> None:
    service = AnalyticsService(runtime)

    def made() -> list[dict[str, Any]]:
        return [
            {
                "agent_name": f"agent-{n % AGENTS}", "task_id": str(uuid4()), "task_type": f"task-{n % TASKS}", "execution_time": 1.5,
                "success": n % 5 > 0, "resource_usage": {"cpu": 10, "memory": 64},
            }
            for n in range(BATCH)
        ]  # fmt: skip

    async def bare(batch: list[dict[str, Any]]) -> None:
        names = ("agent_name", "task_id", "task_type", "execution_time", "success")
        columns: list[Any] = [[one[name] for one in batch] for name in names]
        async with runtime.connection() as conn:
            await conn.execute(INSERT, [*columns, ['{"cpu": 10, "memory": 64}'] * len(batch)])

    async def ours(batch: list[dict[str, Any]]) -> None:
        await service.log_runs(batch)

    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(ROUNDS + 1):
        for name, write in (("bare", bare), ("ours", ours)):
            rate = BATCH * BATCHES / await _seconds(write, [made() for _ in range(BATCHES)])
            if turn:  # the first warms up
                rates[name].append(rate)
    share = median(rates["ours"]) / median(rates["bare"])
    report.bar(
        f"runs logged in batches of {BATCH:,}, over a bare batch INSERT", bar=">= 40 %",
        reached=f"{share:.0%} ({median(rates['ours']):,.0f} of {median(rates['bare']):,.0f} a second)", ok=share >= 0.4,
    )  # fmt: skip


async def _seconds(
    write: Callable[[list[dict[str, Any]]], Awaitable[None]], batches: list[list[dict[str, Any]]]
) -> float:
    began = time.perf_counter()
    for batch in batches:
        await write(batch)
    return time.perf_counter() - began


async def _measure_endpoints(report: Report, runtime: Runtime, url: str) -> None:
    times: dict[int, dict[str, float]] = {}
    for count in (FEW, MANY):
        with psycopg.connect(url, autocommit=True) as conn:
            present = conn.execute("select count(*) from agents.execution_log").fetchone()
            conn.execute(
                FILL, {"agents": AGENTS - 1, "tasks": TASKS - 1, "count": count - (present[0] if present else 0)}
            )
            conn.execute("analyze")
        began = time.perf_counter()
        await AnalyticsService(runtime).upkeep()
        report.note(f"counting, training and searching at {count:,} runs: {time.perf_counter() - began:.1f} s")
        with psycopg.connect(url, autocommit=True) as conn:  # as autovacuum does within a minute
            conn.execute("vacuum analyze agents.execution_unfolded, agents.execution_rollups")
        async with served(runtime) as client:
            times[count] = {path: await _median_of(client, path) for path in (*ENDPOINTS, *POSTED)}
    slower = {path: times[MANY][path] / times[FEW][path] for path in (*ENDPOINTS, *POSTED)}
    worst = max(slower, key=lambda path: slower[path])
    report.bar(
        f"slowest growth of an endpoint from {FEW:,} to {MANY:,} runs", bar="<= 2x", ok=slower[worst] <= 2,
        reached=f"{slower[worst]:.2f}x ({worst}: {1000 * times[FEW][worst]:.0f} -> {1000 * times[MANY][worst]:.0f} ms)",
    )  # fmt: skip
    report.note(", ".join(f"{path} {1000 * seconds:.0f} ms" for path, seconds in times[MANY].items()))


async def _measure_registry(report: Report, runtime: Runtime, url: str) -> None:
    """A registry of so many agents, each with runs of one task type: registered, listed, recommended from."""
    service = AnalyticsService(runtime)
    times: dict[int, dict[str, float]] = {}
    for count in (DOCUMENTED, REGISTERED):
        known = await service.count_agents()
        began = time.perf_counter()
        for start in range(known, count, BATCH):
            await service.log_runs([
                {"agent_name": f"many-{n}", "task_id": str(uuid4()), "task_type": "t", "execution_time": 1.0, "success": n % 3 > 0}
                for n in range(start, min(start + BATCH, count))
            ])  # fmt: skip
        if count == REGISTERED:
            seconds = time.perf_counter() - began
            report.note(f"{count:,} agents registered by their first runs: {(count - known) / seconds:,.0f} a second")
        await service.train()
        times[count] = {
            "list": await _median(service.list_agents), "status": await _median(lambda: service.agent_status("many-7")),
            "recommend": await _median(lambda: service.recommend("t")), "matrix": await _median(service.matrix),
        }  # fmt: skip
    bare = await _median(
        lambda: runtime.all("select * from agents.agents where tenant_id = %(tenant_id)s order by name")
    )
    for name, seconds in times[REGISTERED].items():
        before = times[DOCUMENTED][name]
        report.note(
            f"{name} with {REGISTERED:,} agents: {1000 * seconds:.0f} ms ({1000 * before:.0f} ms with {DOCUMENTED}; a bare SELECT of all {1000 * bare:.0f} ms)"
        )


async def _median(operation: Callable[[], Awaitable[Any]]) -> float:
    found = []
    for _ in range(5):
        began = time.perf_counter()
        await operation()
        found.append(time.perf_counter() - began)
    return float(np.median(found))


async def _median_of(client: httpx.AsyncClient, path: str) -> float:
    found = []
    for _ in range(7):
        began = time.perf_counter()
        answer = await (client.post(path, json=POSTED[path]) if path in POSTED else client.get(path))
        found.append(time.perf_counter() - began)
        assert answer.status_code == 200, (path, answer.text)
    return float(np.median(found))
