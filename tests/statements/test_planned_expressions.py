"""A check, an index, statistics: a user's function in one does not run in a read, and then it does not make one ask.

Planning may run one all the same, when its arguments are constants or become so: those go on asking. Every shape is really
read, by many plans, and the trace is a sequence, which no rollback takes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.statements.planned_expressions import is_plain_body
from agent.testing.cluster import Cluster
from agent.testing.running import running

CODE = """
create sequence public.traces;
create function public.noted(x anyelement) returns anyelement language plpgsql immutable security definer as
  $$ begin perform nextval('public.traces'); return x; end $$;
create function public.norm(s text) returns text language plpgsql immutable security definer as
  $$ begin perform nextval('public.traces'); return lower(s); end $$;
create function public.fine(s text, n int default 1) returns boolean language plpgsql immutable strict security definer as
  $$ begin perform nextval('public.traces'); return true; end $$;
create function public.trimmed(s text) returns text language sql immutable as $$ select lower(trim(s)) $$;
create function public.atomic(s text) returns text language sql immutable return lower(trim(s));
create function public.wrapping(s text) returns text language sql immutable as $$ select public.norm('x') || s $$;
create function public.hiding(s text) returns text language sql immutable as $$ select/**/public.norm/**/('x') || s $$;
create function public.atomic_wrapping(s text) returns text language sql immutable return public.norm('x') || s;
create function public.dropping(s text) returns text language sql immutable as $$ select 'x'::text $$;
create function public.by_default(s text, d text default public.norm('x')) returns text language plpgsql immutable as
  $$ begin return s; end $$;
create table public.t (id int primary key, name text not null, n int, tags text[], doc jsonb, at date);
insert into public.t select g, 'Name ' || g % 50, g % 7, array['a'], '{"k": "v"}', date '2026-01-01' + g from generate_series(1, 3000) g;
"""

# What is made, and whether a read of the table asks then.
SHAPES = [
    ("alter table t add check (public.fine(name))", False),
    ("alter table t add check (public.norm(lower(name)) <> 'x' and n >= 0 or n is null)", False),
    ("alter table t add check (public.trimmed(name) = name or length(name) > 0)", False),
    ("alter table t add check (public.atomic(name) <> '')", False),
    ("alter table t add check (public.norm(coalesce(name, '')) <> 'x')", False),
    ("alter table t add check (public.norm(doc ->> 'k') <> 'x')", False),
    ("create index on t (public.norm(name))", False),
    ("create index on t (public.trimmed(name), n)", False),
    ("create index on t using gin (to_tsvector('english', public.norm(name)))", False),
    ("create index on t (n) where public.norm(name) <> 'x' and id > 5", False),
    ("create unique index on t (public.norm(name), id)", False),
    ("create statistics public.s on (public.norm(name)), n from t", False),
    ("alter table t add check (public.norm('x') <> name)", True),
    ("alter table t add check (public.norm(coalesce('x', name)) <> '')", True),
    ("alter table t add check (public.norm(case when true then 'x' else name end) <> '')", True),
    ("alter table t add check (public.noted(n > 0 and false) is not null)", True),
    ("alter table t add check (public.noted(n + null) is null)", True),
    ("alter table t add check (public.norm(public.dropping(name)) <> '')", True),
    ("alter table t add check (public.norm((row('x'::text, name)).f1) <> '')", True),
    ("alter table t add check (public.wrapping(name) <> '')", True),
    ("alter table t add check (public.hiding(name) <> '')", True),
    ("alter table t add check (public.atomic_wrapping(name) <> '')", True),
    ("alter table t add check (public.by_default(name) <> '')", True),
    ("create index on t ((public.noted(5) + n))", True),
    ("create index on t (public.wrapping(name))", True),
    ("create index on t (n) where public.norm(name) <> 'x' or id > 5", True),
    ("create index on t (n) where name = any (array[public.norm(name), 'y'])", True),
    ("create index on t (n) where not (public.norm(name) = 'x' and id < 5)", True),
    ("create statistics public.s on (public.noted(5) + n), id from t", True),
]  # fmt: skip
READS = [
    "SELECT count(*) FROM t",
    "SELECT * FROM t WHERE id = 5",
    "SELECT id, name FROM t WHERE n = 3 AND id > 5 ORDER BY name LIMIT 20",
    "SELECT n, count(*) FROM t WHERE n IN (1, 2) AND id > 5 GROUP BY n",
    "SELECT count(*) FROM t WHERE name = 'y' AND n = 2",
    "SELECT a.id FROM t a JOIN t b ON a.n = b.n AND a.id = b.id WHERE a.name LIKE 'Name 1%'",
    "SELECT id FROM t WHERE n < 0 UNION ALL SELECT id FROM t WHERE n IS NULL",
    "SELECT DISTINCT n FROM t WHERE at > date '2026-03-01'",
    "SELECT max(n), min(id) FROM t",
]
# So that bitmaps of single rows do not fit, and each plan is tried.
PLANS = [
    "",
    "set local enable_seqscan = off",
    "set local enable_seqscan = off; set local enable_indexscan = off; set local enable_indexonlyscan = off; set local work_mem = '64kB'",
    "set local constraint_exclusion = on; set local enable_nestloop = off",
]


@pytest.fixture
async def planned(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("planned", lambda conn: conn.execute(CODE) and None)
    async with running(cluster.database(template)) as runtime:
        yield runtime


def traces(conn: psycopg.Connection) -> int:
    row = conn.execute("select case when is_called then last_value else 0 end from public.traces").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(("made", "asks"), SHAPES)
async def test_what_a_read_only_plans_with_asks_only_where_planning_may_run_it(
    planned: Runtime, made: str, asks: bool
) -> None:
    with psycopg.connect(planned.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("set search_path = public")
        conn.execute(made)
        conn.execute("analyze t")
        before = traces(conn)
        verdicts = {(await safe_executor.assess("execute_sql", {"sql": sql})).verdict for sql in READS}
        assert verdicts == ({"ask"} if asks else {"run"})
        assert traces(conn) == before
        for plan in PLANS if not asks else ():
            for sql in READS:
                with conn.transaction(force_rollback=True):
                    conn.execute(plan)
                    conn.execute(sql)
                    conn.execute(f"explain (analyze, verbose) {sql}")
        assert traces(conn) == before


async def test_a_condition_with_or_really_runs_for_rows_of_a_read_that_does_not_name_it(planned: Runtime) -> None:
    """Why an OR asks: what Postgres checks again is the condition of the index, which the query implies."""
    with psycopg.connect(planned.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create index on public.t (n) where public.norm(name) <> 'x' or id > 5; analyze public.t")
        before = traces(conn)
        with conn.transaction(force_rollback=True):
            conn.execute(PLANS[2])
            shown = str(conn.execute("explain select at from public.t where n = 3 and id > 5").fetchall())
        assert "norm(name)" in shown
        assert traces(conn) == before


async def test_a_write_goes_on_asking(planned: Runtime) -> None:
    with psycopg.connect(planned.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("alter table public.t add constraint c check (public.fine(name))")
    found = await safe_executor.assess("execute_sql", {"sql": "UPDATE t SET n = 1 WHERE id = 5"})
    assert "check:public.t:function:public.fine:user-defined" in found.reasons
    assert found.risk != "LOW"


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ("select s = trim(s)", True),
        ("select lower($1) || '-' || coalesce($2, '')", True),
        ("select case when s is null then 0 else length(s)::int end", True),
        ("select evil(s)", False),
        ("select evil -- (\n(s)", False),
        ('select U&"\\0065vil"(s)', False),
        ("select s === 'x'", False),
        ("select s from t", False),
        ("select s where true", False),
        ("select (select s)", False),
        ("update t set n = 1", False),
        ("select s::public.sung", False),
        ("select sung '5'", False),
        ("select s.evil", False),
        ("select (s).evil", False),
        ("select repeat('x', 1000000000)", False),
        ("select 1; select 2", False),
        ("", False),
    ],
)
def test_a_body_of_plain_values_is_told_from_any_other(body: str, plain: bool) -> None:
    assert is_plain_body(body, frozenset({"evil", "sung", "==="})) is plain
