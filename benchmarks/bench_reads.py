"""Measure what counts as a read: hostile statements with every mutation, honest ones, every function of the server, bombs."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice
from typing import Any

import psycopg
from tests.cases.analytics_statements import ANALYTICS
from tests.cases.hostile_statements import BENIGN, HOSTILE, TRAPS, mutations

from agent.errors import ActionRefused, AgentError, StatementFailed
from agent.execution.reads.reader import read, read_on
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.statements.layers import ALL, Layers
from agent.statements.parser import parse
from agent.testing.cluster import Cluster
from benchmarks.reads import catalogue
from benchmarks.report import Report

HONEST = BENIGN + ANALYTICS
BOMBS = (
    "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "SELECT string_agg(repeat('x', 10000), '') FROM generate_series(1, 10000000)",
    "SELECT count(DISTINCT md5(g::text)) FROM generate_series(1, 100000000) g",
    "SELECT regexp_replace(repeat('a', 5000), '(a*)*b', 'c') FROM generate_series(1, 1000000)",
    "SELECT array_agg(a.g || b.g) FROM generate_series(1, 1000000) a(g), generate_series(1, 1000000) b(g)",
    "SELECT factorial(30000) FROM generate_series(1, 1000000)",
    "SELECT a.id FROM victims a, victims b, victims c, victims d, victims e ORDER BY random()",
    "EXPLAIN ANALYZE SELECT count(*) FROM victims a, victims b, victims c, victims d",
)
_SECONDS = 0.5


async def measure(report: Report) -> None:
    """Measure the bars of telling reads from other statements."""
    cluster = Cluster()
    try:
        template = cluster.template("hostile", lambda conn: conn.execute(TRAPS))
        runtime = await open_runtime(cluster.database(template, statement_timeout=_SECONDS))
        with use_runtime(runtime):
            await _times(report)
            await _verdicts(report)
            await _as_superuser(report, runtime)
            await _bombs(report, runtime)
        await runtime.close()
    finally:
        cluster.close()


async def _verdict(sql: str) -> str:
    try:
        return (await safe_executor.assess("execute_sql", {"sql": sql})).verdict
    except AgentError:
        return "refuse"


async def _times(report: Report) -> None:
    new, cached = [], []
    await _verdict("SELECT 1")
    for sql in HONEST:
        for times in (new, cached, cached, cached):
            started = time.perf_counter()
            await _verdict(sql)
            times.append((time.perf_counter() - started) * 1000)
    for times, what, bar in (
        (new, "assess a statement that is new", 5.0),
        (cached, "the same again, catalogs checked", 1.5),
    ):
        times.sort()
        p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
        report.bar(what, bar=f"p95 <= {bar:g} ms", reached=f"p50 {p50:.2f}, p95 {p95:.2f} ms", ok=p95 <= bar)


async def _verdicts(report: Report) -> None:
    forms = [form for sql in HOSTILE for form in (sql, *mutations(sql))]
    wrong = [form for form in forms if await _verdict(form) == "run"]
    report.bar(
        f"{len(HOSTILE)} hostile statements and their mutations",
        bar="0 are reads",
        reached=f"{len(wrong)} of {len(forms)}",
        ok=not wrong,
    )
    asked = [sql for sql in HONEST if await _verdict(sql) != "run"]
    rate = 1 - len(asked) / len(HONEST)
    report.bar(f"{len(HONEST)} honest statements", bar=">= 95 % are reads", reached=f"{rate:.1%}", ok=rate >= 0.95)


async def _as_superuser(report: Report, runtime: Runtime) -> None:
    url = runtime.settings.database_url.get_secret_value()  # type: ignore[union-attr]  # the cluster's settings have one
    with psycopg.connect(url) as conn:
        generated = catalogue.statements(conn)
    tried = [*generated, *(form for sql in HONEST for form in (sql, *islice(mutations(sql), 6)))]
    reads, harmful = 0, []
    conn = await _superuser(url)
    for sql in tried:
        if await _verdict(sql) != "run":
            continue
        reads += 1
        try:
            await read_on(conn, parse(sql), runtime=runtime, layers=Layers(read_only=False))
        except ActionRefused:
            harmful.append(sql)
        except AgentError:
            pass  # a sample that the function does not take
        if conn.closed:
            conn = await _superuser(url)
        await conn.rollback()
    await conn.close()
    report.bar(
        "reads run by a superuser who may write: rows, objects, settings, session, locks", bar="0 change any",
        reached=f"{len(harmful)} of {reads} reads among {len(tried)} tried", ok=not harmful,
    )  # fmt: skip


async def _superuser(url: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=psycopg.rows.dict_row, prepare_threshold=None
    )


async def _bombs(report: Report, runtime: Runtime) -> None:
    worst = 0.0
    for layers in (ALL, Layers(timeouts=False)):
        for sql in BOMBS:
            started = time.perf_counter()
            with suppress(StatementFailed):
                await read(parse(sql), runtime=runtime, layers=layers)
            worst = max(worst, (time.perf_counter() - started - _SECONDS) * 1000)
    alive = (await read(parse("SELECT 1"), runtime=runtime)).rows == [[1]]
    report.bar(
        f"{len(BOMBS)} resource bombs, with their own time limit and without", bar="end <= 250 ms late, server up",
        reached=f"{worst:.0f} ms late at most, server {'up' if alive else 'down'}", ok=worst <= 250 and alive,
    )  # fmt: skip
