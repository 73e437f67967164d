"""Hostile statements never run as reads; honest analytics do; whatever counts as a read changes nothing, even for a superuser."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import psycopg
import pytest
from benchmarks.reads import catalogue
from tests.cases.analytics_statements import ANALYTICS
from tests.cases.hostile_statements import BENIGN, HOSTILE, TRAPS, mutations

from agent.errors import ActionRefused, AgentError
from agent.execution.reads.reader import read, read_on
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.statements.assessment import assess_statement
from agent.statements.layers import ALL
from agent.statements.parser import parse
from agent.testing.cluster import Cluster
from agent.testing.running import running


@pytest.fixture
async def trapped(cluster: Cluster) -> AsyncIterator[Runtime]:
    """A database full of traps."""
    async with running(
        cluster.database(cluster.template("hostile", lambda conn: conn.execute(TRAPS)), statement_timeout=1.0)
    ) as runtime:
        yield runtime


async def verdict(sql: str) -> str:
    try:
        return (await safe_executor.assess("execute_sql", {"sql": sql})).verdict
    except AgentError:
        return "refuse"


def mutated(statements: tuple[str, ...], many: int) -> Iterator[str]:
    """Each statement, and some of its mutations: other ones for each."""
    for number, sql in enumerate(statements):
        forms = list(mutations(sql))
        yield sql
        yield from (forms[(number + step) % len(forms)] for step in range(many))


@asynccontextmanager
async def as_superuser(runtime: Runtime) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        runtime.settings.database_url.get_secret_value(),
        autocommit=True,
        row_factory=psycopg.rows.dict_row,
        prepare_threshold=None,
    ) as conn:
        yield conn


def is_unharmed(runtime: Runtime) -> bool:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        found = conn.execute(
            "select (select array_agg(n) from only canary), (select count(*) from victims), (select not is_called from ticket),"
            " (select count(*) from pg_locks where locktype = 'advisory'),"
            " (select count(*) from pg_class where relname ~ 'evil'), (select count(*) from pg_prepared_xacts)"
        ).fetchone()
    return found == ([0], 200, True, 0, 0, 0)


# A mutation may take the harm away: FROM ONLY of a set, or an EXPLAIN that does not run what it wraps.
async def test_no_hostile_statement_and_no_mutation_of_one_counts_as_a_read(trapped: Runtime) -> None:
    forms = list(mutated(HOSTILE, 1))
    wrong = [form for form in forms if await verdict(form) == "run"]
    print(f"\n{len(HOSTILE)} hostile statements, {len(forms)} with mutations, {len(wrong)} taken for reads")
    assert len(HOSTILE) >= 300
    assert wrong == []


async def test_hostile_statements_change_nothing_when_nobody_may_be_asked(trapped: Runtime) -> None:
    for sql in HOSTILE:
        result = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
        assert not result["success"], sql
    assert is_unharmed(trapped)


async def test_even_with_the_policy_off_a_read_changes_nothing(trapped: Runtime) -> None:
    for sql in HOSTILE:
        with suppress(AgentError, psycopg.Error):
            await read(parse(sql), runtime=trapped)
    assert is_unharmed(trapped)


@pytest.mark.parametrize(
    "off", ["parse", "functions", "read_only", "one_statement", "timeouts", "watchdog", "tripwire", "own login"]
)
async def test_with_any_one_layer_off_nothing_harmful_runs(trapped: Runtime, off: str) -> None:
    layers = ALL if off == "own login" else replace(ALL, **{off: False})
    ran = []
    for sql in HOSTILE:
        with suppress(AgentError, psycopg.Error):
            statement = parse(sql)
            if (await assess_statement(statement, runtime=trapped, layers=layers)).verdict == "run":
                ran.append(sql)
                if off == "own login":
                    async with as_superuser(trapped) as conn:
                        await read_on(conn, statement, runtime=trapped)
                else:
                    await read(statement, runtime=trapped, layers=layers)
    assert is_unharmed(trapped)
    print(f"\n{off} off: {len(ran)} of {len(HOSTILE)} hostile statements were run, nothing was harmed")
    bombs = [sql for sql in ran if "repeat(" in sql or "lpad(" in sql]
    assert off == "functions" or ran == bombs


async def test_what_counts_as_a_read_does_nothing_else_as_a_superuser_that_may_write(trapped: Runtime) -> None:
    """Every function and operator of the system is tried, a part of them here."""
    with psycopg.connect(trapped.settings.database_url.get_secret_value()) as conn:
        generated = catalogue.statements(conn)
    chosen = random.Random(7).sample(generated, 100)
    reads, harmful = 0, []
    async with as_superuser(trapped) as conn:
        for sql in (*mutated(BENIGN + ANALYTICS, 1), *chosen):
            if await verdict(sql) != "run":
                continue
            reads += 1
            try:
                await read_on(conn, parse(sql), runtime=trapped, layers=replace(ALL, read_only=False))
            except ActionRefused as error:
                harmful.append((sql, str(error)))
                break  # its connection is closed
            except AgentError:
                pass  # a sample that the function does not take
            await conn.rollback()
    print(
        f"\n{reads} reads, {len(chosen)} of {len(generated)} generated statements among the tried; {len(harmful)} did more"
    )
    assert harmful == []
    assert is_unharmed(trapped)


async def test_honest_analytics_run_without_asking(trapped: Runtime) -> None:
    asked, failed = [], []
    for sql in BENIGN + ANALYTICS:
        result = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
        if result["status"] == "refused":
            asked.append(sql)
        elif not result["success"]:
            failed.append((sql, result))
    rate = 1 - len(asked) / len(BENIGN + ANALYTICS)
    print(f"\n{len(BENIGN + ANALYTICS)} honest statements, {rate:.1%} run as reads; asked: {asked}; failed: {failed}")
    assert len(BENIGN + ANALYTICS) >= 250
    assert len([sql for sql in asked if sql in ANALYTICS]) / len(ANALYTICS) <= 0.05
    assert rate >= 0.95
