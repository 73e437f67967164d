"""No accepted read makes the server take much memory for its values, however it puts them together."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.statements.parser import parse
from agent.statements.sizes import too_large
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.t (id int, note text, j jsonb, tags text[]);
insert into public.t select i, repeat(chr(97 + i % 26), 2000), jsonb_build_object('a', repeat('"', 500)), array_fill('x'::text, array[50])
  from generate_series(1, 3000) i;
"""
MOST_MB = 300
STATEMENTS = 60
# Just below what is asked about.
LARGEST = [
    "SELECT length(repeat('x', 900000))",
    "SELECT length(format('%900000s', 'x'))",
    "SELECT length(repeat(repeat('x', 1000), 900))",
    "SELECT length(replace(repeat('x', 9000), 'x', repeat('y', 100)))",
    "SELECT cardinality(array_agg(i)) FROM generate_series(1, 15000) i",
    "SELECT length(string_agg(note, ', ')) FROM t",
    "SELECT length(json_agg(t)::text) FROM t",
    "SELECT length(string_agg(repeat(note, 5), '')) FROM t",
    "WITH RECURSIVE r(x, n) AS (SELECT ''::text, 1 UNION ALL SELECT x || repeat('y', 1000), n + 1 FROM r WHERE n < 3000) SELECT max(length(x)) FROM r",
]


class _Random:
    """Statements that put makers of long values together at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # the same statements at every run

    def statement(self) -> str:
        return f"SELECT length({self._text(self._random.choice([1, 2, 2, 3, 3, 4]))}) FROM t LIMIT 3"

    def _leaf(self) -> str:
        return self._random.choice([
            "'x'", "''''", "repeat('x', 10000)", "repeat('ab,', 3000)", "(10::numeric^100000)::text", "t.note", "t.j::text", "t.tags::text",
        ])  # fmt: skip

    def _text(self, depth: int) -> str:
        if depth == 0:
            return self._leaf()
        a, b, n = (
            self._text(depth - 1),
            self._text(self._random.randrange(depth)),
            self._random.choice([2, 10, 1000, 10000]),
        )
        return self._random.choice([
            f"repeat({a}, {n})", f"({a} || {b})", f"replace({a}, 'x', {b})", f"regexp_replace({a}, '.', '\\&\\&', 'g')",
            f"format('%s%{n}s%1$s', {a}, {b})", f"concat_ws({b}, {a}, {a})", f"quote_literal({a})", f"to_json({a})::text",
            f"ARRAY[{a}, {a}]::text", f"array_to_string(string_to_array({a}, NULL), {b})",
            f"(SELECT string_agg({a}, {b}) FROM generate_series(1, {n}))", f"(SELECT array_agg({a})::text FROM generate_series(1, {n}))",
            f"(SELECT jsonb_agg(s.x)::text FROM (SELECT {a} AS x FROM generate_series(1, {n})) s)",
            f"(WITH q(x) AS (SELECT {a}) SELECT x || x || x || x FROM q)", f"jsonb_pretty(to_jsonb(string_to_array({a}, ',')))",
            f"(SELECT string_agg({a.replace('t.', 'u.')}, '') FROM t u LIMIT 1)",
            f"array_to_string(ARRAY(SELECT {a} FROM generate_series(1, {n})), ',')",
        ])  # fmt: skip


@pytest.fixture
async def large(cluster: Cluster) -> AsyncIterator[Runtime]:
    async with running(cluster.database(cluster.template("sizes", lambda conn: conn.execute(TABLES)))) as runtime:
        yield runtime


async def test_an_accepted_read_takes_little_memory(large: Runtime) -> None:
    for sql in LARGEST:
        assert (await safe_executor.assess("execute_sql", {"sql": sql})).verdict == "run", sql
    statements, maker = list(LARGEST), _Random(7)
    while len(statements) < STATEMENTS:
        sql = maker.statement()
        if not too_large(parse(sql)):
            statements.append(sql)
    assert large.settings.database_url is not None
    taken = {sql: _most_memory(large.settings.database_url.get_secret_value(), sql) for sql in statements}
    assert {sql: mb for sql, mb in taken.items() if mb > MOST_MB} == {}


def _most_memory(url: str, sql: str) -> int:
    """The most megabytes that a session of its own ever held."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set statement_timeout = '5s'")
        with suppress(psycopg.DatabaseError):  # slow, or not valid
            conn.execute(sql.encode())
        status = Path(f"/proc/{conn.info.backend_pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found
        return int(found[1]) // 1024


@pytest.mark.parametrize(
    "sql",
    ["SELECT format('%500000000s', 'x')", "SELECT string_agg(repeat('x', 10000), '') FROM generate_series(1, 100000)"],
)
async def test_a_read_of_a_huge_value_asks_and_says_why(large: Runtime, sql: str) -> None:
    found = await safe_executor.assess("execute_sql", {"sql": sql}, runtime=large)
    assert (found.verdict, found.risk) == ("ask", "HIGH")
    assert "too large for the server's memory" in found.sentence
