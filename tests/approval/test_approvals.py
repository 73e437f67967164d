"""The approval queue: one winner, final expiry, and requests that outlive their process."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import AlreadyDecided, InvalidInput, NotFound
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cases import each
from agent.types import CallKey


async def first_pending() -> dict:
    while not (pending := await human_approval_queue.get_pending_approvals()):
        await asyncio.sleep(0.01)
    return pending[0]


async def test_the_example_of_the_requirements_runs_verbatim(runtime: Runtime) -> None:
    done = []

    async def example() -> None:
        # Request approval
        approval = await human_approval_queue.request_approval(
            "pause_stripe_payouts",
            {"card_last4": "1234"},
            risk_level="HIGH"
        )  # fmt: skip

        if approval["approved"]:
            # Execute action
            done.append(approval)

    task = asyncio.create_task(example())
    request = await first_pending()
    assert (request["action"], request["arguments"], request["risk_level"]) == (
        "pause_stripe_payouts",
        {"card_last4": "1234"},
        "HIGH",
    )
    assert not request["executable"]
    await human_approval_queue.decide(request["id"], "approve", decided_by="ann", comment="fine")
    await task
    assert [(answer["status"], answer["decided_by"], answer["comment"]) for answer in done] == [
        ("approved", "ann", "fine")
    ]
    assert await human_approval_queue.get_pending_approvals() == []
    # Only the decision was asked for: there is nothing to execute, and nothing was logged as executed.
    assert (await safe_executor.run_approved(request["id"]))["message"].startswith("Approved")
    assert await executions.recent() == []


async def test_a_rejection_and_a_silence_are_both_no(runtime: Runtime) -> None:
    asked = asyncio.create_task(human_approval_queue.request_approval("a", {}))
    await human_approval_queue.decide((await first_pending())["id"], "reject", comment="not now")
    rejected = await asked
    expired = await human_approval_queue.request_approval("b", {}, timeout=0.1)
    assert (rejected["approved"], rejected["status"]) == (False, "rejected")
    assert (expired["approved"], expired["status"]) == (False, "expired")
    assert {row.status for row in await executions.recent()} == {"rejected", "expired"}


async def test_of_racing_deciders_one_wins(runtime: Runtime) -> None:
    for _ in range(10):
        approval = await human_approval_queue.request("x", {})

        async def decide(number: int, approval_id: int = approval.id) -> str:
            try:
                decided = await human_approval_queue.decide(
                    approval_id, "approve" if number % 2 else "reject", decided_by=str(number)
                )
            except AlreadyDecided:
                return "late"
            return decided.status

        outcomes = Counter(await asyncio.gather(*(decide(number) for number in range(16))))
        assert outcomes["late"] == 15
        assert outcomes[(await human_approval_queue.get(approval.id)).status] == 1


async def test_expiry_is_final(runtime: Runtime) -> None:
    approval = await human_approval_queue.request("x", {}, timeout=0.05)
    await asyncio.sleep(0.1)
    with pytest.raises(AlreadyDecided, match="expired"):
        await human_approval_queue.decide(approval.id, "approve")
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("update agents.human_approval_queue set expires_at = now() + interval '1 hour'")
    with pytest.raises(AlreadyDecided):
        await human_approval_queue.decide(approval.id, "approve")
    assert (await safe_executor.run_approved(approval.id))["status"] == "expired"


async def test_the_same_call_asks_once_and_other_calls_by_themselves(runtime: Runtime) -> None:
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    both = await asyncio.gather(
        human_approval_queue.request("x", {"n": 1}, call=key), human_approval_queue.request("x", {"n": 1}, call=key)
    )
    other = await human_approval_queue.request("x", {"n": 1}, call=CallKey(thread_id="t", turn=1, round=1, ordinal=2))
    assert both[0].id == both[1].id != other.id
    assert [approval.id for approval in await human_approval_queue.for_turn("t", 1)] == [both[0].id, other.id]
    await human_approval_queue.decide(both[0].id, "reject")
    assert (await human_approval_queue.get(other.id)).status == "pending"
    assert (await human_approval_queue.request("x", {"n": 1}, call=key)).status == "rejected"


async def test_a_request_outlives_the_process_that_asked(demo_runtime: Runtime) -> None:
    sql = "UPDATE clients SET notes = 'kept' WHERE id = 1"
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    later = await open_runtime(demo_runtime.settings)
    with use_runtime(later):
        assert [item["id"] for item in await human_approval_queue.get_pending_approvals()] == [asked["approval_id"]]
        await human_approval_queue.decide(asked["approval_id"], "approve")
        assert (await safe_executor.run_approved(asked["approval_id"]))["success"]
    await later.close()


async def test_tenants_do_not_see_each_others_requests(runtime: Runtime) -> None:
    approval = await human_approval_queue.request("x", {})
    other = runtime.for_tenant("other")
    assert await human_approval_queue.get_pending_approvals(runtime=other) == []
    with pytest.raises(NotFound):
        await human_approval_queue.decide(approval.id, "approve", runtime=other)


@each(
    ("action", "arguments", "options"),
    [
        ("", {}, {}),
        ("x" * 201, {}, {}),
        ("a\0b", {}, {}),
        ("x", {"a": "\0"}, {}),
        ("x", {"a": "\udc00"}, {}),
        ("x", {"a": float("nan")}, {}),
        ("x", {"a": object()}, {}),
        ("x", {"a": "y" * 10_000_000}, {}),
        ("x", {}, {"risk_level": "HUGE"}),
        ("x", {}, {"timeout": 0}),
        ("x", {}, {"timeout": float("nan")}),
        ("x", {}, {"timeout": float("inf")}),
    ],
)
async def test_a_request_that_cannot_be_stored_says_why(
    runtime: Runtime, action: str, arguments: dict, options: dict
) -> None:
    with pytest.raises(InvalidInput):
        await human_approval_queue.request(action, arguments, **options)


@each("number", [0, -1, 10**30, 7, "1", None, True])
async def test_an_unknown_approval_is_not_found(runtime: Runtime, number: object) -> None:
    with pytest.raises(NotFound, match="approvals list"):
        await human_approval_queue.decide(number, "approve")


async def test_a_decision_is_a_word_that_is_known(runtime: Runtime) -> None:
    approval = await human_approval_queue.request("x", {})
    with pytest.raises(InvalidInput, match="approve"):
        await human_approval_queue.decide(approval.id, "maybe")


async def test_a_call_that_asked_is_bound_to_its_answer_whatever_it_would_be_judged_now(demo_runtime: Runtime) -> None:
    keys = [CallKey(thread_id="t", turn=1, round=1, ordinal=number) for number in (1, 2)]
    sql = {"sql": "UPDATE clients SET notes = 'once' WHERE id = 1"}
    asked = [await safe_executor.execute("execute_sql", sql, call=key, wait=False) for key in keys]
    await human_approval_queue.decide(asked[0]["approval_id"], "approve")
    await human_approval_queue.decide(asked[1]["approval_id"], "reject")
    read = {"sql": "SELECT 1"}  # as if the policy had flipped: the same call would now be a harmless read
    assert (await safe_executor.execute("execute_sql", read, call=keys[1]))["status"] == "rejected"
    first = await safe_executor.execute("execute_sql", sql, call=keys[0])
    assert first["status"] == "succeeded"
    assert await safe_executor.execute("execute_sql", sql, call=keys[0]) == first
    assert [row.status for row in await executions.recent()] == ["succeeded", "rejected"]


async def test_an_execution_that_is_cancelled_can_be_taken_up_at_once(demo_runtime: Runtime) -> None:
    url = demo_runtime.settings.database_url.get_secret_value()
    asked = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE clients SET notes = 'x' WHERE id = 1"}, wait=False
    )
    await human_approval_queue.decide(asked["approval_id"], "approve")
    with psycopg.connect(url) as conn:
        conn.execute("select * from clients where id = 1 for update")
        task = asyncio.create_task(safe_executor.run_approved(asked["approval_id"]))
        waiting = "select count(*) from pg_stat_activity where usename = 'agent_actor' and wait_event_type = 'Lock'"
        with psycopg.connect(url, autocommit=True) as watcher:
            while watcher.execute(waiting).fetchone() != (1,):
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await safe_executor.run_approved(asked["approval_id"]))["success"]


async def test_an_argument_may_spell_a_nul_but_not_hold_one(runtime: Runtime) -> None:
    approval = await human_approval_queue.request("act", {"text": "the six characters \\u0000"})
    assert approval.arguments == {"text": "the six characters \\u0000"}
    with pytest.raises(InvalidInput, match="NUL"):
        await human_approval_queue.request("act", {"text": "a \x00"})
