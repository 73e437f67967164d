"""Code of the application shows nothing that AGENT_DENY denies: functions that a human registered, and generated columns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.statements.trusted_functions import trusted_functions
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.acc (
  id int primary key, name text, ssn text, ssn_start text generated always as (left(ssn, 9)) stored, org int
);
insert into public.acc values (1, 'Ann', 'SECRET-ssn', default, 1);
create table public."Pay Roll" (id int, amount text);
insert into public."Pay Roll" values (1, 'SECRET-pay');
create table public.open (id int, note text);
insert into public.open values (1, 'fine');
create view public.masked as select id, upper(ssn) as s from public.acc;
create view public.starts as select id, ssn_start as s from public.acc;

create function public.f_column() returns text stable begin atomic select ssn from public.acc; end;
create function public.f_star() returns setof public.acc stable begin atomic select * from public.acc; end;
create function public.f_whole() returns text stable begin atomic select a::text from public.acc a; end;
create function public.f_view() returns text stable begin atomic select s from public.masked; end;
create function public.f_generated() returns text stable begin atomic select ssn_start from public.acc; end;
create function public.f_filter() returns bigint stable begin atomic select count(*) from public.acc where ssn like 'S%'; end;
create function public.f_other() returns text stable begin atomic select public.f_column(); end;
create function public.f_table() returns text stable begin atomic select amount from public."Pay Roll"; end;
create function public.t_sql() returns text stable language sql as 'select ssn from public.acc';
create function public.t_star() returns setof record stable language sql as 'select * from acc';
create function public.t_alias() returns text stable language sql as 'select x::text from acc x';
create function public.t_upper() returns text stable language sql as 'SELECT SSN FROM ACC';
create function public.t_quoted() returns text stable language plpgsql as $$ begin return (select amount from "Pay Roll" limit 1); end $$;
create function public.t_plpgsql() returns text stable language plpgsql as $$ declare r acc; begin select * into r from acc limit 1; return r.ssn; end $$;
create function public.t_view() returns text stable language plpgsql as $$ begin return (select s from masked limit 1); end $$;
create function public.t_calls() returns text stable language plpgsql as $$ begin return t_sql(); end $$;
create function public.t_pieces() returns text stable language plpgsql as $$ declare s text; begin execute 'select s' || 'sn from a' || 'cc' into s; return s; end $$;
create function public.t_escaped() returns text stable language sql as $$ select U&"\\0073sn" from U&"\\0061cc" $$;
create view public.through as select public.f_column() as s;
create function public.same(int, int) returns boolean stable begin atomic select count(*) > 0 from public.acc where ssn > ''; end;
create operator public.=== (leftarg = int, rightarg = int, function = public.same);
create function public.grow(state text, v int) returns text stable language sql as 'select coalesce(state, '''') || (select ssn from acc limit 1)';
create aggregate public.leak(int) (sfunc = public.grow, stype = text);

create function public.g_count() returns bigint stable begin atomic select count(*) from public.acc where name = 'Ann'; end;
create function public.g_open() returns text stable language plpgsql as $$ begin return (select note from open limit 1); end $$;
create function public.g_pure(int) returns int immutable language sql as 'select $1 + 1';
create function public.is_member(int) returns boolean stable language plpgsql as $$ begin return exists (select from acc where org = $1); end $$;
create table public.of_members (id int, org int, note text);
insert into public.of_members values (1, 1, 'mine');
alter table public.of_members enable row level security;
create policy members on public.of_members using (public.is_member(org));
"""
DENY = "acc.ssn, public.Pay Roll"
REGISTERED = [
    "f_column",
    "f_star",
    "f_whole",
    "f_view",
    "f_generated",
    "f_filter",
    "f_other",
    "f_table",
    "t_sql",
    "t_star",
    "t_alias",
    "t_upper",
    "t_quoted",
    "t_plpgsql",
    "t_view",
    "t_calls",
    "t_pieces",
    "t_escaped",
    "g_count",
    "g_open",
    "g_pure",
    "is_member",
    "same",
    "grow",
    "leak",
]
REFUSED = """
SELECT f_column()
SELECT * FROM f_star()
SELECT f_star()
SELECT f_whole()
SELECT f_view()
SELECT f_generated()
SELECT f_filter()
SELECT f_other()
SELECT f_table()
SELECT t_sql()
SELECT t.a FROM t_star() AS t (a int, b text, c text, d text, e int)
SELECT t_alias()
SELECT t_upper()
SELECT t_quoted()
SELECT t_plpgsql()
SELECT t_view()
SELECT t_calls()
SELECT t_pieces()
SELECT t_escaped()
SELECT s FROM through
SELECT 1 === 2
SELECT leak(id) FROM open
SELECT id FROM open WHERE note < f_column()
EXPLAIN ANALYZE SELECT f_column()
SELECT ssn_start FROM acc
SELECT a.ssn_start FROM acc AS a
SELECT s FROM starts
UPDATE open SET note = 'x' RETURNING f_column()
UPDATE open SET note = f_column()
""".strip().splitlines()
RUN = (
    "SELECT g_count()",
    "SELECT g_open()",
    "SELECT g_pure(id) FROM open",
    "SELECT note FROM of_members",
    "SELECT name FROM acc",
)


@pytest.fixture
async def guarded(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("denied_in_code", lambda conn: conn.execute(TABLES))
    async with running(cluster.database(template, deny=DENY)) as runtime:
        yield runtime


async def test_no_function_shows_what_is_denied(guarded: Runtime) -> None:
    for name in REGISTERED:
        await trusted_functions.trust(name, runtime=guarded)
    verdicts = {sql: await safe_executor.assess("execute_sql", {"sql": sql}) for sql in REFUSED}
    assert {sql: found.verdict for sql, found in verdicts.items() if found.verdict != "refuse"} == {}
    assert all("AGENT_DENY" in found.sentence for found in verdicts.values())


async def test_registered_functions_that_read_nothing_denied_run(guarded: Runtime) -> None:
    for name in REGISTERED:
        await trusted_functions.trust(name, runtime=guarded)
    for sql in RUN:
        result = await safe_executor.execute("execute_sql", {"sql": sql})
        assert result["success"], (sql, result)


async def test_a_function_that_nobody_registered_is_refused_where_its_code_names_the_column(guarded: Runtime) -> None:
    for sql, verdict in {
        "SELECT f_column()": "refuse",
        "SELECT t_sql()": "refuse",
        "SELECT is_member(1)": "ask",
    }.items():
        assert (await safe_executor.assess("execute_sql", {"sql": sql})).verdict == verdict, sql
