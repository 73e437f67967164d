"""Measure discovery and schema linking, on a generated application of 200 tables and on the demonstration."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import AsyncCursor

from agent.learning.auto_discover import AutoDiscovery, auto_discovery
from agent.learning.discovery.structure import AppStructure, relations
from agent.learning.schema_linking.index import SchemaIndex
from agent.learning.schema_linking.linking import link, link_schema
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from benchmarks.report import Report
from benchmarks.wide_schema import ddl

_HERE = Path(__file__).parent
_BUDGET = 4_000

_EDGES = """
select k.conrelid::regclass::text, k.confrelid::regclass::text,
       (select array_agg(a.attname::text order by o.n) from unnest(k.conkey) with ordinality o (c, n)
          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.c),
       (select array_agg(a.attname::text order by o.n) from unnest(k.confkey) with ordinality o (c, n)
          join pg_attribute a on a.attrelid = k.confrelid and a.attnum = o.c)
  from pg_constraint k join pg_class c on c.oid = k.conrelid
 where k.contype = 'f' and k.conparentid = 0 and not c.relispartition and k.connamespace <> 'agents'::regnamespace
"""


async def measure(report: Report) -> None:
    """Measure discovery of 200 tables, and linking with each set of questions."""
    cluster = Cluster()
    try:
        runtime = await open_runtime(cluster.database(cluster.template("wide", _fill(ddl()))))
        await _measure_discovery(report, runtime, cluster)
        await _measure_linking(report, runtime, "questions_wide.json", "the wide schema")
        await _measure_linking(report, runtime, "questions_paraphrased.json", "the wide schema, paraphrased", bar=None)
        await runtime.close()
        await _measure_size(report, cluster)
        seed = (_HERE.parent / "supabase" / "seed.sql").read_text(encoding="utf-8")
        demo = await open_runtime(cluster.database(cluster.template("demo", _fill(seed))))
        await _measure_linking(report, demo, "questions_demo.json", "the demo")
        await demo.close()
    finally:
        cluster.close()


async def _measure_discovery(report: Report, runtime: Runtime, cluster: Cluster) -> None:
    await runtime.app.facts("agent_reader")
    with _counted() as queries:
        started = time.perf_counter()
        structure = await auto_discovery.discover_app_structure(runtime=runtime)
        seconds = time.perf_counter() - started
    count = len(structure["tables"])
    report.bar(
        "first discovery of 200 tables", bar="<= 2 s", reached=f"{seconds:.2f} s", ok=seconds <= 2 and count >= 200
    )
    report.bar("catalog queries", bar="<= 15", reached=str(len(queries)), ok=len(queries) <= 15)
    warm = [await _unchanged(runtime) for _ in range(15)]
    cold = await _unchanged(runtime, AutoDiscovery())  # as in a new process
    median = statistics.median(warm)
    report.bar("unchanged rediscovery of 200 tables", bar="<= 25 ms", reached=f"{median:.1f} ms", ok=median <= 25)
    report.note(f"the first unchanged rediscovery of a process took {cold:.1f} ms")
    url = runtime.settings.database_url
    assert url is not None
    invented, missing = _compare_edges(structure, url.get_secret_value())
    report.bar(
        "invented foreign keys", bar="0", reached=f"{invented} invented, {missing} missing", ok=not invented + missing
    )


async def _measure_size(report: Report, cluster: Cluster) -> None:
    tables = (
        f"create table public.t{n} (id int primary key, a text, b int references public.t{n // 2})"
        for n in range(1, 2001)
    )
    script = "create table public.t0 (id int primary key);" + ";".join(tables)
    runtime = await open_runtime(cluster.database(cluster.template("huge", _fill(script))))
    started = time.perf_counter()
    structure = await auto_discovery.discover_app_structure(runtime=runtime)
    first = time.perf_counter() - started
    again = await _unchanged(runtime)
    started = time.perf_counter()
    linked = await link_schema("t1999 and t7", runtime=runtime)
    linking = (time.perf_counter() - started) * 1000
    report.note(
        f"{len(structure['tables'])} tables: first {first:.1f} s, unchanged {again:.0f} ms, first question {linking:.0f} ms "
        f"and {linked.tokens} tokens"
    )
    await runtime.close()


async def _unchanged(runtime: Runtime, discovery: AutoDiscovery = auto_discovery) -> float:
    started = time.perf_counter()
    again = await discovery.discover_app_structure(runtime=runtime)
    elapsed = (time.perf_counter() - started) * 1000
    assert again["changed"] == []
    return elapsed


def _compare_edges(structure: AppStructure, url: str) -> tuple[int, int]:
    with psycopg.connect(url) as conn:
        conn.execute("set search_path = pg_catalog")
        true = {(source, target, tuple(own), tuple(theirs)) for source, target, own, theirs in conn.execute(_EDGES)}
    found = {
        (edge["source"], edge["target"], tuple(edge["columns"]), tuple(edge["target_columns"]))
        for edge in structure["relationships"]
    }
    return len(found - true), len(true - found)


async def _measure_linking(report: Report, runtime: Runtime, file: str, name: str, *, bar: float | None = 0.95) -> None:
    """Measure how often the needed tables are linked.

    For paraphrases `bar` is None: they share few words with the schema, so without an embedder nothing is promised.
    """
    questions = json.loads((_HERE / file).read_text(encoding="utf-8"))
    await link_schema("warm up", runtime=runtime)
    index = SchemaIndex.build(await auto_discovery.current_structure(runtime=runtime))
    complete, named, times, tokens, tables = 0, 0, [], [], []
    for item in questions:
        started = time.perf_counter()
        linked = link(index, item["question"], token_budget=_BUDGET)
        times.append((time.perf_counter() - started) * 1000)
        tokens.append(linked.tokens)
        tables.append(len(linked.tables))
        lost = set(item["tables"]) - set(linked.tables)
        complete += not lost
        named += all(f" {table}" in linked.text for table in item["tables"])
        if lost and bar is not None:
            report.note(f"{item['question']!r} lost {', '.join(sorted(lost))}")
    share = complete / len(questions)
    reached = f"{share:.1%}, at most {max(tokens)} tokens"
    what = f"needed tables present, {len(questions)} questions on {name}"
    if bar is None:
        report.note(f"{what}: {reached}; present or at least named: {named / len(questions):.1%}")
    else:
        good = share >= bar and max(tokens) <= _BUDGET
        report.bar(what, bar=f">= {bar:.0%} within 4,000 tokens", reached=reached, ok=good)
    total = len(relations(await auto_discovery.current_structure(runtime=runtime)))
    report.note(
        f"{name}: median {statistics.median(tables):.0f} of {total} relations, {statistics.median(tokens):.0f} tokens, "
        f"{statistics.median(times):.1f} ms; slowest {max(times):.1f} ms"
    )


def _fill(script: str) -> Callable[[psycopg.Connection], None]:
    def fill(conn: psycopg.Connection) -> None:
        conn.execute(script.encode())

    return fill


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Collect each statement about the catalogs or the application's tables that goes to the driver."""
    seen: list[str] = []
    execute = AsyncCursor.execute

    async def counting(self, query, *rest, **options):
        text = query if isinstance(query, str) else query.as_string(self)
        if "pg_catalog" in text or " pg_" in text or "as newest" in text:
            seen.append(text)
        return await execute(self, query, *rest, **options)

    AsyncCursor.execute = counting  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        AsyncCursor.execute = execute  # type: ignore[method-assign]
