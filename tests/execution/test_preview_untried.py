"""A statement is not tried where taking it back would not undo it: functions nobody knows, many numbers of a sequence."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.approval.records import Approval
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create sequence public.bump;
create function public.charge() returns int language plpgsql security definer as $$ begin return nextval('public.bump'); end $$;
create function public.same(a int, b int) returns boolean language plpgsql security definer as
  $$ begin perform nextval('public.bump'); return a = b; end $$;
create operator public.=== (leftarg = int, rightarg = int, function = public.same);
create table public.people (id int primary key, amount int, made timestamptz default now());
insert into public.people values (1, 1), (2, 2);
create table public.small (id smallserial primary key, v text);
create view public.smaller as select * from public.small;
create function public.noted() returns trigger language plpgsql as 'begin return new; end';
create table public.watched (id int primary key, a int);
insert into public.watched values (1, 1);
create trigger noted before update on public.watched for each row execute function public.noted();
grant all on all sequences in schema public to public;
"""

ACTING_OUTSIDE = [
    "INSERT INTO people (id) SELECT nextval('public.bump') + 10 FROM generate_series(1, 3)",
    "UPDATE people SET amount = charge() WHERE id = 1",
    "UPDATE people SET amount = setval('public.bump', 500000) WHERE id = 1",
    "INSERT INTO people (id) SELECT charge() + 10",
    "DELETE FROM people WHERE id = charge()",
    "DELETE FROM people WHERE id === 1",
    "MERGE INTO people p USING (SELECT 1 AS id) s ON p.id = s.id WHEN MATCHED THEN UPDATE SET amount = charge()",
    "WITH w AS (UPDATE people SET amount = charge() RETURNING 1) INSERT INTO watched SELECT 9, 9 FROM w",
    "CREATE TABLE zz AS SELECT setval('public.bump', 77)",
    "CREATE TABLE zz AS SELECT id FROM people WHERE id === 1",
]
MANY_NUMBERS = [
    "INSERT INTO small (v) SELECT 'x' FROM generate_series(1, 9000)",
    "INSERT INTO smaller (v) SELECT 'x' FROM generate_series(1, 9000)",
    "INSERT INTO small (v) SELECT 'x' FROM generate_series(1, (SELECT 9000))",
    "WITH w AS (INSERT INTO small (v) SELECT 'x' FROM generate_series(1, 9000) RETURNING 1) UPDATE people SET amount = 1 WHERE id = 1",
]


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("untried", lambda conn: conn.execute(TABLES) and None)
    async with running(cluster.database(template, actor_rights="schema")) as runtime:
        yield runtime


def numbers(runtime: Runtime) -> list[object]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return conn.execute(
            "select b.last_value, b.is_called, s.last_value, s.is_called from public.bump b, public.small_id_seq s"
        ).fetchall()


async def asked(sql: str) -> Approval:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    return await human_approval_queue.get(int(result["approval_id"]))


@pytest.mark.parametrize("sql", [*ACTING_OUTSIDE, *MANY_NUMBERS])
async def test_nothing_that_stays_is_done_before_anybody_decides(store: Runtime, sql: str) -> None:
    before = numbers(store)
    approval = await asked(sql)
    assert numbers(store) == before
    preview = approval.preview_json
    assert preview is not None
    assert not preview["tried"]
    assert preview["not_previewed"][0].startswith("It was not tried")
    assert (approval.risk_level, "untried" in approval.reasons) == ("HIGH", True)


@pytest.mark.parametrize("sql", [ACTING_OUTSIDE[1], MANY_NUMBERS[0]])
async def test_what_was_not_tried_is_done_once_it_is_approved(store: Runtime, sql: str) -> None:
    approval = await asked(sql)
    await human_approval_queue.decide(approval.id, "approve")
    before = numbers(store)
    assert (await safe_executor.run_approved(approval.id))["success"]
    assert numbers(store) != before


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO small (v) VALUES ('a'), ('b')",
        "INSERT INTO people (id, made) SELECT 10 + g, now() FROM generate_series(1, 5000) g",
        "UPDATE people SET amount = random() * 10 WHERE id = 1",
    ],
)
async def test_what_is_known_and_takes_few_numbers_is_tried(store: Runtime, sql: str) -> None:
    preview = (await asked(sql)).preview_json
    assert preview is not None
    assert preview["tried"]


async def test_a_preview_says_that_the_applications_code_ran(store: Runtime) -> None:
    preview = (await asked("UPDATE watched SET a = 2 WHERE id = 1")).preview_json
    assert preview is not None
    assert preview["tried"]
    assert any("Code of the application's own ran" in told for told in preview["not_previewed"])
