"""Measure the console: what a page transfers, its server time with little and with much to show, how fast a request appears.

Little is 1,000 memories, executions and turns over 90 days, and 20 tables; much is 100,000 of each, and 200 tables. The bare route
beside them answers `/health` on the same server: one statement, no page. BENCH_CONSOLE_MUCH sets another number for "much".
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from statistics import median, quantiles

import httpx
import psycopg

from agent.console.application import create_app
from agent.console.rendering import asset
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.learning.memory.embeddings import calibrate, register_model, vector_literal
from agent.providers.embeddings import HashingEmbedder
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.served import serving
from benchmarks import wide_schema
from benchmarks.memory.filling import fill
from benchmarks.memory.text import texts
from benchmarks.report import Report

LITTLE, MUCH = 1_000, int(os.environ.get("BENCH_CONSOLE_MUCH", "100_000"))
ROUNDS, WARM, TRIPS = 40, 5, 20
PAGES = (
    "/console", "/console?range=30d", "/console/chat", "/console/chat/t-7", "/console/approvals", "/console/approvals?show=all", "/console/memory", "/console/memory?query=open invoices of a client",
    "/console/memory/{memory}", "/console/knowledge", "/console/activity", "/console/activity?status=failed", "/console/activity?status=refused", "/console/activity/{execution}",
    "/console/activity/audit", "/console/learning", "/console/learning/feedback", "/console/alerts", "/console/agents", "/console/plans", "/console/sync", "/console/improve",
    "/console/settings",
)  # fmt: skip
# Drawn with as many boxes as there are tables; measured, and compared per table.
DIAGRAM = "/console/knowledge?view=diagram"
_FILL = """
set session_replication_role = replica;
insert into agents.threads (tenant_id, thread_id, database_id, created_by, title, created_at, updated_at)
select 'default', 't-' || n, %(database)s, 'ana', 'question ' || n, now() - n * interval '90 days' / %(threads)s, now() - n * interval '90 days' / %(threads)s
  from generate_series(1, %(threads)s) n;
insert into agents.turns (tenant_id, thread_id, turn, status, asked_by, question, answer, input_tokens, output_tokens, started_at, finished_at)
select 'default', 't-' || (1 + n / 10), 1 + n %% 10, case when n %% 20 = 0 then 'failed' else 'done' end, 'ana', 'question ' || n, 'answer ' || n, 900, 60,
       now() - n * interval '90 days' / %(rows)s, now() - n * interval '90 days' / %(rows)s + interval '2 s'
  from generate_series(0, %(rows)s - 10) n;
insert into agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status, row_count, duration_ms, created_at, finished_at)
select 'default', %(database)s, 'ana', 'execute_sql', jsonb_build_object('sql', 'select ' || n), 'run', 'LOW', '{read}',
       case when n %% 20 = 0 then 'failed' else 'succeeded' end, n %% 100, 12, now() - n * interval '90 days' / %(rows)s, now()
  from generate_series(1, %(rows)s) n order by n desc;
insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, reasons, summary, binding, status, requested_by, decided_by, decided_via, created_at, expires_at, decided_at)
select 'default', %(database)s, 'execute_sql', jsonb_build_object('sql', 'update t0 set name = name'), 'LOW', '{write}', 'Changes a row of t0.', md5(n::text),
       case when n %% 5 = 0 then 'expired' else 'rejected' end, 'ana', 'bo', 'console', now() - n * interval '90 days' / %(threads)s,
       now() - n * interval '90 days' / %(threads)s + interval '1 day', now() - n * interval '90 days' / %(threads)s
  from generate_series(1, %(threads)s) n order by n desc;
insert into agents.answer_feedback (tenant_id, thread_id, turn, person, correct, via, given_at)
select 'default', 't-' || (1 + n / 10), 1 + n %% 10, 'ana', n %% 3 > 0, 'console', now() - n * interval '90 days' / %(rows)s
  from generate_series(0, %(rows)s - 10, 4) n;
set session_replication_role = origin;
"""


async def measure(report: Report) -> None:
    """Measure the bars of the console."""
    cluster = Cluster()
    try:
        little = await _filled(cluster, LITTLE, report)
        much = await _filled(cluster, MUCH, report)
        try:
            await _pages(report, little, much)
            await _appears(report, little)
        finally:
            await little.close()
            await much.close()
    finally:
        cluster.close()


async def _filled(cluster: Cluster, rows: int, report: Report) -> Runtime:
    embedder = HashingEmbedder()
    settings = cluster.database(cluster.template("blank")).model_copy(update={"rate_limit": "1000000/minute"})
    assert settings.database_url is not None
    admin = settings.database_url.get_secret_value()
    with psycopg.connect(admin, autocommit=True) as conn:  # an update of every row would build the vectors' index again
        conn.execute(
            "alter table agents.agent_memory alter created_at set default now() - random() * interval '90 days'"
        )
    runtime = await open_runtime(settings, embedder=embedder)
    await register_model(embedder.dimensions, runtime)
    made = list(itertools.islice(texts(rows, seed=rows), rows))
    began = time.perf_counter()
    await asyncio.to_thread(fill, admin, _memories(made, runtime.database_id, embedder), work_memory="1GB")
    report.note(f"{rows:,} memories made, stored and indexed in {time.perf_counter() - began:.0f} s")
    await runtime.execute("select agents.fold_memory_changes(%(database_id)s)", database_id=runtime.database_id)
    await calibrate(runtime)
    small = "; ".join(
        f"create table t{n} (id bigint primary key, name text{f', t{n - 1}_id bigint references t{n - 1}' if n else ''})"
        for n in range(20)
    )
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(wide_schema.ddl() if rows == MUCH else small)
        for statement in _FILL.strip().split(";\n"):
            conn.execute(
                statement.strip(";").encode(), {"database": runtime.database_id, "rows": rows, "threads": rows // 10}
            )
        conn.execute("vacuum analyze")
    await auto_discovery.discover_app_structure(runtime=runtime)
    return runtime


def _memories(made: list[tuple[str, str]], database_id: str, embedder: HashingEmbedder) -> Iterator[list[object]]:
    for number, (kind, text) in enumerate(made):
        digest = hashlib.sha256(f"{number} {text}".encode()).digest()
        yield [
            "default",
            database_id,
            kind,
            text,
            digest,
            "agent",
            vector_literal(embedder._vector(text)),
            embedder.model,
        ]


@asynccontextmanager
async def _client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(create_app(runtime, jobs=False)) as url,
        httpx.AsyncClient(base_url=url, timeout=60, headers={"Accept-Encoding": "gzip"}) as client,
    ):
        yield client


@asynccontextmanager
async def _inside(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the running application without a socket: the time is that of the server."""
    app = create_app(runtime, jobs=False)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50_000))
    async with (
        serving(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"Accept-Encoding": "gzip"}
        ) as client,
    ):
        yield client


async def _pages(report: Report, little: Runtime, much: Runtime) -> None:
    async with _inside(little) as small, _inside(much) as large:
        paths = [
            [
                page.format(
                    memory=await _newest("agent_memory", one), execution=await _newest("agent_execution_log", one)
                )
                for page in PAGES
            ]
            for one in (little, much)
        ]
        await _transferred(report, large, paths[1])
        worst, slowest = ("", 0.0), ("", 0.0)
        for name, with_little, with_much in zip(
            (*PAGES, DIAGRAM), (*paths[0], DIAGRAM), (*paths[1], DIAGRAM), strict=True
        ):
            few, many, bare = await _together((small, with_little), (large, with_much), (large, "/health"))
            report.note(
                f"{name}: p95 {few[1] * 1000:.1f} ms with little, {many[1] * 1000:.1f} ms with much ({many[1] / few[1]:.2f}x, medians "
                f"{many[0] / few[0]:.2f}x), the bare route {bare[1] * 1000:.1f} ms ({many[1] / bare[1]:.1f}x, medians {many[0] / bare[0]:.1f}x)"
            )
            if name != DIAGRAM:  # it has as many boxes as there are tables
                worst = max(worst, (name, many[1] / few[1]), key=lambda one: one[1])
            slowest = max(slowest, (name, many[1] / bare[1]), key=lambda one: one[1])
        report.bar(f"server time p95 with {MUCH:,} memories and executions and 200 tables, against {LITTLE:,}", bar="<= 2x", reached=f"{worst[1]:.2f}x ({worst[0]})", ok=worst[1] <= 2)  # fmt: skip
        report.bar("server time p95 of a page, against a bare route", bar="<= 10x", reached=f"{slowest[1]:.1f}x ({slowest[0]})", ok=slowest[1] <= 10)  # fmt: skip


async def _newest(table: str, runtime: Runtime) -> int:
    async with runtime.connection() as conn:
        row = await (await conn.execute(f"select max(id) as id from agents.{table}")).fetchone()
    return int(row["id"]) if row else 0


async def _transferred(report: Report, client: httpx.AsyncClient, paths: list[str]) -> None:
    """Count what the first load of a page transfers: the page, the style, the script and the icon, as they are sent."""
    assets = 0
    for name in ("console.css", "console.js", "icon.svg"):
        assets += await _bytes(client, asset(name))
    most = max([(await _bytes(client, path), path) for path in [*paths, DIAGRAM]])
    report.bar("bytes transferred on the first load of a page", bar="<= 60 kB", reached=f"{(most[0] + assets) / 1000:.1f} kB ({most[1]}; style, script and icon {assets / 1000:.1f} kB)", ok=most[0] + assets <= 60_000)  # fmt: skip


async def _bytes(client: httpx.AsyncClient, path: str) -> int:
    answer = await client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    compressed = answer.headers.get("content-encoding") == "gzip"
    return len(gzip.compress(answer.content, compresslevel=5)) if compressed else len(answer.content)


async def _together(*calls: tuple[httpx.AsyncClient, str]) -> list[tuple[float, float]]:
    """Return the median and the 95th percentile of each call's seconds. The calls take turns, so that what else runs slows all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(WARM + ROUNDS):
        for (client, path), own in zip(calls, taken, strict=True):
            began = time.perf_counter()
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
            if number >= WARM:
                own.append(time.perf_counter() - began)
    return [(median(own), quantiles(own, n=20)[-1]) for own in taken]


async def _appears(report: Report, runtime: Runtime) -> None:
    """Compare how fast an open inbox learns of a request with a notification that one connection sends to another."""
    with psycopg.connect(
        str(runtime.settings.database_url.get_secret_value() if runtime.settings.database_url else ""), autocommit=True
    ) as conn:
        conn.execute("create table if not exists things (id bigint primary key, n bigint); insert into things select g, g from generate_series(1, 100) g on conflict do nothing")  # fmt: skip
    async with _client(runtime) as client, client.stream("GET", "/console/live") as stream:
        events = asyncio.Queue[float]()

        async def read() -> None:
            async for line in stream.aiter_lines():
                if line.startswith("event: news"):
                    events.put_nowait(time.perf_counter())

        reader = asyncio.create_task(read())
        await asyncio.sleep(1)
        bare, asked = [], []
        async with runtime.db.connection("agent_app") as conn:
            for number in range(TRIPS):
                _drain(events)
                began = time.perf_counter()
                await conn.execute("select pg_notify('agents_messages', '')")
                bare.append(await events.get() - began)
                _drain(events)
                result = await safe_executor.execute("execute_sql", {"sql": f"update things set n = {number} where id = {number + 1}"}, wait=False, runtime=runtime)  # fmt: skip
                stored = time.perf_counter()
                assert result["status"] == "waiting", result
                asked.append(max(await events.get() - stored, 0.0))
        reader.cancel()
    one, other = median(bare), median(asked)
    report.bar("a new request appears in an open inbox, against a bare event of the same stream", bar="<= 5x", reached=f"{other / one:.2f}x ({other * 1000:.1f} ms against {one * 1000:.1f} ms)", ok=other <= 5 * one)  # fmt: skip


def _drain(events: asyncio.Queue[float]) -> None:
    while not events.empty():
        events.get_nowait()
