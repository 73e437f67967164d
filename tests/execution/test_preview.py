"""What was shown is what happens: on generated statements, and on none whose rows changed in between.

`pytest tests/execution/test_preview.py -s` prints the figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from benchmarks.writes import shop

from agent.approval.human_approval import human_approval_queue
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("store", lambda conn: conn.execute(shop.TABLES) and None))
    async with running(settings) as runtime:
        yield runtime


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


def rows_of(conn: psycopg.Connection, table: str) -> list[str]:
    return sorted(row[0] for row in conn.execute(f"select to_json(t)::text from {table} t"))


async def asked(sql: str) -> int | None:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    if result["status"] != "waiting":
        assert not result["success"], result  # a statement that fails is not shown to anybody
        return None
    return int(result["approval_id"])


async def test_what_is_shown_is_what_happens_on_generated_statements(store: Runtime) -> None:
    result = await shop.run(store.settings.database_url.get_secret_value(), statements=40, between=0.25, seed=20)
    print(f"\npreviews: {result}")
    assert result.wrong == []
    assert result.changed_between > 5


async def test_what_is_always_different_is_named_and_does_not_stand_in_the_way(store: Runtime) -> None:
    number = await asked("UPDATE items SET amount = 1, code = gen_random_uuid(), day = current_date WHERE id = 5")
    preview = (await human_approval_queue.get(number)).preview_json
    assert preview["volatile"] == ["code", "touched"]  # the day was this one already
    number = await asked("INSERT INTO items (kind) VALUES ('x')")
    assert (await human_approval_queue.get(number)).preview_json["volatile"] == ["code", "day", "id", "touched"]
    assert preview["lock"] == "RowExclusiveLock"


BETWEEN = {
    "UPDATE items SET amount = amount + 1 WHERE kind = 'a'": [
        "update items set amount = amount + 0.01 where id = 3",
        "delete from items where id = 3",
        "insert into items (kind, amount) values ('a', 1)",
        "update items set kind = 'b' where id = 3",
        "update items set kind = case id when 3 then 'b' else 'a' end where id in (1, 3)",  # as many, but others
    ],
    "UPDATE items SET amount = 5 WHERE id = 7": ["update items set amount = 4 where id = 7"],
    "UPDATE items SET amount = (SELECT max(n) FROM lines) WHERE id = 7": ["insert into lines values (1, 9999, 'x')"],
    "DELETE FROM items WHERE id = 8": [
        "insert into lines values (8, 9000, 'one more that goes with it')",
        'update items set "Odd name" = upper("Odd name") where id = 8',
        "delete from items where id = 8",
    ],
    "UPDATE loose SET c = 0 WHERE a = 3": [
        "update loose set c = 1 where a = 3",
        "update loose set b = b || 'x' where a = 3",
        "insert into loose values (3, 'y', 0)",
    ],
    "INSERT INTO loose SELECT a, b, 1 FROM loose WHERE a = 2": [
        "update loose set b = 'other' where a = 2",
        "delete from loose where ctid = (select min(ctid) from loose where a = 2)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("sql", "change"), [(sql, change) for sql, changes in BETWEEN.items() for change in changes])
async def test_rows_that_changed_in_between_are_left_alone(store: Runtime, sql: str, change: str) -> None:
    number = await asked(sql)
    await human_approval_queue.decide(number, "approve")
    with admin(store) as conn:
        conn.execute(change)
        before = {name: rows_of(conn, name) for name in shop.KEYS}
        result = await safe_executor.run_approved(number)
        assert not result["success"]
        assert {name: rows_of(conn, name) for name in shop.KEYS} == before
    assert (await executions.recent(1))[0].status == "failed"
    again = await human_approval_queue.successor(number, runtime=store)
    if again is None:  # it would fail now
        assert "Nobody is asked again" in result["error"]
        return
    assert f"approval {again}" in result["error"]
    await human_approval_queue.decide(again, "approve")  # what is shown now is what happens now
    assert (await safe_executor.run_approved(again))["success"]


async def test_a_change_in_between_comes_back_to_a_human_once_and_the_old_approval_stays_final(store: Runtime) -> None:
    number = await asked("UPDATE items SET amount = 5 WHERE id = 7")
    await human_approval_queue.decide(number, "approve")
    with admin(store) as conn:
        conn.execute("update items set amount = 4 where id = 7")
    results = await asyncio.gather(*(safe_executor.run_approved(number) for _ in range(5)))
    assert {result["status"] for result in results} == {"failed"}
    (pending,) = await human_approval_queue.get_pending_approvals()
    new = await human_approval_queue.get(pending["id"])
    assert new.replaces == number
    assert new.preview_json["rows"][0]["before"]["amount"] == "4.00"
    assert "the values of amount" in results[0]["error"]
    await human_approval_queue.decide(new.id, "approve")
    assert (await safe_executor.run_approved(new.id))["success"]
    assert (await safe_executor.run_approved(number))["status"] == "failed"
    assert len(await human_approval_queue.history()) == 2


async def test_a_change_of_other_rows_or_of_cells_that_the_statement_leaves_alone_is_no_change(store: Runtime) -> None:
    number = await asked("UPDATE items SET amount = 5 WHERE id = 7")
    await human_approval_queue.decide(number, "approve")
    with admin(store) as conn:
        conn.execute("update items set amount = 3 where id = 6")
        conn.execute('update items set "Odd name" = upper("Odd name") where id = 7')
    assert (await safe_executor.run_approved(number))["success"]
