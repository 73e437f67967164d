"""What is LOW touches one row, provably; what the settings say about risk holds.

`pytest tests/statements/test_risk.py -s` prints the figures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from benchmarks.writes import traps

from agent.approval.human_approval import human_approval_queue
from agent.approval.preview import StatementPreview
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime
from agent.statements.risk import risk_after_dry_run
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create type public.mood as enum ('good', 'bad');
create table public.plain (id int primary key, code text unique, a int, b int, note text, mood public.mood, fixed char(6) unique);
insert into public.plain select g, 'c' || g, g % 5, g % 3, 'n', 'good', 'f' || g from generate_series(1, 50) g;
create table public.pairs (a int, b int, note text, unique (a, b), unique nulls not distinct (note));
insert into public.pairs select g % 5, g, 'n' || g from generate_series(1, 50) g;
create table public.partly (id int, live boolean, note text);
create unique index partly_live on public.partly (id) where live;
insert into public.partly select g % 5, false, 'n' from generate_series(1, 50) g;
create table public.lowered (name text, note text);
create unique index lowered_name on public.lowered (lower(name));
insert into public.lowered values ('A', 'n'), ('b', 'n');
create table public.deferred (id int, note text, unique (id) deferrable initially deferred);
insert into public.deferred values (1, 'n'), (2, 'n');
create table public.parent (id int primary key, code text unique, note text);
create table public.child (id int primary key, parent int references public.parent on delete cascade on update cascade,
  parent_code text references public.parent (code), note text);
insert into public.parent select g, 'p' || g, 'n' from generate_series(1, 10) g;
insert into public.child select g, 1 + g % 10, null, 'n' from generate_series(1, 30) g;
create table public.watched (id int primary key, note text);
insert into public.watched values (1, 'n'), (2, 'n');
create function public.echo() returns trigger language plpgsql as $$ begin update public.plain set note = 'echo'; return new; end $$;
create trigger echo after update on public.watched for each row execute function public.echo();
create table public.counted (id int primary key, a int, twice int generated always as (a * 2) stored);
insert into public.counted values (1, 1), (2, 2);
create table public.split (id int, part int, note text, primary key (id, part)) partition by list (part);
create table public.split_1 partition of public.split for values in (1);
insert into public.split values (1, 1, 'n'), (2, 1, 'n');
create table public.base (id int primary key, note text);
create table public.heir () inherits (public.base);
insert into public.base values (1, 'n'); insert into public.heir values (1, 'n'), (1, 'n');
create table public.guarded (id int primary key, note text);
alter table public.guarded enable row level security;
create policy everyone on public.guarded using (true);
insert into public.guarded values (1, 'n');
create function public.fine(text) returns boolean language sql as 'select true';
create table public.checked (id int primary key, note text check (public.fine(note)));
insert into public.checked values (1, 'n');
create table public.ruled (id int primary key, note text);
create rule also as on update to public.ruled do also update public.plain set note = 'rule';
insert into public.ruled values (1, 'n');
create table public.numbered (id int generated always as identity primary key, note text);
insert into public.numbered (note) select 'n' from generate_series(1, 5);
create table public.serials (id bigserial primary key, note text, at timestamptz default now(), key uuid default gen_random_uuid());
insert into public.serials (note) select 'n' from generate_series(1, 5);
create table public.borrowing (id bigint primary key default nextval('public.serials_id_seq'), note text);
create table public.serial_computed (id serial primary key, note text);
alter table public.serial_computed alter id set default nextval('public.serial_computed_id_seq') + nextval('public.serials_id_seq');
create table public.watched_new (id int primary key);
create trigger echo after insert on public.watched_new for each row execute function public.echo();
create function public.secretly(int) returns int language plpgsql immutable as $$ begin return $1; end $$;
create table public.computed_new (id int primary key, twice int generated always as (public.secretly(id)) stored);
create table public.defaulted (id int primary key, note text default public.secretly(1)::text);
insert into public.defaulted values (1, 'n');
create table public.cased (name text collate "POSIX", note text); -- for want of a collation that takes no heed of case
create unique index cased_exactly on public.cased (name collate "C");
insert into public.cased values ('a', 'n'), ('A', 'n');
"""


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("risks", lambda conn: conn.execute(TABLES) and None)
    async with running(cluster.database(template, ask_from="MEDIUM")) as runtime:
        yield runtime


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


async def risk_of(sql: str) -> str:
    return (await safe_executor.assess("execute_sql", {"sql": sql})).risk


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE plain SET a = 1 WHERE id = 5",
        "UPDATE public.plain AS p SET a = p.a + 1, note = 'x' WHERE p.id = 5 AND p.a < 9",
        "UPDATE plain SET note = NULL WHERE 'c5' = code",
        "UPDATE plain SET mood = 'bad' WHERE id = 5::int",
        "DELETE FROM plain WHERE id = 5 AND (a = 1 OR true)",
        "UPDATE parent SET note = 'x' WHERE id = 1",
        "DELETE FROM child WHERE id = 3",
        "UPDATE numbered SET note = 'x' WHERE id = 2",
        "UPDATE serials SET note = 'x' WHERE id = 2",
        "DELETE FROM serials WHERE id = 2",
        "UPDATE defaulted SET note = 'x' WHERE id = 1",
        "INSERT INTO plain (id, code, a, mood) VALUES (900, 'new', 1 + 2, 'bad')",
        "INSERT INTO plain VALUES (900, 'new')",
        "INSERT INTO public.serials AS s (note) VALUES ('x') RETURNING id, s.note",
        "INSERT INTO serials (id, note, at) VALUES (DEFAULT, 'x', now())",
        "INSERT INTO numbered (note) VALUES ('x') RETURNING *",
        "INSERT INTO child (id, parent, note) VALUES (900, 1, 'x')",
        "INSERT INTO counted (id, a) VALUES (9, 5)",
        "INSERT INTO borrowing (id, note) VALUES (7, 'x')",
    ],
)
async def test_a_write_of_one_row_by_its_key_is_low_and_asks_nobody(store: Runtime, sql: str) -> None:
    assessment = await safe_executor.assess("execute_sql", {"sql": sql})
    assert (assessment.verdict, assessment.risk) == ("run", "LOW")
    result = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
    assert result["success"], result
    assert result["row_count"] == 1
    assert await human_approval_queue.get_pending_approvals() == []
    (row,) = await executions.recent(1)
    assert (row.status, row.approved_by, row.risk_level) == ("succeeded", "policy", "LOW")


MORE_THAN_LOW = [
    "UPDATE plain SET a = 1 WHERE id = 5 OR true",
    "UPDATE plain SET a = 1 WHERE id >= 5",
    "UPDATE plain SET a = 1 WHERE id = a",
    "UPDATE plain SET a = 1 WHERE id IN (5, 6)",
    "UPDATE plain SET a = 1 WHERE NOT id = 5",
    "UPDATE plain SET a = 1 WHERE id = ANY ('{5,6}')",
    "UPDATE plain SET id = id + 1000 WHERE id = 5",
    "UPDATE plain SET code = 'x' WHERE id = 5",
    "UPDATE plain SET a = (SELECT 1) WHERE id = 5",
    "UPDATE plain SET note = upper(note) WHERE id = 5",
    "UPDATE plain SET b = DEFAULT WHERE id = 5",
    "UPDATE plain SET (a, b) = (1, 2) WHERE id = 5",
    "UPDATE plain SET a = 1 FROM pairs WHERE plain.id = 5",
    "UPDATE plain SET a = 1 WHERE id = 5 RETURNING note",
    "UPDATE plain SET a = 1 WHERE id = NULL",
    "UPDATE plain SET a = 1 WHERE fixed = 'f5'::text",
    "UPDATE plain SET a = 1 WHERE id OPERATOR(pg_catalog.<>) 5",
    "WITH x AS (SELECT 1) UPDATE plain SET a = 1 WHERE id = 5",
    "DELETE FROM plain USING pairs WHERE plain.id = 5",
    "UPDATE pairs SET note = 'x' WHERE a = 1",
    "UPDATE partly SET note = 'x' WHERE id = 1",
    "UPDATE lowered SET note = 'x' WHERE name = 'A'",
    "UPDATE deferred SET note = 'x' WHERE id = 1",
    "DELETE FROM parent WHERE id = 1",
    "UPDATE parent SET code = 'x' WHERE id = 1",
    "UPDATE child SET parent = 2 WHERE id = 1",
    "UPDATE watched SET note = 'x' WHERE id = 1",
    "UPDATE counted SET a = 5 WHERE id = 1",
    "UPDATE split SET note = 'x' WHERE id = 1 AND part = 1",
    "UPDATE split_1 SET note = 'x' WHERE id = 1 AND part = 1",
    "UPDATE base SET note = 'x' WHERE id = 1",
    "UPDATE guarded SET note = 'x' WHERE id = 1",
    "UPDATE checked SET note = 'x' WHERE id = 1",
    "UPDATE ruled SET note = 'x' WHERE id = 1",
    "UPDATE cased SET note = 'x' WHERE name = 'a'",
    "INSERT INTO plain (id) VALUES (900), (901)",
    "INSERT INTO plain (id) SELECT 900",
    "INSERT INTO plain DEFAULT VALUES",
    "INSERT INTO plain (id) VALUES (900) ON CONFLICT (id) DO UPDATE SET a = 1",
    "INSERT INTO plain (id, a) VALUES (900, (SELECT max(a) FROM plain))",
    "INSERT INTO plain (id, note) VALUES (900, upper('x'))",
    "INSERT INTO plain (id, note) VALUES (900, 'x') RETURNING upper(note)",
    "INSERT INTO plain (id) OVERRIDING SYSTEM VALUE VALUES (900)",
    "WITH x AS (SELECT 1) INSERT INTO plain (id) VALUES (900)",
    "INSERT INTO borrowing (note) VALUES ('x')",
    "INSERT INTO serial_computed (note) VALUES ('x')",
    "INSERT INTO watched_new (id) VALUES (9)",
    "INSERT INTO computed_new (id) VALUES (9)",
    "INSERT INTO split (id, part) VALUES (9, 1)",
    "INSERT INTO base (id) VALUES (9)",
    "INSERT INTO guarded (id) VALUES (9)",
    "INSERT INTO checked (id, note) VALUES (9, 'x')",
    "INSERT INTO defaulted (id) VALUES (9)",
    "UPDATE defaulted SET note = DEFAULT WHERE id = 1",
    "TRUNCATE plain",
    "UPDATE plain SET a = 1 WHERE id = 5 AND EXISTS (SELECT FROM pairs)",
    "UPDATE plain SET a = 1 WHERE id = 5 AND random() < 0.5",
    "UPDATE pg_catalog.pg_am SET amname = 'x' WHERE oid = 2",
]


async def test_whatever_else_could_come_of_a_write_makes_it_more_than_low(store: Runtime) -> None:
    assessed = {sql: await safe_executor.assess("execute_sql", {"sql": sql}) for sql in MORE_THAN_LOW}
    assert [sql for sql, one in assessed.items() if one.verdict != "ask" or one.risk == "LOW"] == []


@pytest.fixture
async def trapped(cluster: Cluster) -> AsyncIterator[Runtime]:
    async with running(cluster.database(cluster.template("traps", traps.fill), ask_from="MEDIUM")) as runtime:
        yield runtime


async def test_nothing_that_is_low_touches_more_than_one_row_or_anything_else(trapped: Runtime) -> None:
    result = await traps.run(trapped.settings.database_url.get_secret_value(), low=40, seed=5)
    assert (result.low, result.wrong) == (40, [])
    print(f"\nrisk: {result.low} of {result.tried} generated writes are LOW; more than one row or anything else: 0")


async def test_nothing_is_low_where_an_equals_of_the_applications_own_is_meant(trapped: Runtime) -> None:
    by_number, by_code = "UPDATE plain SET a = 1 WHERE id = 5", "UPDATE coded SET a = 1 WHERE code = 'v5'"
    with admin(trapped) as conn:
        conn.execute("create table public.coded (code varchar(5) unique, a int)")
        assert (await risk_of(by_number), await risk_of(by_code)) == ("LOW", "LOW")
        conn.execute(traps.SHADOWED_OPERATOR)
    assert await risk_of(by_number) == "LOW"
    assert await risk_of(by_code) != "LOW"


async def test_many_rows_and_heavy_locks_are_high(store: Runtime, cluster: Cluster) -> None:
    few = await open_runtime(store.settings.model_copy(update={"many_rows": 10}))
    asked = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE plain SET a = 1 WHERE id > 20"}, wait=False, runtime=few
    )
    approval = await human_approval_queue.get(asked["approval_id"])
    assert approval.risk_level == "HIGH"
    assert "rows:many" in approval.reasons
    await few.close()
    # agent_actor owns nothing: it would fail as things are
    refused = await safe_executor.execute(
        "execute_sql", {"sql": "CREATE INDEX watched_note ON watched (note)"}, wait=False
    )
    assert refused["status"] == "refused"
    assert risk_after_dry_run("LOW", StatementPreview(row_count=11, tried=True), many_rows=10)[0] == "HIGH"
    heavy = StatementPreview(lock="AccessExclusiveLock", tried=True)
    assert risk_after_dry_run("MEDIUM", heavy, many_rows=10) == ("HIGH", ("lock:AccessExclusiveLock",))
    assert risk_after_dry_run("CRITICAL", heavy, many_rows=10)[0] == "CRITICAL"


async def test_a_setting_refuses_kinds_of_writes_outright_and_another_asks_about_every_one(store: Runtime) -> None:
    strict = await open_runtime(store.settings.model_copy(update={"refuse": "write:delete, no-*", "ask_from": "LOW"}))
    for sql in ("DELETE FROM plain WHERE id = 1", "UPDATE plain SET a = 1"):
        refused = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=strict)
        assert refused["status"] == "refused"
        assert "AGENT_REFUSE" in refused["error"]
    asked = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE plain SET a = 1 WHERE id = 1"}, wait=False, runtime=strict
    )
    assert asked["status"] == "waiting"
    refused = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE plain SET a = 1 WHERE id = 1"}, require_approval=False, runtime=strict
    )
    assert refused["status"] == "refused"
    await strict.close()


async def test_read_only_mode_stops_low_writes_too(store: Runtime) -> None:
    from agent.execution.controls import controls

    await controls.set_read_only(True)
    refused = await safe_executor.execute("execute_sql", {"sql": "UPDATE plain SET a = 1 WHERE id = 1"})
    assert refused["status"] == "refused"
    with admin(store) as conn:
        assert conn.execute("select count(*) from agents.human_approval_queue").fetchone() == (0,)
