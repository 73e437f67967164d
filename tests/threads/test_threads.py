"""Threads, turns and tool calls: one turn at a time, stored before any effect, kept apart by tenant."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from agent.errors import BudgetExceeded, InvalidInput, NotFound, ThreadBusy
from agent.runtime import Runtime, open_runtime
from agent.threads import RequestedCall, threads
from agent.types import CallKey, Usage


async def begin(runtime: Runtime, thread: str = "t", question: str = "how many?", **more: object) -> tuple[object, int]:
    owner = more.pop("owner", uuid4())
    begun = await threads.begin_turn(thread, question, owner=owner, runtime=runtime, **more)
    return owner, begun.turn


async def test_a_thread_has_one_turn_at_a_time(runtime: Runtime) -> None:
    results = await asyncio.gather(*(begin(runtime) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, ThreadBusy) for result in results) == 7


async def test_the_same_message_again_is_the_same_turn(runtime: Runtime) -> None:
    owner, turn = await begin(runtime, message_id="m1")
    assert (await begin(runtime, owner=owner, message_id="m1"))[1] == turn
    assert (await begin(runtime, owner=owner, message_id="m2"))[1] == turn + 1


async def test_a_finished_turn_frees_the_thread_and_is_logged_once(runtime: Runtime) -> None:
    owner, turn = await begin(runtime)
    assert await threads.finish_turn("t", turn, owner=owner, answer="5")
    assert not await threads.finish_turn("t", turn, owner=owner, answer="6")
    async with runtime.transaction() as conn:
        rows = await (await conn.execute("select action, status, result from agents.agent_execution_log")).fetchall()
    assert rows == [{"action": "answer", "status": "succeeded", "result": {"answer": "5"}}]
    assert (await begin(runtime))[1] == turn + 1


async def test_an_expired_lease_is_taken_over_and_the_dead_turn_marked(runtime: Runtime) -> None:
    await begin(runtime)
    async with runtime.transaction() as conn:
        await conn.execute("update agents.threads set lease_until = now() - interval '1 second'")
    _, turn = await begin(runtime)
    assert turn == 2
    assert [row["status"] for row in await threads.turns("t")] == ["failed", "running"]


async def test_a_waiting_turn_is_returned_in_place_of_a_new_one(runtime: Runtime) -> None:
    owner, turn = await begin(runtime)
    await threads.wait("t", turn, owner=owner)
    begun = await threads.begin_turn("t", "another", owner=uuid4())
    assert (begun.turn, begun.status) == (turn, "waiting")


async def test_a_round_keeps_the_first_answer_of_the_model(runtime: Runtime) -> None:
    _, turn = await begin(runtime)
    await threads.store_round("t", turn, 1, [RequestedCall(tool="first", arguments={"a": 1})], said="let me see")
    await threads.store_round("t", turn, 1, [RequestedCall(tool="second")])
    calls = await threads.calls("t", turn)
    assert [(call.tool, call.arguments, call.said) for call in calls] == [("first", {"a": 1}, "let me see")]


async def test_a_call_keeps_its_first_result(runtime: Runtime) -> None:
    _, turn = await begin(runtime)
    await threads.store_round("t", turn, 1, [RequestedCall(tool="x")])
    key = CallKey(thread_id="t", turn=turn, round=1, ordinal=1)
    await threads.call_done(key, {"success": True, "message": "first"})
    await threads.call_done(key, {"success": True, "message": "second"})
    assert (await threads.call(key)).result == {"success": True, "message": "first"}


async def test_tenants_do_not_share_threads_of_the_same_name(runtime: Runtime) -> None:
    await begin(runtime)
    other = runtime.for_tenant("other")
    assert (await begin(other, question="mine"))[1] == 1
    assert [row["question"] for row in await threads.turns("t", runtime=other)] == ["mine"]
    with pytest.raises(NotFound):
        await threads.turns("t", runtime=runtime.for_tenant("third"))


async def test_a_cap_on_tokens_stops_the_turn(cluster, settings) -> None:
    runtime = await open_runtime(settings.model_copy(update={"turn_token_cap": 100}))
    _, turn = await begin(runtime)
    await threads.check_budget("t", turn, runtime=runtime)
    await threads.store_round("t", turn, 1, [], usage=Usage(input_tokens=90, output_tokens=10), runtime=runtime)
    with pytest.raises(BudgetExceeded, match="AGENT_TURN_TOKEN_CAP"):
        await threads.check_budget("t", turn, runtime=runtime)
    await runtime.close()


@pytest.mark.parametrize("thread_id", ["", "a/b", "x" * 201, "line\nbreak"])
async def test_a_thread_id_that_could_be_mistaken_is_refused(runtime: Runtime, thread_id: str) -> None:
    with pytest.raises(InvalidInput):
        await begin(runtime, thread=thread_id)


async def test_a_busy_thread_is_not_deleted_and_a_free_one_is(runtime: Runtime) -> None:
    owner, turn = await begin(runtime)
    with pytest.raises(ThreadBusy):
        await threads.delete("t")
    await threads.finish_turn("t", turn, owner=owner, answer="done")
    await threads.delete("t")
    with pytest.raises(NotFound):
        await threads.delete("t")


async def test_old_turns_of_a_long_thread_are_folded_into_its_summary(runtime: Runtime) -> None:
    for number in range(25):
        owner, turn = await begin(runtime, question=f"question {number}")
        await threads.finish_turn("t", turn, owner=owner, answer=f"answer {number}")
    assert await threads.summarise("t") == 20
    assert await threads.summarise("t") == 0
    _, turn = await begin(runtime, question="the last")
    transcript = await threads.transcript("t", turn)
    assert "question 19" in transcript.summary
    assert "question 20" not in transcript.summary
    assert next(one.question for one in transcript.turns) == "question 20"
    assert transcript.current.question == "the last"
