"""What a statement does beside its own rows is shown and compared as they are: cascades, triggers, views, MERGE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.owners (id int primary key, name text, day date, at timestamptz, flag boolean, extra jsonb);
insert into public.owners (id, name) select g, 'owner ' || g from generate_series(1, 9) g;
create table public.pets (id int primary key, owner int references public.owners on delete cascade, name text);
insert into public.pets select g, 1 + g % 9, 'pet ' || g from generate_series(1, 27) g;
create table public.toys (pet int references public.pets on delete set null, name text);
insert into public.toys select 1 + g % 27, 'toy ' || g from generate_series(1, 54) g;
create table public.tree (id int primary key, parent int references public.tree on delete cascade, name text);
insert into public.tree select g, nullif(g / 2, 0), 'node ' || g from generate_series(1, 15) g;
create table public.watched (id int primary key, name text, price int);
insert into public.watched select g, 'thing ' || g, g from generate_series(1, 5) g;
create table public.prices (thing int, price int, at timestamptz, day date default current_date);
create function public.note() returns trigger language plpgsql security definer as
  $$ begin insert into public.prices values (new.id, new.price, clock_timestamp()); return new; end $$;
create trigger note after update on public.watched for each row execute function public.note();
create table public.sources (id int primary key, day date, at timestamptz, n int);
insert into public.sources values (1, current_date, now(), 1), (2, current_date, now(), 2);
create table public.pairs (id bigint generated always as identity primary key, a int, b int);
create table public.loose (a int, b int);
create view public.named as select id, name from public.owners where id < 5;
create table public.hidden (n int);
insert into public.hidden values (1);
create function public.peek() returns trigger language plpgsql security definer as $$ begin update public.hidden set n = n + 1; return new; end $$;
create table public.peeking (id int primary key, n int);
insert into public.peeking values (1, 1);
create trigger peek after update on public.peeking for each row execute function public.peek();
"""


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    async with running(
        cluster.database(cluster.template("others", lambda conn: conn.execute(TABLES) and None))
    ) as runtime:
        yield runtime


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


async def previewed(sql: str) -> dict:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    return {**(await human_approval_queue.get(result["approval_id"])).preview_json, "id": result["approval_id"]}


async def carried_out(preview: dict) -> dict:
    await human_approval_queue.decide(preview["id"], "approve")
    return await safe_executor.run_approved(preview["id"])


def other(preview: dict, table: str) -> dict:
    return next(item for item in preview["others"] if item["table"] == f"public.{table}")


async def test_what_goes_with_deleted_rows_is_shown_row_by_row(store: Runtime) -> None:
    preview = await previewed("DELETE FROM owners WHERE id = 1")
    assert sorted(row["before"]["id"] for row in other(preview, "pets")["rows"]) == [9, 18, 27]
    toys = other(preview, "toys")["rows"]  # no key says which rows belong together
    assert [row["after"]["pet"] for row in toys if row["after"]] == [None] * 6
    assert (await carried_out(preview))["success"]


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("DELETE FROM owners WHERE id = 1", "update pets set owner = case id when 9 then 2 else 1 end where id in (9, 1)"),  # as many
        ("DELETE FROM owners WHERE id = 1", "update toys set name = 'other' where ctid = (select min(ctid) from toys where pet = 9)"),
        ("DELETE FROM tree WHERE id = 2", "update tree set name = 'renamed' where id = 9"),
        ("UPDATE watched SET price = 7 WHERE id = 2", "update watched set price = 8 where id = 2"),
        ("WITH gone AS (DELETE FROM pets WHERE owner = 3) UPDATE owners SET name = 'x' WHERE id = 3", "update pets set name = 'y' where id = 2"),
        ("MERGE INTO owners o USING sources s ON o.id = s.id WHEN MATCHED THEN UPDATE SET name = s.n::text", "update sources set n = 5 where id = 2"),
        ("INSERT INTO pairs (a, b) SELECT id, n FROM sources", "update sources set n = 3 - n"),  # the same values, other rows
        ("INSERT INTO loose SELECT id, n FROM sources", "update sources set n = 3 - n"),
        ("UPDATE owners SET day = s.day FROM sources s WHERE s.id = owners.id", "update sources set day = day - 1 where id = 1"),
        ("UPDATE owners SET at = s.at FROM sources s WHERE s.id = owners.id", "update sources set at = at - interval '1 s' where id = 1"),
        ("UPDATE named SET name = upper(name) WHERE id = 2", "update owners set name = 'OWNER 2a' where id = 2"),
    ],
)  # fmt: skip
async def test_other_rows_or_values_than_approved_are_not_changed(store: Runtime, sql: str, change: str) -> None:
    preview = await previewed(sql)
    await human_approval_queue.decide(preview["id"], "approve")
    with admin(store) as conn:
        conn.execute(change)
        before = conn.execute("select array_agg(o::text) from owners o").fetchone()
        result = await safe_executor.run_approved(preview["id"])
        assert not result["success"], result
        assert "Not executed" in result["error"]
        assert conn.execute("select array_agg(o::text) from owners o").fetchone() == before


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM owners WHERE id = 1",
        "DELETE FROM tree WHERE id = 2",
        "UPDATE watched SET price = price + 1 WHERE id < 4",
        "WITH gone AS (DELETE FROM pets WHERE owner = 3) UPDATE owners SET name = 'x' WHERE id = 3",
        "MERGE INTO owners o USING sources s ON o.id = s.id WHEN MATCHED THEN UPDATE SET name = s.n::text WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "INSERT INTO pairs (a, b) SELECT id, n FROM sources",
        "UPDATE named SET name = upper(name) WHERE id = 2",
        "UPDATE owners SET day = current_date, at = now(), flag = random() < 0.5, extra = to_json(random()) WHERE id < 9",
        "UPDATE peeking SET n = 2",
        "UPDATE owners SET name = 'x' WHERE id = 3 RETURNING upper(name)",
        "INSERT INTO owners (id, name) VALUES (20, 'x') ON CONFLICT (id) DO UPDATE SET day = current_date",
    ],
)
async def test_what_did_not_change_in_between_is_carried_out(store: Runtime, sql: str) -> None:
    result = await carried_out(await previewed(sql))
    assert result["success"], result


async def test_only_what_is_made_from_the_clock_or_from_chance_may_differ(store: Runtime) -> None:
    today = datetime.now(UTC)
    cases = {
        "UPDATE owners SET day = current_date, at = now() WHERE id = 2": ["at", "day"],
        f"UPDATE owners SET day = '{today:%Y-%m-%d}', at = '{today:%Y-%m-%d %H:%M:%S+00}' WHERE id = 2": [],
        "UPDATE owners SET day = s.day, at = s.at FROM sources s WHERE s.id = owners.id AND s.id = 1": [],
        "UPDATE owners SET at = date_trunc('day', now()) WHERE id = 2": ["at"],
        "UPDATE owners SET day = 'today', name = 'now' WHERE id = 2": ["day"],
        "UPDATE owners SET day = current_date + 30, flag = now() > '2020-01-01' WHERE id = 2": ["day"],
        "UPDATE owners SET flag = random() < 0.5 WHERE id < 9": ["flag"],
    }
    found = {sql: (await previewed(sql))["volatile"] for sql in cases}
    assert found == cases
    prices = other(await previewed("UPDATE watched SET price = 9 WHERE id = 1"), "prices")
    assert prices["volatile"] == ["at"]
    assert [(row["after"]["thing"], row["after"]["price"]) for row in prices["rows"]] == [(1, 9)]


async def test_what_may_not_be_read_is_said_and_only_counted(store: Runtime) -> None:
    with admin(store) as conn:
        conn.execute("revoke all on hidden from agent_actor")
    preview = await previewed("UPDATE peeking SET n = 2")
    assert [table["table"] for table in preview["tables"]] == ["public.hidden", "public.peeking"]
    assert "Of public.hidden only the number of rows is known" in preview["not_previewed"][0]
    assert (await carried_out(preview))["success"]


async def test_personal_columns_are_named(store: Runtime) -> None:
    with admin(store) as conn:
        conn.execute("create table people (id int primary key, full_name text, email text, state text)")
        conn.execute("insert into people values (1, 'Ann Neill', 'ann@example.org', 'on')")
        conn.execute("grant select, update on people to agent_actor")
    preview = await previewed("UPDATE people SET state = 'off' WHERE lower(email) = 'ann@example.org' AND id = 1")
    assert preview["personal"] == ["full_name", "email"]
