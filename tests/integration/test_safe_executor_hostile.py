"""Hostile statements never run as reads; honest analytics do."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from agent.errors import AgentError
from agent.execution.reading import read
from agent.execution.safe_executor import safe_executor
from agent.execution.sql_parsing import parse
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster

sys.path.insert(0, str(Path(__file__).parent))
from hostile_statements import BENIGN, HOSTILE, TRAPS, mutations


@pytest.fixture
async def trapped(cluster: Cluster) -> AsyncIterator[Runtime]:
    """A database full of traps."""
    runtime = await open_runtime(
        cluster.database(cluster.template("hostile", lambda conn: conn.execute(TRAPS)), statement_timeout=3.0)
    )
    with use_runtime(runtime):
        yield runtime
    await runtime.close()


async def verdict(sql: str) -> str:
    try:
        return (await safe_executor.assess("execute_sql", {"sql": sql})).verdict
    except AgentError:
        return "refuse"


# A mutation may take the harm away: FROM ONLY of a set, or an EXPLAIN that does not run what it wraps.
async def test_no_hostile_statement_and_no_mutation_of_one_counts_as_a_read(trapped: Runtime) -> None:
    wrong = []
    tried = 0
    for sql in HOSTILE:
        for form in (sql, *mutations(sql)):
            tried += 1
            if await verdict(form) == "run":
                wrong.append(form)
    print(f"{len(HOSTILE)} hostile statements, {tried} with mutations, {len(wrong)} taken for reads")
    assert len(HOSTILE) >= 120
    assert wrong == []


async def test_hostile_statements_change_nothing_when_nobody_may_be_asked(trapped: Runtime) -> None:
    for sql in HOSTILE:
        result = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
        assert not result["success"], sql
    with psycopg.connect(trapped.settings.database_url.get_secret_value()) as conn:
        assert conn.execute("select n from canary").fetchall() == [(0,)]
        assert conn.execute("select last_value, is_called from ticket").fetchone() == (1, False)
        assert conn.execute("select count(*) from victims").fetchone() == (200,)


async def test_even_with_the_policy_off_a_read_changes_nothing(trapped: Runtime) -> None:
    for sql in HOSTILE:
        with suppress(AgentError, psycopg.Error):
            await read(parse(sql), runtime=trapped)
    with psycopg.connect(trapped.settings.database_url.get_secret_value()) as conn:
        assert conn.execute("select n from canary").fetchall() == [(0,)]
        assert conn.execute("select last_value, is_called from ticket").fetchone() == (1, False)
        assert conn.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)
        assert conn.execute("select count(*) from pg_class where relname = 'evil'").fetchone() == (0,)


async def test_honest_analytics_run_without_asking(trapped: Runtime) -> None:
    asked = []
    for sql in BENIGN:
        if await verdict(sql) != "run":
            asked.append(sql)
            continue
        result = await safe_executor.execute("execute_sql", {"sql": sql})
        assert result["success"], (sql, result)
    rate = 1 - len(asked) / len(BENIGN)
    print(f"{len(BENIGN)} honest statements, {rate:.1%} run as reads; asked: {asked}")
    assert len(BENIGN) >= 120
    assert rate >= 0.95
