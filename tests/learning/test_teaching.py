"""What people teach: corrections count at once, the newer statement holds, and what is forgotten is gone with its echoes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.chat import chat
from agent.errors import InvalidInput
from agent.learning.learning_middleware import Interaction, learning_middleware
from agent.learning.memory import Memory, NewMemory, agent_memory
from agent.learning.semantic_search import semantic_search
from agent.operations import memories
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client

COUNT = call("execute_sql", sql="select 12 as orders")


def scripted(runtime: Runtime, *script: Any) -> Runtime:
    return replace(runtime, model=scripted_client(script), cached={})


async def contents(query: str, **options: Any) -> list[str]:
    return [memory.content for memory in await semantic_search.search_memories(query, limit=50, **options)]


async def test_a_correction_becomes_feedback_at_once_and_ends_what_it_corrects(runtime: Runtime) -> None:
    fact = await agent_memory.save("We ship to Malta", trust="agent")
    runtime = scripted(runtime, COUNT, "12 orders can go to Malta.", "I see.")
    await chat.answer("How many orders can go to Malta?", thread_id="t", runtime=runtime)
    (turn,) = await agent_memory.list_memories("interaction")
    answer = await chat.answer("No, that is wrong: we never ship to Malta", thread_id="t", runtime=runtime)
    (feedback,) = await agent_memory.list_memories("feedback")
    assert (feedback.content, feedback.trust, feedback.speaker) == ("we never ship to Malta", "human", "tester")
    assert f"memory {feedback.id} in place of memory {fact.id} (We ship to Malta)" in answer.text
    assert f"`agent memory restore {fact.id}` takes that back" in answer.text
    links = {(link.relation, link.other) for link in await agent_memory.links(feedback.id)}
    assert links == {("corrects", turn.id), ("replaces", fact.id)}
    assert await agent_memory.list_memories("interaction") == []
    assert (await learning_middleware.load("Can this order go to Malta?")).memory_ids == (feedback.id,)


async def test_a_corrected_question_is_remembered_with_the_sql_that_was_right(runtime: Runtime) -> None:
    right = call("execute_sql", sql="select 7 as active_orders")
    runtime = scripted(runtime, COUNT, "12.", right, "7.")
    await chat.answer("How many orders are active?", thread_id="t", runtime=runtime)
    await chat.answer("That's wrong, count only the paid ones.", thread_id="t", runtime=runtime)
    context = await semantic_search.get_relevant_context("How many orders are active?")
    (turn,) = [memory for memory in context.memories if memory.kind == "interaction"]
    assert "Asked: How many orders are active? (count only the paid ones); Ran: select 7" in turn.line
    assert "select 12" not in context.text


async def test_that_is_wrong_alone_keeps_the_answer_out_of_other_conversations(runtime: Runtime) -> None:
    runtime = scripted(runtime, COUNT, "12.", "Sorry.")
    await chat.answer("How many orders are late?", thread_id="t", runtime=runtime)
    await chat.answer("No, that's wrong.", thread_id="t", runtime=runtime)
    assert (await learning_middleware.load("How many orders are late?")).memories == ""


async def test_the_newer_word_of_a_human_takes_the_place_of_an_older_and_can_be_taken_back(runtime: Runtime) -> None:
    older = await agent_memory.save(
        "campaign status 3 means paused, because the client asked us to wait", trust="human", speaker="ann"
    )
    runtime = scripted(runtime, call("remember", content="status 3 means cancelled"), "Noted.")
    answer = await chat.answer("Remember: status 3 means cancelled", runtime=runtime)
    assert f"in place of memory {older.id}" in answer.text
    assert await contents("what does campaign status 3 mean?") == ["status 3 means cancelled"]
    assert (await agent_memory.get(older.id)).valid_until is not None
    restored = await memories.restore(older.id, runtime=runtime)
    assert restored.valid_until is None
    assert await contents("what does campaign status 3 mean?") == [older.content]
    with pytest.raises(InvalidInput, match="nothing to restore"):
        await agent_memory.restore(older.id)


async def test_a_humans_word_stands_above_the_agents_own(runtime: Runtime) -> None:
    human = await agent_memory.save("status 3 means paused", trust="human")
    remember = call("remember", content="status 3 means archived")
    runtime = scripted(runtime, COUNT, remember, "Hm.")
    await chat.answer("What is there to know about campaigns?", runtime=runtime)
    assert [memory.id for memory in await agent_memory.list_memories("fact")] == [human.id]
    other = await agent_memory.save("status 4 means lost", trust="agent")
    newer = await agent_memory.save("status 4 means closed", trust="human")
    assert [memory.id for memory in await agent_memory.list_memories("fact")] == [newer.id, human.id]
    assert (await agent_memory.get(other.id)).valid_until is not None


async def test_what_is_said_again_is_no_second_memory(runtime: Runtime) -> None:
    first = await agent_memory.save("status 3 means paused", trust="human")
    again = await agent_memory.save("Status 3 means paused!", trust="human")
    assert (again.id, again.evidence_count) == (first.id, 2)


async def test_remember_makes_one_memory(runtime: Runtime) -> None:
    runtime = scripted(runtime, call("remember", content="status 3 means paused"), "Noted.")
    await chat.answer("Remember: status 3 means paused", runtime=runtime)
    assert [(one.kind, one.content) for one in await agent_memory.list_memories()] == [
        ("fact", "status 3 means paused")
    ]


async def test_forgetting_takes_what_says_the_same_and_what_was_concluded(runtime: Runtime) -> None:
    fact = await agent_memory.save("status 3 means paused", trust="human", source_thread="t", source_turn=1)
    other = await agent_memory.save("status 4 means closed", trust="human")
    echo = await agent_memory.save(
        "Asked: Remember: status 3 means paused\nAnswered: I will.", kind="interaction", trust="agent"
    )
    turn = await agent_memory.save(
        "Asked: tell me more\nAnswered: done", kind="interaction", source_thread="t", source_turn=1
    )
    restated = await agent_memory.save_many([NewMemory(content="Status 3 means paused!", trust="human")])
    runtime = scripted(runtime, COUNT, "12 are paused.", COUNT, "12 again.")
    await chat.answer("How many campaigns have status 3?", thread_id="a", runtime=runtime)
    (concluded,) = [one for one in await agent_memory.list_memories("interaction") if one.source_thread == "a"]
    human = await agent_memory.save("Paused ones are counted weekly", trust="human", derived_from=[fact.id])

    gone = await memories.forget(fact.id, runtime=runtime)

    assert [memory.id for memory in gone.say_the_same] == [echo.id, restated[0].id]
    assert [memory.id for memory in gone.concluded] == [turn.id, concluded.id]
    assert {memory.id for memory in await agent_memory.list_memories()} == {other.id, human.id}
    for mode in ("hybrid", "dense", "lexical"):
        assert not [
            text for text in await contents("status 3 means paused", mode=mode) if "paused" in text and "3" in text
        ]


async def test_forgetting_leaves_what_only_has_some_of_the_words(runtime: Runtime) -> None:
    fact = await agent_memory.save("Late orders", trust="human")
    turn = await agent_memory.save("Asked: How many orders of Anna are late?\nAnswered: 3", kind="interaction")
    gone = await agent_memory.forget(fact.id)
    assert gone.ids == [fact.id]
    assert [memory.id for memory in await agent_memory.list_memories()] == [turn.id]


async def test_a_chain_of_conclusions_is_forgotten_to_its_end(runtime: Runtime) -> None:
    fact = await agent_memory.save("the vault is in Gdynia")
    ids = [fact.id]
    for number in range(4):
        (memory,) = await agent_memory.save_many(
            [NewMemory(content=f"conclusion {'abcd'[number]}", kind="interaction")], derived_from=[ids[-1]]
        )
        ids.append(memory.id)
    assert (await agent_memory.forget(fact.id)).ids == ids


async def test_a_turn_that_only_saw_the_example_is_not_forgotten(runtime: Runtime) -> None:
    fact = await agent_memory.save("status 3 means paused")
    sql = (
        "select count(*) from campaigns where status = 3",
        "select count(*) from campaigns c where c.status = 3",
        "select sum(total) from orders",
    )
    turns = [
        NewMemory(content=f"Asked: {n}\nRan: {one}\nAnswered: {n}", kind="interaction", metadata={"statements": [one]})
        for n, one in enumerate(sql)
    ]
    (first,) = await agent_memory.save_many(turns[:1], derived_from=[fact.id])
    alike, other = await agent_memory.save_many(turns[1:], derived_from=[first.id])
    assert (await agent_memory.forget(fact.id)).ids == [fact.id, first.id, alike.id]
    assert [memory.id for memory in await agent_memory.list_memories()] == [other.id]


async def test_what_people_type_is_remembered_without_its_secrets(runtime: Runtime) -> None:
    login = call("execute_sql", sql="select 'hunter2' as password")
    runtime = scripted(
        runtime, login, "Bob has hunter2.", call("remember", content="The wifi password is zebra-99"), "Ok."
    )
    await chat.answer("Set the password of bob to hunter2, card 4111 1111 1111 1111", thread_id="a", runtime=runtime)
    await chat.answer("Remember: The wifi password is zebra-99", thread_id="b", runtime=runtime)
    async with runtime.connection() as conn:
        rows = await (await conn.execute("select m::text as text from agents.agent_memory m")).fetchall()
    assert len(rows) == 2
    for secret in ("hunter2", "zebra", "4111"):
        assert not [row["text"] for row in rows if secret in row["text"]], secret


async def test_links_stay_within_the_tenant(runtime: Runtime) -> None:
    foreign = await agent_memory.save("status 3 means lost", trust="human", runtime=runtime.for_tenant("other"))
    mine = await agent_memory.teach(NewMemory(content="status 3 means paused", trust="human"), corrects=[foreign.id])
    assert isinstance(mine.memory, Memory)
    assert (mine.replaced, await agent_memory.links(mine.memory.id)) == ((), [])
    assert (await agent_memory.get(foreign.id, runtime=runtime.for_tenant("other"))).valid_until is None


async def test_a_turn_that_only_repeats_what_was_recalled_counts_as_use(runtime: Runtime) -> None:
    fact = await agent_memory.save("status 3 means paused", trust="human")
    repeated = Interaction(question="What is status 3?", answer="Paused.", recalled=[fact.id])
    assert await learning_middleware.save(repeated) == ""
    assert [memory.use_count for memory in await agent_memory.list_memories()] == [1]
