"""Streams: read on after a break, a reader that is slow or not allowed any more, and a turn that its user stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from agent.access import keys
from agent.api import events
from agent.client import AgentClient, StreamEvent
from agent.runtime import Runtime
from agent.testing.scripted_model import scripted_client
from agent.testing.served import served
from agent.threads import threads

WORDS = " ".join(f"word{n}" for n in range(40))


@pytest.fixture
def slow(runtime: Runtime) -> Runtime:
    """A model that says forty words in about four seconds."""
    return replace(runtime, model=scripted_client([WORDS], repeat_last=True, delay=0.1), cached={})


async def parsed(response: httpx.Response) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Yield id, name and data of each event."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}


async def test_a_stream_that_breaks_is_read_on_and_nothing_is_missing_or_twice(slow: Runtime) -> None:
    async with served(slow) as client:
        question = {"message": "hello", "thread_id": "t"}
        seen: list[tuple[str, str, dict[str, Any]]] = []
        async with client.stream("POST", "/api/chat", json=question, headers={"Accept": "text/event-stream"}) as answer:
            async for event in parsed(answer):
                seen.append(event)
                if len(seen) == 8:
                    break  # the connection is closed in the middle
        last = seen[-1][0]
        async with client.stream(
            "GET", f"/api/chat/streams/{last.partition(':')[0]}", headers={"Last-Event-ID": last}
        ) as answer:
            seen += [event async for event in parsed(answer)]
        assert seen[0][1:] == ("started", {"thread_id": "t", "stream_id": last.partition(":")[0]})
        assert seen[1][1:] == ("knowledge", {"tables": [], "memory_ids": []})
        assert [int(number.partition(":")[2]) for number, _, _ in seen] == list(range(len(seen)))
        assert [name for _, name, _ in seen][-2:] == ["answer", "done"]
        assert "".join(data["text"] for _, name, data in seen if name == "token") == WORDS
        nothing = await client.get("/api/chat/streams/unknown", headers={"Last-Event-ID": "unknown:3"})
        assert (nothing.status_code, "nothing to resume" in nothing.json()["detail"]) == (404, True)


async def test_a_reader_that_is_not_allowed_any_more_is_cut_off_and_the_turn_goes_on(
    slow: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_CHECK_SECONDS", 0.5)
    revoked = await keys.create("r", role="operator", runtime=slow)
    expiring = await keys.create("e", role="operator", days=2.0 / 86_400, runtime=slow)

    async def follow(url: str, secret: str, thread: str) -> list[StreamEvent]:
        async with AgentClient(url, key=secret) as agent:
            return [event async for event in agent.ask("hello", thread_id=thread)]

    async with served(slow) as client:
        url = str(client.base_url)
        streams = [
            asyncio.create_task(follow(url, made.secret, thread)) for made, thread in ((revoked, "r"), (expiring, "e"))
        ]
        await asyncio.sleep(1.0)
        await keys.revoke(revoked.key.id, runtime=slow)
        for stream in streams:
            last = (await stream)[-1]
            assert (last.event, last.data["error"]) == ("error", "NotAuthenticated")

        async def answered(thread: str) -> bool:
            return (await threads.turns(thread, runtime=slow))[-1]["answer"] == WORDS

        end = time.monotonic() + 30
        while not (await answered("r") and await answered("e")) and time.monotonic() < end:
            await asyncio.sleep(0.1)
        assert await answered("r")
        assert await answered("e")


async def test_a_token_that_expires_is_not_valid_any_more(runtime: Runtime) -> None:
    made = await keys.create("k", role="operator", runtime=runtime)
    identity = replace(await keys.identity_of(made.secret, runtime=runtime), key_id=None, proof="token")
    assert await keys.still_valid(identity, runtime=runtime)
    assert not await keys.still_valid(replace(identity, expires_at=datetime.now(UTC)), runtime=runtime)


async def test_a_turn_that_its_user_stops_stays_stopped(slow: Runtime) -> None:
    async with served(slow) as client:
        asked = asyncio.create_task(client.post("/api/chat", json={"message": "hello", "thread_id": "t"}))
        while not await slow.all("select 1 from agents.turns where tenant_id = %(tenant_id)s"):
            await asyncio.sleep(0.05)
        stopped = await client.post("/api/chat/t/cancel")
        assert stopped.json() == {"cancelled": True}
        answer = await asked
        assert (answer.status_code, answer.json()["detail"]) == (409, "The turn was stopped.")
        await asyncio.sleep(1.0)
    (turn,) = await threads.turns("t", runtime=slow)
    assert (turn["status"], turn["error"]) == ("failed", "stopped by the user")
    assert await slow.all("select * from agents.open_work") == []


async def test_a_client_that_does_not_read_is_left_and_its_turn_goes_on(
    slow: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.api.routes.chat._SEND_TIMEOUT", 0.5)
    # More than the buffers of both sides hold, so that the server has to wait for its reader.
    large = " ".join(["x" * 40_000] * 400)
    runtime = replace(slow, model=scripted_client([large], repeat_last=True), cached={})
    async with served(runtime) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=1024)
        body = json.dumps({"message": "hello", "thread_id": "t"})
        writer.write(
            f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        end = time.monotonic() + 40
        turns: list[Any] = []
        while time.monotonic() < end and not (turns and turns[-1]["status"] != "running"):
            await asyncio.sleep(0.2)
            turns = await runtime.all("select status, error from agents.turns where tenant_id = %(tenant_id)s")
        assert turns[-1] == {"status": "done", "error": None}
        got = b""
        async with asyncio.timeout(20):
            while part := await reader.read(2**20):
                got += part
        assert b"event: done" not in got  # it was left in the middle
        writer.close()
