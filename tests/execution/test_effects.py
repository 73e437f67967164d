"""Approved effects happen exactly once, whoever races and whoever is killed."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running

WORKER = Path(__file__).parents[1] / "cases" / "effects_worker.py"
TABLES = """
create table public.accounts (id bigint primary key, name text not null, balance numeric not null default 0);
insert into public.accounts select g, 'account ' || g, 100 from generate_series(1, 200) g;
create table public.history (account bigint, at timestamptz default clock_timestamp());
create function public.note() returns trigger language plpgsql as $$
  begin insert into public.history (account) values (new.id); return new; end $$;
create trigger noted after update on public.accounts for each row execute function public.note();
"""


def fill(conn: psycopg.Connection) -> None:
    conn.execute(TABLES)


@pytest.fixture(params=["shared", "apart"])
async def bank(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Runtime]:
    """An application with accounts, in the agent's database or in one apart."""
    template = cluster.template("bank", fill)
    settings = cluster.database(template, apart=request.param == "apart", statement_timeout=2.0)
    async with running(settings) as runtime:
        yield runtime


def application(runtime: Runtime) -> psycopg.Connection:
    settings = runtime.settings
    url = settings.app_database_url or settings.database_url
    return psycopg.connect(url.get_secret_value(), autocommit=True)


def own(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


async def approved(sql: str) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    await human_approval_queue.decide(result["approval_id"], "approve")
    return result["approval_id"]


def passed_on(settings: Settings) -> str:
    values = {"home": str(settings.home), "statement_timeout": settings.statement_timeout, "user": settings.user}
    for name in ("database_url", "app_database_url", "secret"):
        if (value := getattr(settings, name)) is not None:
            values[name] = value.get_secret_value()
    return json.dumps(values)


async def worker(runtime: Runtime, *approvals: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), passed_on(runtime.settings), *map(str, approvals),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_sixteen_racers_in_four_processes_make_one_effect_and_agree_on_it(bank: Runtime) -> None:
    approvals = [await approved(f"UPDATE accounts SET balance = balance + 1 WHERE id = {n}") for n in range(1, 5)]
    processes = [await worker(bank, *approvals) for _ in range(3)]
    for process in processes:
        process.stdin.write(b"\n")
    local = [asyncio.create_task(safe_executor.run_approved(approval)) for approval in approvals for _ in range(13)]
    results = [
        (task_approval, await task)
        for task_approval, task in zip([a for a in approvals for _ in range(13)], local, strict=True)
    ]
    for process in processes:
        output, _ = await process.communicate()
        results += [tuple(json.loads(line)) for line in output.splitlines() if line.startswith(b"[")]
    assert len(results) == 4 * 16
    for approval in approvals:
        told = [json.dumps(result, sort_keys=True) for given, result in results if given == approval]
        assert len(told) == 16
        assert len(set(told)) == 1
        assert json.loads(told[0])["success"]
    with application(bank) as conn:
        assert conn.execute("select count(*) from accounts where balance = 101").fetchone() == (4,)
        assert conn.execute("select count(*) from history").fetchone() == (4,)


async def test_a_killed_executor_loses_and_repeats_nothing(bank: Runtime) -> None:
    approvals = [await approved(f"UPDATE accounts SET balance = balance + 1 WHERE id = {n}") for n in range(1, 31)]
    chance = random.Random(7)
    for _ in range(6):
        process = await worker(bank, *approvals)
        process.stdin.write(b"\n")
        await process.stdin.drain()
        await asyncio.sleep(chance.uniform(0.0, 0.12))
        process.kill()
        await process.communicate()
        # Time passes: the dead process's claims run out.
        with own(bank) as conn:
            conn.execute(
                "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
            )
    results = {approval: await safe_executor.run_approved(approval) for approval in approvals}
    statuses = {approval: result["status"] for approval, result in results.items()}
    with application(bank) as conn:
        balances = dict(conn.execute("select id, balance::int from accounts where id <= 30").fetchall())
        notes = dict(conn.execute("select account, count(*) from history group by 1").fetchall())
    done = {number: statuses[approval] for number, approval in enumerate(approvals, start=1)}
    assert {number: balances[number] - 100 for number in done} == {n: int(s == "succeeded") for n, s in done.items()}
    assert all(count == 1 for count in notes.values())
    assert set(done.values()) == {"succeeded"}


async def test_what_was_approved_and_left_by_a_dead_process_is_executed_by_the_next(bank: Runtime) -> None:
    approvals = [await approved(f"UPDATE accounts SET balance = 0 WHERE id = {n}") for n in (1, 2)]
    rejected = await safe_executor.execute("execute_sql", {"sql": "DELETE FROM accounts WHERE id = 3"}, wait=False)
    await human_approval_queue.decide(rejected["approval_id"], "reject")
    results = await safe_executor.execute_left_over()
    assert [(result["approval_id"], result["success"]) for result in results] == [
        (number, True) for number in approvals
    ]
    assert await safe_executor.execute_left_over() == []


async def test_a_statement_that_fails_uses_its_approval_up(bank: Runtime) -> None:
    approval = await approved("INSERT INTO accounts (id, name) VALUES (500, 'new')")
    with application(bank) as conn:
        conn.execute("insert into accounts (id, name) values (500, 'first')")
    failed = await safe_executor.run_approved(approval)
    assert (failed["success"], failed["status"]) == (False, "failed")
    assert "duplicate key" in failed["error"]
    with application(bank) as conn:
        conn.execute("delete from accounts where id = 500")
    assert await safe_executor.run_approved(approval) == failed
    with application(bank) as conn:
        assert conn.execute("select count(*) from accounts where id = 500").fetchone() == (0,)


async def test_a_trigger_that_speaks_as_the_log_does_fails_the_statement(bank: Runtime) -> None:
    approval = await approved("UPDATE accounts SET balance = 0 WHERE id = 3")
    with application(bank) as conn:
        conn.execute(
            "create or replace function public.note() returns trigger language plpgsql as $$ begin raise exception 'no' using"
            " errcode = 'unique_violation', schema = 'agents', table = 'agent_execution_log',"
            " constraint = 'agent_execution_log_approval'; end $$"
        )
    assert (await safe_executor.run_approved(approval))["status"] == "failed"


async def test_other_rows_than_previewed_abort_the_effect(bank: Runtime) -> None:
    approval = await approved("UPDATE accounts SET balance = 0 WHERE name LIKE 'account 1%' AND balance > 99")
    with application(bank) as conn:
        conn.execute("update accounts set balance = 5 where id = 1")
    result = await safe_executor.run_approved(approval)
    assert result["status"] == "failed"
    assert "were approved" in result["error"]
    with application(bank) as conn:
        assert conn.execute("select count(*) from accounts where balance = 0").fetchone() == (0,)


async def test_a_changed_row_of_the_queue_is_not_executed(bank: Runtime) -> None:
    approval = await approved("UPDATE accounts SET balance = 7 WHERE id = 1")
    with own(bank) as conn:
        conn.execute(
            "update agents.human_approval_queue set preview = jsonb_set(preview, '{sql}', '\"UPDATE accounts SET balance = 8\"')"
        )
    result = await safe_executor.run_approved(approval)
    assert result["status"] == "refused"
    with application(bank) as conn:
        assert conn.execute("select count(*) from accounts where balance <> 100").fetchone() == (0,)


async def test_a_rejected_or_undecided_row_cannot_be_executed_even_by_the_actor_itself(bank: Runtime) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": "DELETE FROM accounts WHERE id = 9"}, wait=False)
    number = result["approval_id"]
    assert (await safe_executor.run_approved(number))["status"] == "waiting"
    await human_approval_queue.decide(number, "reject", decided_by="ann", comment="no")
    rejected = await safe_executor.run_approved(number)
    assert rejected["status"] == "rejected"
    assert "no" in rejected["error"]
    if bank.shared:
        async with bank.app.connection("agent_actor") as conn:
            await conn.execute("select set_config('agents.tenant_id', 'default', false)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await conn.execute("select agents.begin_effect(%s, gen_random_uuid())", [number])
    assert [row.status for row in await executions.recent(5)] == ["rejected"]


async def test_the_preview_shows_rows_triggers_and_leaves_nothing(bank: Runtime) -> None:
    result = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE accounts SET balance = balance * 2 WHERE id IN (3, 4)"}, wait=False
    )
    approval = await human_approval_queue.get(result["approval_id"])
    preview = approval.preview_json
    assert preview["row_count"] == 2
    assert preview["columns"] == ["id", "name", "balance"]
    assert [(row["before"]["balance"], row["after"]["balance"], row["changed"]) for row in preview["rows"]] == [
        (100, 200, ["balance"])
    ] * 2
    assert preview["tables"] == [
        {"table": "public.accounts", "inserted": 0, "updated": 2, "deleted": 0},
        {"table": "public.history", "inserted": 2, "updated": 0, "deleted": 0},
    ]
    with application(bank) as conn:
        assert conn.execute("select count(*) from history").fetchone() == (0,)
        assert conn.execute("select count(*) from accounts where balance <> 100").fetchone() == (0,)


async def test_inserts_and_deletes_are_previewed_as_new_and_gone(bank: Runtime) -> None:
    inserted = await safe_executor.execute(
        "execute_sql", {"sql": "INSERT INTO accounts (id, name) VALUES (900, 'x') RETURNING id"}, wait=False
    )
    deleted = await safe_executor.execute(
        "execute_sql", {"sql": "DELETE FROM accounts AS a WHERE a.id = 2"}, wait=False
    )
    new = (await human_approval_queue.get(inserted["approval_id"])).preview_json["rows"]
    gone = (await human_approval_queue.get(deleted["approval_id"])).preview_json["rows"]
    assert [(row["before"], row["after"]["name"]) for row in new] == [(None, "x")]
    assert [(row["before"]["id"], row["after"]) for row in gone] == [(2, None)]


async def test_the_stop_switch_holds_inside_the_effects_transaction(bank: Runtime) -> None:
    from agent.execution.controls import controls

    approval = await approved("UPDATE accounts SET balance = 7 WHERE id = 1")
    await controls.set_read_only(True, "maintenance")
    stopped = await safe_executor.run_approved(approval)
    assert stopped["status"] == "refused"
    await controls.set_read_only(False)
    assert (await safe_executor.run_approved(approval))["success"]
