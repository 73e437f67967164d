"""What the server says a statement is, and that whatever changes in the database changes the next assessment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.db import migrations
from agent.errors import InvalidInput, NotFound
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.statements.trusted_functions import trusted_functions
from agent.testing.cluster import Cluster
from agent.types import Assessment

TABLES = """
create type public.mood as enum ('sad', 'happy');
create domain public.word as text check (value <> '');
create type public.pair as (a int, b text);
create table public.t (id int primary key, code varchar(9), mood public.mood, w public.word, p public.pair, n numeric);
insert into public.t values (1, 'a', 'sad', 'w', row(1, 'b'), 1.5);
create table public.r (id int primary key, owner text);
alter table public.r enable row level security;
create policy mine on public.r using (owner = current_user);
create table public.parent (id int) partition by range (id);
create view public.v as select id, code from public.t;
create materialized view public.m as select id, code from public.t;
create function public.bad(x anyelement) returns boolean language plpgsql immutable as 'begin perform pg_sleep(0); return true; end';
create function public.bad_int(x int) returns int language plpgsql immutable as 'begin perform pg_sleep(0); return x; end';
create function public.worse(a varchar, b varchar) returns boolean language sql immutable as 'select true';
create function public.to_worse(m public.mood) returns json language sql immutable as 'select null::json';
create function public.noticed() returns trigger language plpgsql as 'begin return new; end';
create function public.good(x int) returns int language sql immutable as 'select x + 1';
create function public.outer_good(x int) returns int language plpgsql immutable as 'begin return good(x) + 1; end';
create table public.log (n int);
"""

# A range over one type that is ordered by a user's operator class for another.
WORSE_RANGE = (
    "create function public.worse_order(a text, b text) returns int language sql immutable as 'select 0';"
    " create operator class public.worse_ops for type text using btree as operator 1 <, operator 2 <=,"
    " operator 3 =, operator 4 >=, operator 5 >, function 1 public.worse_order(text, text);"
    " create type public.words as range (subtype = varchar, subtype_opclass = public.worse_ops)"
)

# A statement that is a read, and a change after which it is none.
CHANGES = [
    ("SELECT round(n) FROM t", "create function public.round(t) returns int language sql as 'select 1'; create function public.round(numeric, int default 0) returns int language sql as 'select 1'", False),
    ("SELECT upper(code) FROM t", "create function public.upper(varchar) returns text language sql as 'select null::text'", True),
    ("SELECT upper(code) FROM t", "create function public.other(varchar) returns text language sql as 'select null::text'; alter function public.other rename to upper", True),
    ("SELECT upper(code) FROM t", "create schema s; create function s.upper(varchar) returns text language sql as 'select null::text'; alter function s.upper set schema public", True),
    ("SELECT id FROM t WHERE code = 'a'", "create operator public.= (leftarg = varchar, rightarg = varchar, function = public.worse)", True),
    ("SELECT id FROM v", "create or replace view public.v as select public.bad_int(id) as id, code from public.t", True),
    ("SELECT id FROM v", "drop view public.v; create view public.v as select id from public.t where public.bad(id)", True),
    ("SELECT id FROM v", "create or replace view public.v as select id, code from public.t where (select true from pg_stat_activity limit 1)", True),
    ("SELECT id FROM m", "drop materialized view public.m; create view public.m as select public.bad_int(id) as id from public.t", True),
    ("SELECT id FROM r", "create policy more on public.r using (public.bad(id))", True),
    ("SELECT id FROM r", "alter policy mine on public.r using (public.bad(id))", True),
    ("SELECT id FROM v", "alter table public.t enable row level security; create policy p on public.t using (public.bad(id))", True),
    ("SELECT to_json(mood) FROM t", "create cast (public.mood as json) with function public.to_worse(public.mood)", True),
    ("SELECT 'x'::word", "alter domain public.word add constraint c check (public.bad(value::text))", True),
    ("SELECT p FROM t", "create domain public.watched as text check (public.bad(value)); alter type public.pair add attribute c public.watched", True),
    ("SELECT id FROM t", "create index on public.t ((public.bad_int(1) + id))", True),
    ("SELECT id FROM t", "create index on public.t (id) where public.bad(id) or id > 1", True),
    ("SELECT id FROM t", "alter table public.t add constraint c check (public.bad(1) or id > 0)", True),
    ("SELECT id FROM t", "create statistics public.s on (public.bad_int(1) + id), id from public.t", True),
    ("SELECT id FROM parent", "create table public.child partition of public.parent for values from (1) to (9); create index on public.child ((public.bad_int(1) + id))", True),
    ("SELECT max(n) FROM t", "create aggregate public.max(numeric) (sfunc = numeric_larger, stype = numeric); create function public.count_all() returns int language sql as 'select 1'", False),
    ("SELECT good FROM (SELECT 1 AS good) x", "create function public.unrelated() returns int language sql as 'select 1'", False),
    ("SELECT id FROM t", "create type public.shade as (a int); alter table public.t alter column n type float8", False),
]  # fmt: skip


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


@pytest.fixture
async def changing(cluster: Cluster) -> AsyncIterator[Runtime]:
    runtime = await open_runtime(cluster.database(cluster.template("changing", lambda conn: conn.execute(TABLES))))
    with use_runtime(runtime):
        yield runtime
    await runtime.close()


async def assessed(sql: str) -> Assessment:
    return await safe_executor.assess("execute_sql", {"sql": sql})


@pytest.mark.parametrize(("sql", "change", "matters"), CHANGES)
async def test_a_change_after_an_assessment_changes_the_next_one(
    changing: Runtime, sql: str, change: str, matters: bool
) -> None:
    first = await assessed(sql)
    assert (first.verdict, first.lock) == ("run", "AccessShareLock" if " FROM t" in sql or first.objects else "")
    assert await assessed(sql) == first
    with admin(changing) as conn:
        conn.execute(change)
    assert (await assessed(sql)).verdict == ("ask" if matters else "run")


KINDS = """
create table public.k (id int primary key, code text unique, n int);
create table public.child (id int primary key, k int references public.k on delete cascade, code text references public.k (code) on update cascade);
create table public.orphan (id int primary key, k int references public.k on delete set null);
create table public.parts (id int, n int) partition by range (id);
create table public.part_1 partition of public.parts for values from (0) to (10);
create view public.kv as select id, n from public.k;
create trigger k_i after insert on public.k for each row execute function public.noticed();
create trigger k_u before update on public.k for each row execute function public.noticed();
create trigger k_d after delete on public.k for each statement execute function public.noticed();
create trigger child_d after delete on public.child for each row execute function public.noticed();
create trigger child_u after update on public.child for each row execute function public.noticed();
create trigger orphan_u after update on public.orphan for each row execute function public.noticed();
create trigger orphan_d after delete on public.orphan for each row execute function public.noticed();
create trigger part_i after insert on public.part_1 for each row execute function public.noticed();
create trigger part_d after delete on public.part_1 for each row execute function public.noticed();
"""
MERGE = "MERGE INTO k USING (VALUES (1)) AS v (id) ON k.id = v.id WHEN MATCHED THEN {} WHEN NOT MATCHED THEN {}"


TRIGGERS = [
    ("INSERT INTO k VALUES (1)", "k_i"),
    ("INSERT INTO k VALUES (1) ON CONFLICT DO NOTHING", "k_i"),
    ("INSERT INTO k VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 1", "k_i k_u child_u"),
    ("UPDATE k SET n = 1 WHERE id = 1", "k_u child_u"),
    ("DELETE FROM k WHERE id = 1", "k_d child_d orphan_u"),
    (MERGE.format("DELETE", "DO NOTHING"), "k_d child_d orphan_u"),
    (MERGE.format("UPDATE SET n = 1", "INSERT VALUES (1)"), "k_i k_u child_u"),
    ("WITH d AS (DELETE FROM child RETURNING 1) INSERT INTO k VALUES (1)", "k_i child_d"),
    ("INSERT INTO orphan SELECT id FROM k", ""),
    ("INSERT INTO parts VALUES (1)", "part_i"),
    ("UPDATE parts SET id = 2 WHERE id = 1", "part_i part_d"),
    ("DELETE FROM parts WHERE id = 1", "part_d"),
    ("DELETE FROM kv WHERE id = 1", "k_d child_d orphan_u orphan_d"),  # of a view it is not plain what is changed
]


async def test_only_triggers_of_what_a_statement_does_are_its_reasons(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(KINDS)
    for sql, triggers in TRIGGERS:
        found = (await assessed(sql)).reasons
        named = {reason.split(":")[1].rpartition(".")[2] for reason in found if reason.startswith("trigger:")}
        assert named == set(triggers.split()), sql


async def test_with_a_rule_any_trigger_may_run(changing: Runtime) -> None:
    with psycopg.connect(changing.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(KINDS)
        conn.execute("create rule also as on insert to public.k do also update public.k set n = 1")
        found = (await assessed("INSERT INTO k VALUES (1)")).reasons
    assert {"trigger:public.k.k_u:function:public.noticed:user-defined"} <= set(found)


async def test_a_trigger_a_rule_and_a_cascade_made_after_an_assessment_are_reasons_of_the_next_one(
    changing: Runtime,
) -> None:
    sql = "UPDATE t SET n = 2 WHERE id = 1"
    assert (await assessed(sql)).reasons == ("write:update", "one-row")
    with admin(changing) as conn:
        conn.execute("create trigger noticed before update on public.t for each row execute function public.noticed()")
        assert "trigger:public.t.noticed:function:public.noticed:user-defined" in (await assessed(sql)).reasons
        conn.execute("alter table public.t disable trigger noticed")
        assert not any("noticed" in reason for reason in (await assessed(sql)).reasons)
        conn.execute(
            "create rule more as on update to public.t do also insert into public.log values (public.bad_int(1))"
        )
        assert any(reason.startswith("rule:public.t:") for reason in (await assessed(sql)).reasons)


async def test_what_commits_late_is_seen_when_it_commits(changing: Runtime) -> None:
    sql = "SELECT upper(code) FROM t"
    with admin(changing) as early, admin(changing) as late:
        early.autocommit = False
        early.execute("create function public.upper(varchar) returns text language sql as 'select null::text'")
        late.execute("create function public.later() returns int language sql as 'select 1'")
        assert (await assessed(sql)).verdict == "run"
        early.rollback()
        assert (await assessed(sql)).verdict == "run"
        early.execute("create function public.upper(varchar) returns text language sql as 'select null::text'")
        late.execute("drop function public.later()")
        assert (await assessed(sql)).verdict == "run"
        early.commit()
        assert (await assessed(sql)).verdict == "ask"


async def test_a_schema_that_only_the_reader_may_look_into_hides_nothing(changing: Runtime) -> None:
    sql = "SELECT upper(code) FROM t"
    assert (await assessed(sql)).verdict == "run"
    with admin(changing) as conn:
        conn.execute("create schema agent_reader; grant usage on schema agent_reader to agent_reader")
        conn.execute("create function agent_reader.upper(varchar) returns text language sql as 'select ''evil'''")
    assert (await assessed(sql)).verdict == "run"
    assert (await safe_executor.execute("execute_sql", {"sql": sql}))["rows"] == [["A"]]
    runtime = await open_runtime(changing.settings)  # its reader looks there
    with use_runtime(runtime):
        assert (await assessed(sql)).reasons == ("unresolved:schema",)
    await runtime.close()


async def test_a_registered_function_runs_until_it_or_what_it_calls_is_changed(changing: Runtime) -> None:
    sql = "SELECT outer_good(id) FROM t"
    assert (await assessed(sql)).reasons[-1] == "function:public.outer_good:user-defined"
    registered = await trusted_functions.trust("outer_good", "adds two")
    assert registered.signature == "outer_good(integer)"
    assert (await assessed(sql)).verdict == "run"
    assert (await safe_executor.execute("execute_sql", {"sql": sql}))["rows"] == [[3]]
    with admin(changing) as conn:
        conn.execute(
            "create or replace function public.good(x int) returns int language sql immutable as 'select x + 2'"
        )
    changed = await assessed(sql)
    assert (changed.verdict, changed.reasons[-1]) == ("ask", "function:public.outer_good:changed")
    assert "was changed after a human registered it" in changed.sentence
    assert [one.state for one in await trusted_functions.list()] == ["changed"]
    await trusted_functions.trust("public.outer_good(integer)")
    assert (await assessed(sql)).verdict == "run"
    await trusted_functions.revoke("outer_good(integer)")
    assert (await assessed(sql)).verdict == "ask"
    with pytest.raises(NotFound):
        await trusted_functions.revoke("outer_good(integer)")


@pytest.mark.parametrize(
    "change",
    [
        "alter function public.good(int) security definer", "alter function public.good(int) set work_mem = '64kB'",
        "alter function public.good(int) volatile", "alter function public.good(int) owner to agent_actor",
        "create or replace function public.good(x int) returns int language sql immutable as 'select x'",
        "create or replace function public.good(x int default 1) returns int language sql immutable as 'select x + 1'",
        "drop function public.good(int); create function public.good(x int) returns int language sql immutable as 'select x + 1'",
    ],
)  # fmt: skip
async def test_any_change_of_a_registered_function_ends_the_trust_in_it(changing: Runtime, change: str) -> None:
    await trusted_functions.trust("public.good")
    sql = "SELECT good(id) FROM t"
    assert (await assessed(sql)).verdict == "run"
    with admin(changing) as conn:
        conn.execute(change)
    assert (await assessed(sql)).verdict == "ask"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("create function public.f() returns int language sql security definer as 'select 1'", "SECURITY DEFINER"),
        ("create function public.f() returns int language internal as 'pg_backend_pid'", "internal"),
        ("create procedure public.f() language sql as 'select 1'", "procedure"),
        ("create function public.g() returns int language sql security definer as 'select 1'; create function public.f() returns int language plpgsql as 'begin return g(); end'", "SECURITY DEFINER"),
    ],
)  # fmt: skip
async def test_what_could_do_more_than_the_reader_cannot_be_registered(
    changing: Runtime, function: str, why: str
) -> None:
    with admin(changing) as conn:
        conn.execute(function)
    with pytest.raises(InvalidInput, match=why):
        await trusted_functions.trust("public.f")
    with pytest.raises(NotFound):
        await trusted_functions.trust("public.nothing")


def test_the_table_of_functions_comes_to_a_database_with_rows(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, every = cluster.empty_database(), migrations.all_migrations()
    with monkeypatch.context() as before:
        before.setattr(migrations, "all_migrations", lambda: [one for one in every if one.version < "20261125010000"])
        migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("insert into agents.controls (tenant_id, stopped) values ('default', true)")
        assert "20261125010000" in migrations.migrate(url)
        assert conn.execute("select stopped from agents.controls").fetchall() == [(True,)]
        assert conn.execute(
            "select relforcerowsecurity from pg_class where relname = 'trusted_functions'"
        ).fetchone() == (True,)


async def test_a_trusted_function_makes_operators_and_casts_over_it_harmless_too(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute("create operator public.=== (leftarg = varchar, rightarg = varchar, function = public.worse)")
    sql = "SELECT code === code FROM t"
    assert (await assessed(sql)).reasons == ("operator:public.===",)
    await trusted_functions.trust("public.worse")
    assert (await assessed(sql)).verdict == "run"


async def test_an_explained_query_is_resolved_and_an_explained_write_asks(changing: Runtime) -> None:
    assert (await assessed("EXPLAIN (ANALYZE, BUFFERS) SELECT id FROM t")).verdict == "run"
    assert (await assessed("EXPLAIN SELECT bad_int(1)")).verdict == "ask"
    assert (await assessed("EXPLAIN UPDATE t SET n = 1")).verdict == "ask"


@pytest.mark.parametrize(
    ("change", "sql", "reason"),
    [
        (
            "create operator public.!! (rightarg = text, function = current_setting)",
            "SELECT !! 'app.jwt_secret'",
            "operator:public.!!",
        ),
        (
            WORSE_RANGE,
            "SELECT NULL::words",
            "type:worse_order(text,text)",
        ),
        (
            WORSE_RANGE + "; create index on public.t (code public.worse_ops)",
            "SELECT id FROM t WHERE code = 'a'",
            "type:worse_order(text,text)",
        ),
        (
            WORSE_RANGE + "; create table public.parts (code text) partition by range (code public.worse_ops)",
            "SELECT code FROM parts WHERE code = 'a'",
            "type:worse_order(text,text)",
        ),
    ],
)
async def test_code_that_is_reached_without_its_name_asks(
    changing: Runtime, change: str, sql: str, reason: str
) -> None:
    with admin(changing) as conn:
        conn.execute(change)
    found = await assessed(sql)
    assert found.verdict == "ask"
    assert reason in found.reasons


async def test_a_write_with_a_range_of_a_users_order_is_not_low(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(WORSE_RANGE)
    assert (await assessed("UPDATE t SET code = '[a,b]'::words::text WHERE id = 1")).risk != "LOW"


def end_sessions(conn: psycopg.Connection) -> None:
    """The next ones have the settings that logins were given meanwhile."""
    conn.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and usename like 'agent_%'"
    )


@pytest.mark.parametrize("rights", ["", "security definer"])
async def test_an_event_trigger_does_not_run_with_an_assessment(changing: Runtime, rights: str) -> None:
    sql = "SELECT count(*) FROM t"
    with admin(changing) as conn:
        conn.execute(
            f"create function public.audited() returns event_trigger language plpgsql {rights}"
            " as 'begin insert into public.log values (1); end';"
            " create event trigger audit on ddl_command_end execute function public.audited()"
        )
        database = conn.info.dbname
        assert (await assessed(sql)).verdict == "run"  # `agent setup` has switched them off
        conn.execute(f"alter role agent_assessor in database {database} set event_triggers = on")
        end_sessions(conn)
        found = await assessed(sql)
        assert (found.verdict, found.reasons) == ("ask", ("unresolved:event-trigger",))
        assert "event trigger" in found.sentence
        conn.execute("alter event trigger audit disable")
        assert (await assessed(sql)).verdict == "run"
        assert conn.execute("select count(*) from public.log").fetchone() == (0,)


# A function that leaves a trace even when its transaction is rolled back, and what calls it when a literal is read.
TRACED = """
create sequence public.traces;
create function public.traced(x text) returns boolean language plpgsql security definer
 as 'begin perform nextval(''public.traces''); return true; end';
create domain public.noted as text check (public.traced(value));
create type public.notes as (a public.noted);
create domain public.other_notes as public.notes;
create type public.spans as range (subtype = public.noted, multirange_type_name = public.more_spans);
create table public.kept (a public.notes);
create function public.reads_one(n public.other_notes) returns int language sql immutable as 'select 1';
create function public.gives_one() returns public.notes language sql immutable as 'select null::public.notes';
create function public.meets(a text, b public.notes) returns boolean language sql immutable as 'select true';
create operator public.## (leftarg = text, rightarg = public.notes, function = public.meets);
"""


LITERALS = [
    "'(x)'::notes", "'\t (x)'::notes", "E'\\n(x)'::other_notes", "'{x}'::noted[]", "'[0:0]={x}'::noted[]", "'[a,b]'::spans",
    "U&'\\0028x)'::notes", "'{[a,b]}'::more_spans", "notes '(x)'", "CAST('(x)' AS notes)", "$$(x)$$::notes",
    "k FROM kept k WHERE k = '(x)'", "1 FROM kept WHERE a = '(x)'", "1 FROM (SELECT k FROM kept k) s WHERE k = '(x)'",
    "reads_one('(x)')", "1 WHERE gives_one() = '(x)'", "'a'::text ## '(x)'", "coalesce(NULL::notes, '(x)')",
]  # fmt: skip


async def test_reading_a_literal_runs_no_code_of_the_application(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(TRACED)
        for value in LITERALS:
            found = await assessed(f"SELECT {value}")
            assert found.verdict == "ask", value
            assert "unresolved:literal" in found.reasons, value
            assert "so it was not asked" in found.sentence, value
            assert conn.execute("select is_called from public.traces").fetchone() == (False,), value
        assert (await assessed("SELECT id FROM t WHERE code = ANY ('{a,b}')")).verdict == "run"
        # It is the check that counts, not the literal.
        conn.execute("drop domain public.noted cascade")
        assert (
            await assessed("SELECT '{x}'::text[], '(1,b)'::pair, '[1,2]'::int4range, '{\"a\": 1}'::jsonb")
        ).verdict == "run"


# What runs a function of a user's without being named in the statement, with a statement that would run it.
BOXES = """
create table public.shapes (id int primary key, b box);
insert into public.shapes select n, box(point(n, n), point(0, 0)) from generate_series(1, 3) n;
create function public.same(a box, b box) returns boolean language plpgsql security definer immutable
 as 'begin raise exception ''code of a user''; end';
create function public.order_of(a box, b box) returns int language plpgsql security definer immutable
 as 'begin raise exception ''code of a user''; end';
create operator public.=== (leftarg = box, rightarg = box, function = public.same);
"""
ONLY_EQUAL = "create operator class public.equal_ops default for type box using btree as operator 3 public.===;"
ORDER = (
    "create operator class public.order_ops for type box using btree as operator 1 <, operator 2 <=, operator 3 =,"
    " operator 4 >=, operator 5 >, function 1 public.order_of(box, box);"
)
IN_ITS_PLACE = (
    "create index on public.shapes (id) where b < '(9,9),(0,0)'; create operator family public.others using btree;"
    " alter operator family public.others using btree add operator 1 < (box, box), operator 4 public.=== (box, box);"
)


@pytest.mark.parametrize(
    ("made", "sql", "reason"),
    [
        (ONLY_EQUAL, "SELECT id FROM shapes WHERE array[b] = array[b]", "operator:public.==="),
        (ONLY_EQUAL, "SELECT id FROM shapes s WHERE s = s", "operator:public.==="),
        (ORDER, "SELECT id FROM shapes ORDER BY b USING <", "type:order_of(box,box)"),
        (IN_ITS_PLACE, "SELECT id FROM shapes WHERE b < '(2,2),(0,0)' AND id < 5", "operator:public.==="),
    ],
)
async def test_what_the_planner_compares_by_counts(changing: Runtime, made: str, sql: str, reason: str) -> None:
    with admin(changing) as conn:
        conn.execute(BOXES)
        conn.execute(f"grant select on public.shapes to agent_reader; {made}")
    found = await assessed(sql)
    assert (found.verdict, reason in found.reasons) == ("ask", True), found.reasons
    assert (await assessed("SELECT code, count(*) FROM t GROUP BY code ORDER BY code")).verdict == "run"


@pytest.mark.parametrize(
    "sql", ["UPDATE shapes SET n = 2 WHERE id = 1 AND b < '(2,2),(0,0)'", "UPDATE shapes SET n = 2 WHERE id = 1"]
)
async def test_a_write_whose_planning_runs_code_of_a_users_is_not_low(changing: Runtime, sql: str) -> None:
    with admin(changing) as conn:
        conn.execute(BOXES + "alter table public.shapes add n int;" + IN_ITS_PLACE)
    assert (await assessed(sql)).risk != "LOW"


async def test_a_check_that_compares_by_code_of_a_users_keeps_a_write_from_being_low(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(
            BOXES + ONLY_EQUAL + "create table public.boxes (id int primary key, n int, b box[], check (b = b))"
        )
    assert (await assessed("UPDATE boxes SET n = 2 WHERE id = 1")).risk != "LOW"


async def test_an_extension_does_not_vouch_for_what_was_put_into_it(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(
            "create extension if not exists vector; create function public.vector_dims(x int) returns boolean language plpgsql"
            " as 'begin return true; end'; create function public.close_to(a text, b text) returns boolean language plpgsql"
            " as 'begin return true; end'; create operator public.~~~ (leftarg = text, rightarg = text, function = public.close_to)"
        )
        assert (await assessed("SELECT vector_dims('[1,2]'::vector)")).verdict == "run"
        conn.execute(
            "alter extension vector add function public.vector_dims(int); alter extension vector add operator public.~~~ (text, text)"
        )
    assert "function:public.vector_dims:user-defined" in (await assessed("SELECT vector_dims(id) FROM t")).reasons
    assert "operator:public.~~~" in (await assessed("SELECT id FROM t WHERE code::text ~~~ 'x'")).reasons
    assert (await assessed("SELECT vector_dims('[1,2]'::vector), '[1,2]'::vector <-> '[1,3]'")).verdict == "run"


MODIFIED = """
create sequence public.traces;
create type public.money2;
create function public.money2_in(cstring) returns public.money2 language internal immutable strict as 'textin';
create function public.money2_out(public.money2) returns cstring language internal immutable strict as 'textout';
create function public.money2_mod(cstring[]) returns int language plpgsql security definer
 as 'begin perform nextval(''public.traces''); return 1; end';
create type public.money2 (input = public.money2_in, output = public.money2_out, typmod_in = public.money2_mod, like = text);
"""


async def test_reading_a_types_modifier_runs_no_code_of_the_application(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute(MODIFIED)
        for sql in (
            "SELECT 'public.money2(3)'::regtype", "SELECT NULL::money2(3)", "SELECT to_regtype('money2(3)')",
            "SELECT pg_typeof(1) = 'money2(3)'",
        ):  # fmt: skip
            assert (await assessed(sql)).verdict == "ask", sql
            assert conn.execute("select is_called from public.traces").fetchone() == (False,), sql


async def test_where_names_are_looked_up_and_whether_policies_hold_is_asked_each_time(changing: Runtime) -> None:
    runtime = await open_runtime(changing.settings.model_copy(update={"reader_bypass_rls": True}))
    with use_runtime(runtime), admin(changing) as conn:
        conn.execute("create policy more on public.r using (public.bad(id))")
        conn.execute("alter role agent_reader bypassrls")
        try:
            assert (await assessed("SELECT id FROM r")).verdict == "run"
        finally:
            conn.execute("alter role agent_reader nobypassrls")
        assert (await assessed("SELECT id FROM r")).verdict == "ask"
        assert (await assessed("SELECT id FROM t")).verdict == "run"
        conn.execute("revoke usage on schema public from agent_reader, public")
        assert (await assessed("SELECT id FROM public.t")).reasons == ("unresolved:schema",)
    await runtime.close()


async def test_supabases_own_event_triggers_leave_statements_to_be_resolved(changing: Runtime) -> None:
    sql = "SELECT count(*) FROM t"
    with admin(changing) as conn:
        conn.execute(
            "do $$ begin create role supabase_admin superuser; exception when duplicate_object then null; end $$"
        )
        conn.execute(
            "create schema extensions; create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql"
            " as 'begin null; end'; alter function extensions.pgrst_ddl_watch() owner to supabase_admin;"
            " create event trigger pgrst on ddl_command_end execute function extensions.pgrst_ddl_watch();"
            f" alter role agent_assessor in database {conn.info.dbname} set event_triggers = on"
        )
        end_sessions(conn)
        assert (await assessed(sql)).verdict == "run"
        conn.execute("alter function extensions.pgrst_ddl_watch() owner to agent_actor")  # anybody's
        assert (await assessed(sql)).reasons == ("unresolved:event-trigger",)


async def test_policies_count_unless_the_reader_really_passes_them_by(changing: Runtime) -> None:
    with admin(changing) as conn:
        conn.execute("create policy more on public.r using (public.bad(id))")
    runtime = await open_runtime(changing.settings.model_copy(update={"reader_bypass_rls": True}))
    with use_runtime(runtime):
        assert (await assessed("SELECT id FROM r")).verdict == "ask"
    await runtime.close()


SECRETIVE = [
    "SELECT * FROM information_schema.foreign_server_options", "SELECT * FROM information_schema.user_mappings",
    "SELECT proconfig FROM pg_proc", "SELECT p FROM pg_proc p", "SELECT * FROM pg_trigger",
    "SELECT tgargs FROM pg_trigger", "SELECT pg_get_triggerdef(1)", "SELECT pg_get_functiondef(1)",
    "SELECT attfdwoptions FROM pg_attribute",
]  # fmt: skip


async def test_what_may_hold_secrets_in_the_catalogs_asks(changing: Runtime) -> None:
    assert [sql for sql in SECRETIVE if (await assessed(sql)).verdict != "ask"] == []
    assert (await assessed("SELECT proname FROM pg_proc")).verdict == "run"
