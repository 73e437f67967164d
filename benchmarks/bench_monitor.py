"""Measure what a run of the monitor costs the application: against a full discovery of the same 200 tables, as agent_reader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import AsyncCursor

from agent.learning.auto_discover import AutoDiscovery
from agent.monitoring.continuous_monitor import ContinuousMonitor
from agent.runtime import open_runtime
from agent.testing.cluster import Cluster
from benchmarks.report import Report
from benchmarks.wide_schema import ddl

_ROWS = 300
_RUNS = 12

_FILL = """
do $$ declare one record; begin
  for one in select c.oid::regclass as name, array_agg(quote_ident(a.attname)) filter (where a.attname <> 'id') as columns,
                    array_agg(format_type(a.atttypid, null)) filter (where a.attname <> 'id') as types
               from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
              where c.relkind = 'r' and not c.relispartition and c.relnamespace::regnamespace::text !~ '^(pg_|agents|information_schema)'
              group by c.oid loop
    begin
      execute format('alter table %s disable trigger all', one.name);
      execute format('insert into %s (%s) select %s from generate_series(1, {rows}) n', one.name, array_to_string(one.columns, ', '),
        (select string_agg(case when t like '%int%' then 'n % {rows} + 1' when t like 'numeric%' or t like 'double%' then 'n * 1.5'
                                when t = 'boolean' then 'n % 2 = 0' when t like 'timestamp%' then 'now() - n * interval ''1 hour'''
                                when t = 'date' then 'current_date - n' else '''text '' || n' end, ', ') from unnest(one.types) t));
    exception when others then null;
    end;
  end loop; end $$;
analyze;
"""


async def measure(report: Report) -> None:
    """Measure the statements of discovery, and of several runs of the monitor, on one server."""
    cluster = Cluster()
    try:
        runtime = await open_runtime(cluster.database(cluster.template("wide", _fill)))
        await runtime.app.facts("agent_reader")
        with _reader_time() as spent:
            await AutoDiscovery().discover_app_structure(runtime=runtime)
        discovery = sum(spent)
        monitor, runs = ContinuousMonitor(), []
        for _ in range(_RUNS):
            with _reader_time() as spent:
                run = await monitor.run_once(runtime=runtime)
            failed = [one.name for one in run.checks if one.error]
            assert not failed, failed
            runs.append(sum(spent))
        await runtime.close()
    finally:
        cluster.close()
    bar = discovery / 4
    report.note(f"a full discovery of 200 tables takes {discovery * 1000:.0f} ms of statements as agent_reader")
    report.bar(
        "statements of the first run, with every check", bar=f"<= {bar * 1000:.0f} ms (a quarter of discovery)",
        reached=f"{runs[0] * 1000:.0f} ms", ok=runs[0] <= bar,
    )  # fmt: skip
    worst = max(runs[1:])
    report.bar(
        "statements of the dearest later run",
        bar=f"<= {bar * 1000:.0f} ms",
        reached=f"{worst * 1000:.0f} ms",
        ok=worst <= bar,
    )


def _fill(conn: psycopg.Connection) -> None:
    conn.execute(ddl().encode())
    conn.execute(_FILL.replace("{rows}", str(_ROWS)).encode())


@contextmanager
def _reader_time() -> Iterator[list[float]]:
    """Collect the seconds of each statement of agent_reader."""
    spent: list[float] = []
    execute = AsyncCursor.execute

    async def timed(self, query, *rest, **options):
        if not self.connection.info.user.startswith("agent_reader"):
            return await execute(self, query, *rest, **options)
        began = time.perf_counter()
        try:
            return await execute(self, query, *rest, **options)
        finally:
            spent.append(time.perf_counter() - began)

    AsyncCursor.execute = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        AsyncCursor.execute = execute  # type: ignore[method-assign]
