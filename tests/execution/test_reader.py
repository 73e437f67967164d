"""What holds while a read runs, whatever the statement was taken for: caps, time limits, the watchdog and the tripwire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import psutil
import psycopg
import pytest
import structlog

from agent.errors import ActionRefused, StatementFailed
from agent.execution.reads.reader import read, read_on
from agent.runtime import Runtime, open_runtime
from agent.statements.layers import ALL
from agent.statements.parser import parse
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.notes (id int primary key, body text);
insert into public.notes select g, 'note ' || g from generate_series(1, 100) g;
create sequence public.ticket;
"""
BOMB = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


@pytest.fixture
async def notes(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("notes", lambda conn: conn.execute(TABLES)), statement_timeout=0.5)
    async with running(settings) as runtime:
        yield runtime


async def test_a_cell_of_any_size_is_cut_before_it_is_sent(cluster: Cluster) -> None:
    runtime = await open_runtime(cluster.database(cluster.template("notes", lambda conn: conn.execute(TABLES))))
    process = psutil.Process()
    before = peak = process.memory_info().rss
    sql = "SELECT id, (SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 200000)) AS body FROM notes LIMIT 2"
    task = asyncio.create_task(read(parse(sql), runtime=runtime))
    while not task.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.002)
    rows = await task
    assert (rows.truncated, rows.cut_cells, rows.rows[0][0], len(rows.rows[0][1]) < 65_000) == (False, 2, 1, True)
    assert rows.rows[0][1].endswith("... (200000000 characters)")
    print(f"\n200 MB cells: the client's memory grew by {(peak - before) / 1e6:.0f} MB")
    assert peak - before < 60e6
    await runtime.close()


@pytest.mark.parametrize("options", ["", "(VERBOSE)", "(FORMAT JSON)", "(ANALYZE, VERBOSE)"])
async def test_a_plan_of_any_size_is_cut_before_it_is_sent(cluster: Cluster, options: str) -> None:
    runtime = await open_runtime(cluster.database(cluster.template("notes", lambda conn: conn.execute(TABLES))))
    process = psutil.Process()
    before = peak = process.memory_info().rss
    task = asyncio.create_task(
        read(
            parse(
                f"EXPLAIN {options} SELECT body = repeat('x', 80000000) FROM notes WHERE body < repeat('x', 80000000)"
            ),
            runtime=runtime,
        )
    )
    while not task.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.002)
    rows = await task
    assert (rows.columns, rows.truncated) == (["QUERY PLAN"], False)
    assert rows.cut_cells >= 1
    assert any(cell.endswith(" characters)") and "x... (" in cell for (cell,) in rows.rows)
    assert rows.bytes <= runtime.settings.max_result_bytes
    assert peak - before < 60e6
    await runtime.close()


async def test_a_plan_is_read_without_a_cast_of_the_applications(notes: Runtime) -> None:
    with admin(notes) as conn:
        conn.execute(
            "create function public.forged(j json) returns text language sql immutable as $$ select 'forged' $$;"
            " create cast (json as text) with function public.forged(json) as assignment"
        )
    plan = await read(parse("EXPLAIN (FORMAT JSON) SELECT id FROM notes"), runtime=notes)
    assert plan.rows[0][0][0]["Plan"]["Node Type"] == "Seq Scan"


async def test_a_plan_has_its_lines_and_one_in_json_is_read(notes: Runtime) -> None:
    lines = await read(
        parse("EXPLAIN (COSTS off) SELECT id FROM notes WHERE body = '$a$ -- %' -- a comment"), runtime=notes
    )
    assert lines.rows == [["Seq Scan on notes"], ["  Filter: (body = '$a$ -- %'::text)"]]
    plan = await read(parse("EXPLAIN (FORMAT JSON) SELECT id FROM notes;"), runtime=notes)
    assert plan.rows[0][0][0]["Plan"]["Node Type"] == "Seq Scan"
    assert not lines.truncated
    assert (await read(parse("EXPLAIN SELECT id FROM notes"), runtime=notes, max_rows=1)).truncated is False
    assert (await read(parse("EXPLAIN SELECT count(*) FROM notes"), runtime=notes, max_rows=1)).truncated is True


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1 AS a, 2 AS a;  -- a comment", [[1, 2]]), ("SELECT", [[]]), ("VALUES (1, 'x'), (2, NULL)", [[1, "x"], [2, None]]),
        ("TABLE notes LIMIT 1", [[1, "note 1"]]), ("SELECT true, 'ab'::char(4), ROW(NULL, NULL), ARRAY[true, NULL]", [[True, "ab  ", [None, None], [True, None]]]),
        ("SELECT '\\x0102'::bytea, repeat('a', 40)::bytea", [["\\x0102", "\\x" + "61" * 32 + "... (40 bytes)"]]),
        ("WITH x AS (SELECT id FROM notes ORDER BY id DESC LIMIT 2) SELECT id, '%' FROM x", [[100, "%"], [99, "%"]]),
        ("SELECT '[1, 2]'::jsonb, '{\"a\": 1.0}'::json, 'é'::text", [[[1, 2], {"a": 1.0}, "é"]]),
    ],
)  # fmt: skip
async def test_values_are_the_same_as_without_the_caps(notes: Runtime, sql: str, rows: list) -> None:
    found = await read(parse(sql), runtime=notes)
    assert (found.rows, found.truncated) == (rows, False)


async def test_what_lifted_its_own_limit_is_ended_from_outside(notes: Runtime) -> None:
    for sql in (BOMB, "SELECT pg_sleep(60)", f"EXPLAIN ANALYZE {BOMB}"):
        started = time.monotonic()
        with pytest.raises(StatementFailed, match=r"0\.5 s"):
            await read(parse(sql), runtime=notes, layers=replace(ALL, timeouts=False))
        print(f"\nended {time.monotonic() - started - 0.5:.3f} s after its limit: {sql[:40]}")
        assert time.monotonic() - started < 10
    with admin(notes) as conn:
        running = "select count(*) from pg_stat_activity where usename = 'agent_reader' and state = 'active'"
        assert conn.execute(running).fetchone() == (0,)


async def test_a_server_that_does_not_answer_is_given_up(notes: Runtime) -> None:
    async with notes.app.connection("agent_reader") as conn:
        backend = psutil.Process(conn.info.backend_pid)
        task = asyncio.create_task(read_on(conn, parse(BOMB), runtime=notes))
        await asyncio.sleep(0.2)
        backend.suspend()
        try:
            with pytest.raises(StatementFailed, match=r"0\.5 s"):
                await asyncio.wait_for(task, 20)
        finally:
            backend.resume()
    assert (await read(parse("SELECT 1"), runtime=notes)).rows == [[1]]


async def test_what_outlives_its_client_is_ended_by_the_server(notes: Runtime) -> None:
    async with notes.app.connection("agent_reader") as conn:
        task = asyncio.create_task(
            read_on(conn, parse("SELECT pg_sleep(30)"), runtime=notes, layers=replace(ALL, watchdog=False))
        )
        await asyncio.sleep(0.2)
        limits = await asyncio.to_thread(_limits, notes, conn.info.backend_pid)
        with pytest.raises(StatementFailed):
            await task
    assert limits == 1


def _limits(runtime: Runtime, pid: int) -> int:
    with admin(runtime) as conn:
        return conn.execute("select count(*) from pg_stat_activity where pid = %s", [pid]).fetchone()[0]


@pytest.mark.parametrize(
    ("sql", "did"),
    [
        ("SELECT nextval('ticket')", "wrote something"), ("SELECT pg_current_xact_id()", "wrote something"),
        ("SELECT pg_advisory_lock(1)", "took locks"), ("SELECT pg_advisory_xact_lock_shared(1)", "took locks"),
        ("SELECT * FROM notes FOR UPDATE", "took locks"), ("SELECT set_config('work_mem', '64kB', false)", "changed settings"),
        ("SELECT set_config('statement_timeout', '0', true)", "changed settings"),
        ("SELECT set_config('search_path', 'evil', false) FROM notes", "changed settings"),
        ("SELECT set_config('role', 'agent_app', true)", "changed whom it acts as"),
        ("SELECT word FROM ts_stat('select to_tsvector(''a'') from pg_advisory_lock(1)')", "took locks"),
    ],
)  # fmt: skip
async def test_the_tripwire_withholds_what_did_more_than_reading(notes: Runtime, sql: str, did: str) -> None:
    """Run as the superuser and without READ ONLY, as if everything before had failed."""
    layers = replace(ALL, read_only=False)
    async with await psycopg.AsyncConnection.connect(
        notes.settings.database_url.get_secret_value(), autocommit=True, row_factory=psycopg.rows.dict_row
    ) as conn:
        with structlog.testing.capture_logs() as logs, pytest.raises(ActionRefused, match=did):
            await read_on(conn, parse(sql), runtime=notes, layers=layers)
        assert conn.closed
        assert [(entry["log_level"], entry["event"]) for entry in logs] == [("critical", "tripwire")]
    with admin(notes) as other:
        assert other.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)


async def test_a_read_leaves_the_wire_untouched(notes: Runtime) -> None:
    for sql in (
        "SELECT count(*) FROM notes",
        "SHOW timezone",
        "EXPLAIN SELECT * FROM notes",
        "SELECT current_setting('server_version')",
    ):
        assert (await read(parse(sql), runtime=notes)).rows
