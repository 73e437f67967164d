"""The bars of exactly once in small: many deciders, processes that die at any round trip, and stricter rules in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
from benchmarks import races

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.errors import DecisionRefused, InvalidInput
from agent.execution.controls import controls
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.threads import RequestedCall, threads
from agent.types import CallKey


@pytest.fixture(params=["shared", "apart"])
async def bank(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("races", races.fill)
    settings = cluster.database(
        template, apart=request.param == "apart", statement_timeout=2.0, approval_timeout=3600.0
    )
    async with running(settings) as runtime:
        yield runtime


def execute(runtime: Runtime, sql: str) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(sql)


def effects(runtime: Runtime) -> int:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        return conn.execute("select count(*) from public.effects").fetchone()[0]


async def asked(account: int, runtime: Runtime) -> int:
    sql = f"UPDATE accounts SET balance = balance + 1 WHERE id = {account}"
    return (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime))["approval_id"]


def stricter(runtime: Runtime, **settings: object) -> Runtime:
    from dataclasses import replace

    return replace(runtime, settings=runtime.settings.model_copy(update=settings))


async def test_deciders_that_race_and_die_take_one_decision_each_and_repeat_or_lose_nothing(bank: Runtime) -> None:
    found = await races.race(bank, approvals=15, kills=5)
    assert found.wrong == 0, found
    assert sum(found.statuses.values()) == 15


async def test_an_approval_under_rules_that_are_stricter_by_now_is_used_up_and_not_executed(bank: Runtime) -> None:
    numbers = [await asked(account, bank) for account in (1, 2, 3)]
    for number in numbers:
        await human_approval_queue.decide(number, "approve")
    forbidding = stricter(bank, refuse="write:*")
    refused = await safe_executor.run_approved(numbers[0], runtime=forbidding)
    assert (refused["status"], "AGENT_REFUSE" in refused["error"]) == ("refused", True)
    execute(bank, f"update agents.human_approval_queue set policy_version = 'old' where id = {numbers[1]}")
    assert (await safe_executor.run_approved(numbers[1]))["status"] == "refused"
    assert await safe_executor.run_approved(numbers[0]) == refused  # also when the rules are as before
    assert (await safe_executor.run_approved(numbers[2]))["success"]
    assert await safe_executor.execute_left_over() == []
    assert effects(bank) == 1


async def test_what_the_policy_allowed_is_not_executed_under_one_that_asks(bank: Runtime) -> None:
    number = await asked(1, bank)
    row = await human_approval_queue.get(number)
    await human_approval_queue.approve_by_policy(
        number, "harmless", proposed=row.binding, risk=row.risk_level, runtime=bank
    )
    refused = await safe_executor.run_approved(number, runtime=stricter(bank, ask_from="LOW"))
    assert (refused["status"], "asks a human" in refused["error"]) == ("refused", True)
    assert effects(bank) == 0


async def test_one_call_taken_up_by_many_at_once_has_one_effect_and_one_outcome(bank: Runtime) -> None:
    await threads.begin_turn("t", "Add account 5000, called new", owner=uuid4())
    sql = "INSERT INTO accounts (id, name) VALUES (5000, 'new')"
    call = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    trusting = stricter(bank, ask_from="CRITICAL")
    results = await asyncio.gather(
        *(safe_executor.execute("execute_sql", {"sql": sql}, call=call, wait=False, runtime=trusting) for _ in range(8))
    )
    assert {(result["success"], result["approval_id"]) for result in results} == {(True, results[0]["approval_id"])}
    assert [row.status for row in await executions.recent(20)] == ["succeeded"]


async def test_a_claim_made_under_a_clock_that_was_ahead_does_not_block_for_ever(bank: Runtime) -> None:
    number = await asked(1, bank)
    await human_approval_queue.decide(number, "approve")
    execute(
        bank,
        f"update agents.human_approval_queue set claim = gen_random_uuid(), claimed_until = now() + interval '5 years' where id = {number}",
    )
    assert (await safe_executor.run_approved(number))["success"]


async def test_what_everybody_died_of_is_not_tried_for_ever(bank: Runtime) -> None:
    number = await asked(1, bank)
    await human_approval_queue.decide(number, "approve")
    execute(bank, f"update agents.human_approval_queue set attempts = 10 where id = {number}")
    result = await safe_executor.run_approved(number)
    assert (result["status"], "10 times" in result["error"]) == ("refused", True)
    assert effects(bank) == 0


async def unknown(bank: Runtime) -> int:
    """An execution in a server that was replaced since, so that nobody knows its outcome; asked for by a call of a turn."""
    await threads.begin_turn("t", "Add one to account 1", owner=uuid4())
    await threads.store_round("t", 1, 1, [RequestedCall(tool="execute_sql", arguments={"sql": "..."})])
    call = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    sql = "UPDATE accounts SET balance = balance + 1 WHERE id = 1"
    number = (await safe_executor.execute("execute_sql", {"sql": sql}, call=call, wait=False))["approval_id"]
    await human_approval_queue.decide(number, "approve")
    execute(
        bank,
        f"""insert into agents.agent_execution_log (tenant_id, database_id, action, verdict, risk_level, status, approval_id,
              thread_id, turn, round, ordinal, result)
            values ('default', '{bank.database_id}', 'execute_sql', 'ask', 'MEDIUM', 'running', {number}, 't', 1, 1, 1,
              '{{"transaction": {{"id": "1", "timeline": "0000000F", "position": "0/1"}}}}')""",
    )
    result = await safe_executor.run_approved(number)
    assert (result["status"], f"settle {result['execution_id']}" in result["error"]) == ("unknown", True)
    await threads.call_done(call, result)
    return result["execution_id"]


@pytest.mark.parametrize("happened", [True, False])
async def test_a_human_settles_what_nobody_could_prove_and_the_call_is_told(bank: Runtime, happened: bool) -> None:
    number = await unknown(bank)
    assert await executions.unknown() == 1
    assert await safe_executor.execute_left_over() == []  # never repeated
    settled = await executions.settle(number, happened=happened, settled_by="ann", comment="I looked at the row")
    assert (settled.status, settled.settled_by) == ("succeeded" if happened else "failed", "ann")
    [call] = await threads.calls("t", 1)
    assert (call.result["success"], call.result["status"]) == (happened, settled.status)
    assert "ann looked" in call.result["message"]
    assert ("error" in call.result) is not happened
    assert await executions.unknown() == 0
    assert effects(bank) == 0
    with pytest.raises(InvalidInput, match="is known"):
        await executions.settle(number, happened=not happened)
    assert [row.status for row in await executions.recent(1)] == [settled.status]


async def test_only_who_decides_settles(bank: Runtime) -> None:
    number = await unknown(bank)
    await people.add("tester", ["admin"])
    await people.add("bob", ["personal"])
    with pytest.raises(DecisionRefused):
        await executions.settle(number, happened=True, settled_by="bob")
    await executions.settle(number, happened=True)


async def test_a_call_that_was_refused_while_the_agent_was_stopped_knows_when_it_is_done_after_all(
    bank: Runtime,
) -> None:
    await threads.begin_turn("t", "Add one to account 1", owner=uuid4())
    await threads.store_round("t", 1, 1, [RequestedCall(tool="execute_sql", arguments={"sql": "..."})])
    call = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    sql = "UPDATE accounts SET balance = balance + 1 WHERE id = 1"
    number = (await safe_executor.execute("execute_sql", {"sql": sql}, call=call, wait=False))["approval_id"]
    await human_approval_queue.decide(number, "approve")
    await controls.stop("an emergency")
    stopped = await safe_executor.execute("execute_sql", {"sql": sql}, call=call, wait=False)
    assert (stopped["status"], effects(bank)) == ("refused", 0)
    await controls.resume()
    [result] = await safe_executor.execute_left_over()
    [told] = await threads.calls("t", 1)
    assert (told.result["status"], told.result["execution_id"]) == ("succeeded", result["execution_id"])
    assert effects(bank) == 1
