"""Real processes that die or are asked to end: every approved action once, every turn finished by somebody."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.worker.notes import APPROVE, TAKEOVER_SECONDS, Model, change, note_texts, status, until

from agent.chat import chat
from agent.client import AgentClient, StreamEvent
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.runtime import Runtime
from agent.testing.openai_server import OpenAIServer
from agent.testing.processes import agent_process, served_process
from agent.threads import threads

MANY = 10


async def test_one_of_two_workers_is_killed_under_load_and_each_action_happens_once(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    asked = await asyncio.gather(
        *(chat.answer(f"change note {n}", thread_id=f"t{n}", runtime=notes) for n in range(1, MANY + 1))
    )
    alone = [
        await safe_executor.execute("execute_sql", {"sql": change(n)}, wait=False, runtime=notes)
        for n in range(MANY + 1, 2 * MANY + 1)
    ]
    model.seconds = 2.0
    async with (
        agent_process(notes.settings, "worker", folder=tmp_path, model=http_model) as first,
        agent_process(notes.settings, "worker", folder=tmp_path, model=http_model) as second,
    ):
        await first.until_said("Working")
        await second.until_said("Working")
        for number in [answer.approvals[0].id for answer in asked] + [one["approval_id"] for one in alone]:
            await approvals.decide(number, APPROVE, via="api", runtime=notes)

        async def some_run() -> bool:
            return len(model.asked) > MANY + 3

        await until(some_run)
        first.kill()
        killed = time.monotonic()

        async def all_done() -> bool:
            done = [await status(notes, f"t{n}") == "done" for n in range(1, MANY + 1)]
            return all(done) and list(note_texts(notes).values())[: 2 * MANY] == ["n!"] * (2 * MANY)

        await until(all_done)
        assert time.monotonic() - killed <= TAKEOVER_SECONDS
    for n in range(1, MANY + 1):
        (turn,) = await threads.turns(f"t{n}", runtime=notes)
        assert turn["answer"] == f"Answered: change note {n}"
    assert await notes.all("select * from agents.open_work") == []


async def test_a_turn_whose_server_is_killed_in_the_middle_of_a_model_call_is_finished_by_a_worker(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    async with agent_process(notes.settings, "worker", folder=tmp_path, model=http_model) as worker:
        await worker.until_said("Working")
        async with served_process(notes.settings, folder=tmp_path, model=http_model) as (server, client):
            sent = asyncio.create_task(client.post("/api/chat", json={"message": "a slow one", "thread_id": "t"}))

            async def model_works() -> bool:
                return model.asked == ["a slow one"]

            await until(model_works)
            server.kill()
            await asyncio.gather(sent, return_exceptions=True)

        async def done() -> bool:
            return await status(notes, "t") == "done"

        await until(done)
    (turn,) = await threads.turns("t", runtime=notes)
    assert turn["answer"] == "Answered: a slow one"


async def test_a_server_that_is_asked_to_end_finishes_what_is_short_and_hands_over_the_rest(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    model.seconds = 2.0
    async with served_process(notes.settings, folder=tmp_path, model=http_model) as (server, client):

        async def follow(question: str, thread: str) -> list[StreamEvent]:
            async with AgentClient(str(client.base_url)) as agent:
                return [event async for event in agent.ask(question, thread_id=thread)]

        async def json_of(question: str, thread: str) -> Any:
            return await client.post("/api/chat", json={"message": question, "thread_id": thread})

        short, long = asyncio.create_task(follow("short", "s")), asyncio.create_task(follow("a slow one", "l"))
        plain = asyncio.create_task(json_of("another slow one", "p"))

        async def all_asked() -> bool:
            return len(model.asked) == 3

        await until(all_asked)
        began = time.monotonic()
        assert await server.end() == 0, server.said
        assert time.monotonic() - began < 15
        assert [event.event for event in await short][-2:] == ["answer", "done"]
        last = (await long)[-1]
        assert (last.event, last.data["error"]) == ("error", "ProcessEnds")
        assert "read thread 'l'" in last.data["detail"]
        assert ((await plain).status_code, "read thread 'p'" in (await plain).text) == (503, True)
    assert [await status(notes, thread) for thread in ("s", "l", "p")] == ["done", "running", "running"]
    async with agent_process(notes.settings, "worker", folder=tmp_path, model=http_model):

        async def done() -> bool:
            return [await status(notes, thread) for thread in ("l", "p")] == ["done", "done"]

        await until(done)


async def test_a_worker_that_is_asked_to_end_hands_over_and_another_one_finishes(
    notes: Runtime, model: Model, http_model: OpenAIServer, tmp_path: Path
) -> None:
    waiting = await chat.answer("change note 1", thread_id="t", runtime=notes)
    model.seconds = 60.0
    async with agent_process(notes.settings, "worker", folder=tmp_path, model=http_model) as worker:
        await approvals.decide(waiting.approvals[0].id, APPROVE, via="api", runtime=notes)

        async def model_works() -> bool:
            return len(model.asked) == 2

        await until(model_works)
        assert await worker.end() == 0, worker.said
    assert (await status(notes, "t"), note_texts(notes)[1]) == ("running", "n!")
    model.seconds = 0.0
    async with agent_process(notes.settings, "worker", folder=tmp_path, model=http_model):

        async def done() -> bool:
            return await status(notes, "t") == "done"

        await until(done)
    assert note_texts(notes)[1] == "n!"
