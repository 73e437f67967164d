"""Measure the cost of safety: assess a statement beside parsing it, and run a safe read beside the bare SELECT."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

from agent.db.paths import application_path
from agent.demo.application import fill_demo
from agent.execution.reads.reader import read
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.statements.parser import parse
from agent.testing.cluster import Cluster
from benchmarks.report import Report

STATEMENTS = (
    "SELECT * FROM campaigns LIMIT 10",
    "SELECT status, count(*) FROM clients GROUP BY status ORDER BY 2 DESC",
    "SELECT c.name, sum(o.total) FROM orders o JOIN clients c ON c.id = o.client_id GROUP BY c.name ORDER BY 2 DESC LIMIT 5",
    "WITH m AS (SELECT status, sum(total) AS t FROM orders GROUP BY 1) SELECT status, t, rank() OVER (ORDER BY t) FROM m",
    "SELECT * FROM campaign_performance LIMIT 5",
    "UPDATE clients SET status = 'paused' WHERE id = 3",
)
READ = STATEMENTS[0]
ROUNDS = 60


async def measure(report: Report) -> None:
    """Measure the bars of the executor."""
    cluster = Cluster()
    try:
        runtime = await open_runtime(cluster.database(cluster.template("demo", fill_demo)))
        with use_runtime(runtime):
            await _assessment(report)
            await _reading(report, runtime)
        await runtime.close()
    finally:
        cluster.close()


async def _times(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> list[float]:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)


async def _assessment(report: Report) -> None:
    times: list[float] = []
    parses: list[float] = []
    for sql in STATEMENTS:
        arguments = {"sql": sql}
        await safe_executor.assess("execute_sql", arguments)
        times += await _times(lambda arguments=arguments: safe_executor.assess("execute_sql", arguments))
        started = time.perf_counter()
        for number in range(ROUNDS):
            parse(f"{sql} -- {number}")  # another text each time: what was parsed is kept
        parses.append((time.perf_counter() - started) * 1000 / ROUNDS)
    times.sort()
    p50, p95 = statistics.median(times), times[int(len(times) * 0.95)]
    report.bar(
        "assess a statement, catalog asked each time",
        bar="p95 <= 5 ms",
        reached=f"p50 {p50:.2f}, p95 {p95:.2f} ms",
        ok=p95 <= 5,
    )
    report.note(f"parsing and collecting names alone: {statistics.mean(parses):.3f} ms a statement")


async def _reading(report: Report, runtime: Runtime) -> None:
    async def bare() -> None:
        async with runtime.app.connection("agent_reader") as conn, conn.transaction(), application_path(conn):
            await (await conn.execute(READ)).fetchall()

    statement = parse(READ)
    await bare()
    await read(statement, runtime=runtime)
    await safe_executor.execute("execute_sql", {"sql": READ})
    plain = statistics.median(await _times(bare))
    capped = statistics.median(await _times(lambda: read(statement, runtime=runtime)))
    whole = statistics.median(await _times(lambda: safe_executor.execute("execute_sql", {"sql": READ})))
    report.note(f"bare SELECT {plain:.2f} ms, capped read {capped:.2f} ms")
    report.bar(
        "a safe read (switches, assess, capped read, log row) over the bare SELECT",
        bar="<= 10 ms more",
        reached=f"{whole:.2f} ms, {whole - plain:.2f} ms more",
        ok=whole - plain <= 10,
    )
