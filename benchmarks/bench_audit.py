"""Measure the cost of the audit log: of its triggers on an approved change, and of sealing and verifying 100,000 entries."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import AUDITED, AuditReport, audit_log
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster
from benchmarks.report import Report

CHANGES = 120
ENTRIES = 100_000
NUMBERS = "create table public.numbers (id int primary key, n int not null); insert into public.numbers select g, 0 from generate_series(1, 500) g"
# Rows like those of executions: a statement, a result and a dozen small cells.
ROWS = """
insert into agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status, result,
  row_count, duration_ms, thread_id, turn, round, ordinal, finished_at)
select 'default', 'd', 'ann', 'execute_sql', jsonb_build_object('sql', 'SELECT ' || repeat('x', 200) || g), 'run', 'LOW', '{read}',
  'succeeded', jsonb_build_object('sql', repeat('y', 300) || g), g, g / 7.0, 'thread ' || g / 10, 1, 1, 1, now()
  from generate_series(1, %s) g
"""


async def measure(report: Report) -> None:
    cluster = Cluster()
    try:
        template = cluster.template("numbers", lambda conn: conn.execute(NUMBERS))
        runtimes = [await open_runtime(cluster.database(template)) for _ in range(2)]
        await _overhead(report, *runtimes)
        for runtime in runtimes:
            await runtime.close()
        runtime = await open_runtime(cluster.database(cluster.template("blank")))
        with use_runtime(runtime):
            await _volume(report, runtime)
        await runtime.close()
    finally:
        cluster.close()


async def _overhead(report: Report, audited: Runtime, bare: Runtime) -> None:
    """Measure a change from its request to its result, alternately with and without the log's triggers."""
    _sql(bare, *(f"drop trigger audit on agents.{table}" for table in AUDITED))
    differences, without = [], []
    for number in range(CHANGES + 10):
        times = {}
        for runtime in (audited, bare) if number % 2 else (bare, audited):
            times[runtime is audited] = await _change(runtime)
        if number >= 10:
            differences.append((times[True] - times[False]) * 1000)
            without.append(times[False] * 1000)
    more, usual = median(differences), median(without)
    report.bar(
        "a change asked, approved and done, over the same without the log's triggers",
        bar="<= 10 % or 1.5 ms",
        reached=f"{more:+.2f} ms of {usual:.1f} ms ({more / usual:+.1%})",
        ok=more <= usual * 0.1 or more <= 1.5,
    )


async def _change(runtime: Runtime) -> float:
    started = time.perf_counter()
    with use_runtime(runtime):
        sql = {"sql": "UPDATE numbers SET n = n + 1 WHERE id = 7"}
        asked = await safe_executor.execute("execute_sql", sql, wait=False)
        await human_approval_queue.decide(asked["approval_id"], "approve")
        result = await safe_executor.run_approved(asked["approval_id"])
        assert result["success"], result
    return time.perf_counter() - started


async def _volume(report: Report, runtime: Runtime) -> None:
    _sql(runtime, "alter table agents.agent_execution_log disable trigger audit")
    bare = _write(runtime, ENTRIES)
    _sql(
        runtime, "delete from agents.agent_execution_log", "alter table agents.agent_execution_log enable trigger audit"
    )
    audited = _write(runtime, ENTRIES)
    report.note(f"the trigger: {(audited - bare) / ENTRIES * 1e6:.0f} µs a row")
    _sql(runtime, "vacuum analyze agents.agent_execution_log, agents.audit_unsealed")
    sealing = await _timed(audit_log.seal)
    report.bar(f"seal {ENTRIES:,} entries", bar="<= 30 s", reached=f"{sealing:.1f} s", ok=sealing <= 30)
    _sql(runtime, "vacuum analyze agents.audit_log, agents.audit_unsealed")
    found: list[AuditReport] = []
    verifying = await _timed(lambda: _verify(found))
    assert found[0].whole, found
    assert found[0].entries == found[0].rows == ENTRIES, found
    report.bar(
        f"verify {ENTRIES:,} entries and as many rows", bar="<= 30 s", reached=f"{verifying:.1f} s", ok=verifying <= 30
    )
    times = []
    for _ in range(20):
        _write(runtime, 1)
        times.append(await _timed(audit_log.seal) * 1000)
    report.bar(
        f"seal one entry after {ENTRIES:,}", bar="<= 20 ms", reached=f"{median(times):.1f} ms", ok=median(times) <= 20
    )


async def _verify(found: list[AuditReport]) -> None:
    found.append(await audit_log.verify())


def _write(runtime: Runtime, rows: int) -> float:
    started = time.perf_counter()
    _sql(runtime, ROWS % rows)
    return time.perf_counter() - started


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def _sql(runtime: Runtime, *statements: str) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)
