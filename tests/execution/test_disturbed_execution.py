"""An approved effect that is disturbed: deadlocks, serialization failures, locks that are not let go, killed and cancelled
sessions, claims that run out under their holder, clocks that jump, decisions that are played again.

Whatever happens, the effect is there once or not at all, the log says which, and no session, lock or claim is left over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import AlreadyDecided
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import ToolResult

APPLICATION = """
create table public.accounts (id int primary key, name text not null, balance numeric not null default 100);
insert into public.accounts select g, 'account ' || g from generate_series(1, 9) g;
create table public.history (account int, at timestamptz default clock_timestamp());
create function public.note() returns trigger language plpgsql as $$
  begin insert into public.history (account) values (new.id); return new; end $$;
create trigger noted after update on public.accounts for each row execute function public.note();
"""
BOTH = "update accounts set balance = balance + 1 where id in (1, 2)"
ONE = "update accounts set balance = balance + 1 where id = 1"


def fill(conn: psycopg.Connection) -> None:
    conn.execute(APPLICATION)


@pytest.fixture(params=["shared", "apart"])
async def bank(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Runtime]:
    """An application with accounts, in the agent's database or in one apart."""
    template = cluster.template("disturbed", fill)
    settings = cluster.database(template, apart=request.param == "apart", statement_timeout=3.0)
    async with running(settings) as runtime:
        yield runtime


@contextmanager
def application(runtime: Runtime) -> Iterator[psycopg.Connection]:
    """A session of somebody else in the application's database."""
    url = runtime.settings.app_database_url or runtime.settings.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        yield conn


def ours(runtime: Runtime, statement: str) -> list[Any]:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def approved(sql: str = ONE) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    await human_approval_queue.decide(result["approval_id"], "approve")
    return result["approval_id"]


def executing(approval: int) -> asyncio.Task[ToolResult]:
    return asyncio.create_task(safe_executor.run_approved(approval))


_END_SESSIONS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and usename like 'agent_%'
"""
_WAITING = """
select pid from pg_stat_activity
 where datname = current_database() and usename = 'agent_actor' and wait_event_type = 'Lock'
"""


async def until_waiting(runtime: Runtime) -> int:
    """Until a statement of ours waits for a lock; the number of its server process."""
    with application(runtime) as conn:
        deadline = time.monotonic() + 10
        while (row := conn.execute(_WAITING).fetchone()) is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    return int(row[0])


async def left_alone(runtime: Runtime) -> None:
    """Fail unless no session of ours holds a lock or a transaction; connections are wiped beside what follows."""
    busy = (
        "select count(*) from pg_stat_activity a where datname = current_database() and usename like 'agent_%'"
        " and (a.state <> 'idle' or exists (select from pg_locks l where l.pid = a.pid))"
    )
    with application(runtime) as conn:
        deadline = time.monotonic() + 5
        while conn.execute(busy).fetchone() != (0,):
            assert time.monotonic() < deadline, conn.execute("select * from pg_stat_activity").fetchall()
            await asyncio.sleep(0.02)


def balances(runtime: Runtime, *ids: int) -> list[int]:
    with application(runtime) as conn:
        rows = conn.execute("select balance::int from accounts where id = any (%s) order by id", [list(ids)])
        return [row[0] for row in rows.fetchall()]


def notes(runtime: Runtime) -> int:
    with application(runtime) as conn:
        row = conn.execute("select count(*) from history").fetchone()
        assert row is not None
        return int(row[0])


async def one_outcome(runtime: Runtime, approval: int, status: str) -> None:
    """Fail unless the log holds one row about the approval, which says `status`, also to whoever asks again."""
    rows = [row for row in await executions.recent() if row.approval_id == approval]
    assert [row.status for row in rows] == [status]
    assert (await safe_executor.run_approved(approval))["status"] == status
    await left_alone(runtime)


# Deadlocks, serialization failures, locks.


async def deadlock(bank: Runtime, conn: psycopg.Connection) -> None:
    """Hold what the effect wants, then want what it holds; the server ends the one of ours."""
    conn.execute("begin; set local deadlock_timeout = '1min'; set local lock_timeout = 0")
    conn.execute("select from accounts where id = 2 for update")
    await until_waiting(bank)
    await asyncio.to_thread(conn.execute, "select from accounts where id = 1 for update")
    conn.execute("rollback")


@pytest.fixture
def quick_deadlocks(bank: Runtime) -> None:
    with application(bank) as conn:
        name = conn.info.dbname
        conn.execute(f"alter role agent_actor in database \"{name}\" set deadlock_timeout = '50ms'".encode())


@pytest.mark.usefixtures("quick_deadlocks")
async def test_a_deadlock_undoes_all_and_the_effect_is_tried_again(bank: Runtime) -> None:
    approval = await approved(BOTH)
    with application(bank) as other:
        task = executing(approval)
        await deadlock(bank, other)
    result = await task
    assert (result["status"], result["row_count"]) == ("succeeded", 2)
    assert (balances(bank, 1, 2), notes(bank)) == ([101, 101], 2)
    await one_outcome(bank, approval, "succeeded")


@pytest.mark.usefixtures("quick_deadlocks")
async def test_deadlocks_without_end_fail_the_effect_with_nothing_done(bank: Runtime) -> None:
    approval = await approved(BOTH)
    with application(bank) as other:
        task = executing(approval)
        while not task.done():
            round_ = asyncio.create_task(deadlock(bank, other))
            await asyncio.wait([task, round_], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not round_.done():
                round_.cancel()
            await asyncio.gather(round_, return_exceptions=True)
    result = await task
    assert (result["status"], "deadlock" in result["error"]) == ("failed", True)
    assert (balances(bank, 1, 2), notes(bank)) == ([100, 100], 0)
    await one_outcome(bank, approval, "failed")


async def test_a_serialization_failure_is_tried_again(bank: Runtime) -> None:
    approval = await approved(ONE)
    with application(bank) as other:
        name = other.info.dbname
        setting = "default_transaction_isolation = 'repeatable read'"
        other.execute(f'alter role agent_actor in database "{name}" set {setting}'.encode())
        other.execute(_END_SESSIONS)  # the next ones have the setting
        other.execute("begin")
        other.execute("update accounts set name = 'renamed' where id = 1")
        task = executing(approval)
        await until_waiting(bank)
        other.execute("commit")
    result = await task
    assert (result["status"], result["row_count"]) == ("succeeded", 1), result
    assert (balances(bank, 1), notes(bank)) == ([101], 2)  # the other's note, and ours
    await one_outcome(bank, approval, "succeeded")


async def test_a_lock_that_is_not_let_go_ends_the_effect_in_words(
    bank: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.execution.writes.statement_runner._LOCK_MS", 100)
    approval = await approved(ONE)
    with application(bank) as other:
        other.execute("begin; lock table accounts in exclusive mode")
        result = await safe_executor.run_approved(approval)
        assert (result["status"], "lock" in result["error"]) == ("failed", True)
        proposed = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False)
        assert (proposed["status"], "lock" in proposed["error"]) == ("failed", True)
        other.execute("rollback")
    assert balances(bank, 1) == [100]
    await one_outcome(bank, approval, "failed")


# Sessions that are killed, turns that are cancelled.


async def test_a_session_killed_under_the_effect_leaves_all_or_nothing(bank: Runtime) -> None:
    approval = await approved(ONE)
    with application(bank) as other:
        other.execute("begin")
        other.execute("select from accounts where id = 1 for update")
        task = executing(approval)
        pid = await until_waiting(bank)
        other.execute("select pg_terminate_backend(%s, 5000)", [pid])
        other.execute("rollback")
    await asyncio.wait([task])
    task.exception()  # one of "the database went away" and the outcome
    assert (await safe_executor.run_approved(approval))["status"] == "succeeded"
    assert (balances(bank, 1), notes(bank)) == ([101], 1)
    await one_outcome(bank, approval, "succeeded")


async def test_a_cancelled_execution_lets_everything_go_and_stays_to_be_done(bank: Runtime) -> None:
    approval = await approved(ONE)
    with application(bank) as other:
        other.execute("begin")
        other.execute("select from accounts where id = 1 for update")
        task = executing(approval)
        await until_waiting(bank)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other.execute("rollback")
    assert balances(bank, 1) == [100]
    await left_alone(bank)
    assert (await safe_executor.run_approved(approval))["status"] == "succeeded"
    assert (balances(bank, 1), notes(bank)) == ([101], 1)


async def test_a_cancelled_preview_leaves_no_question_and_no_lock(bank: Runtime) -> None:
    with application(bank) as other:
        other.execute("begin")
        other.execute("select from accounts where id = 1 for update")
        task = asyncio.create_task(safe_executor.execute("execute_sql", {"sql": BOTH}, wait=False))
        await until_waiting(bank)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other.execute("rollback")
    await left_alone(bank)
    assert await human_approval_queue.get_pending_approvals() == []
    assert [row.error for row in await executions.recent()] == ["cancelled by the user"]


# Claims and clocks.


async def test_a_claim_that_runs_out_under_its_holder_makes_no_second_effect(bank: Runtime) -> None:
    """The machine slept, or the database's clock jumped: another process takes the approval for abandoned."""
    approval = await approved(ONE)
    with application(bank) as other:
        other.execute("begin")
        other.execute("select from accounts where id = 1 for update")
        first = executing(approval)
        await until_waiting(bank)
        expired = asyncio.create_task(
            asyncio.to_thread(
                ours, bank, "update agents.human_approval_queue set claimed_until = now() - interval '1 year'"
            )
        )
        second = executing(approval)
        await asyncio.sleep(0.3)
        other.execute("rollback")
    results = await asyncio.gather(first, second, return_exceptions=True)
    await expired
    final = await safe_executor.run_approved(approval)
    assert (final["status"], balances(bank, 1), notes(bank)) == ("succeeded", [101], 1), results
    await one_outcome(bank, approval, "succeeded")


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400, 10 * 365 * 86_400])
async def test_the_clock_of_this_machine_decides_nothing(
    bank: Runtime, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    real = time.time
    waiting = (await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False))["approval_id"]
    late = (await human_approval_queue.request("anything", {}, timeout=0.05)).id
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    await asyncio.sleep(0.06)
    with pytest.raises(AlreadyDecided, match="expired"):
        await human_approval_queue.decide(late, "approve")
    assert [one["id"] for one in await human_approval_queue.get_pending_approvals()] == [waiting]
    await human_approval_queue.decide(waiting, "approve")
    assert (await safe_executor.run_approved(waiting))["status"] == "succeeded"
    assert balances(bank, 1) == [101]


# Decisions that are played again.


async def test_a_decision_that_is_played_again_does_nothing_again(bank: Runtime) -> None:
    approval = await approved(ONE)
    results = await asyncio.gather(*(safe_executor.run_approved(approval) for _ in range(5)))
    assert {result["execution_id"] for result in results} == {results[0]["execution_id"]}
    for decision in ("approve", "reject"):
        with pytest.raises(AlreadyDecided):
            await human_approval_queue.decide(approval, decision)
    assert (balances(bank, 1), notes(bank)) == ([101], 1)
    await one_outcome(bank, approval, "succeeded")


async def test_an_answer_to_one_question_is_none_to_the_same_question_asked_again(bank: Runtime) -> None:
    await safe_executor.run_approved(await approved(ONE))
    again = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False)
    assert again["status"] == "waiting"
    assert (await safe_executor.run_approved(again["approval_id"]))["status"] == "waiting"
    assert balances(bank, 1) == [101]


# Tools that never return.

NEVER = """
create table public.slow (id int primary key);
create function public.wait_long() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$;
create constraint trigger at_commit after insert on public.slow deferrable initially deferred
  for each row execute function public.wait_long();
create function public.work() returns int language sql as 'insert into public.slow values (1) returning id';
grant insert, select on public.slow to agent_actor;
"""


@pytest.fixture
async def hasty(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("disturbed", fill), statement_timeout=0.5)
    runtime = await open_runtime(settings)
    with application(runtime) as conn:
        conn.execute(NEVER)
    with use_runtime(runtime):
        yield runtime
    await runtime.close()
    cluster.drop(settings)


async def test_code_that_waits_for_the_commit_is_ended_by_the_time_limit(hasty: Runtime) -> None:
    approval = await approved("select work()")  # functions are not tried for a preview
    result = await safe_executor.run_approved(approval)
    assert (result["status"], "0.5 s" in result["error"]) == ("failed", True)
    with application(hasty) as conn:
        assert conn.execute("select count(*) from slow").fetchone() == (0,)
    await one_outcome(hasty, approval, "failed")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server process that neither answers nor ends, as behind a dead network."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_server_that_does_not_answer_is_given_up_and_the_effect_is_there_once(
    hasty: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.execution.writes.statement_runner._GRACE", 0.2)
    monkeypatch.setattr("agent.execution.effects._LEASE_MARGIN", 0.2)
    approval = await approved(ONE)
    with application(hasty) as other:
        other.execute("begin")
        other.execute("select from accounts where id = 1 for update")
        task = executing(approval)
        with frozen(await until_waiting(hasty)):
            other.execute("rollback")
            done, _ = await asyncio.wait([task], timeout=20)
            assert done, "the executor waits for ever"
            assert task.exception() is not None or task.result()["status"] == "running"
    assert (await safe_executor.run_approved(approval))["status"] == "succeeded"
    assert (balances(hasty, 1), notes(hasty)) == ([101], 1)
    await one_outcome(hasty, approval, "succeeded")
