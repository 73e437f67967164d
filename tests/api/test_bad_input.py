"""What a client must not send: each kind is refused with a sentence, in bounded time and memory, and the server lives on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from agent.api import guard, server
from agent.client import AgentClient
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.testing.served import served

HEAD = "POST /api/memories HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECRET = "only for those who may"


async def raw(client: httpx.AsyncClient, *parts: bytes, pause: float = 0.0, seconds: float = 20.0) -> bytes:
    """Send bytes as they are, and return all that comes back until the server closes or says enough."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        async with asyncio.timeout(seconds):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read(65_536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b'{"content": 1}', b'{"content": "\\ud800"}', b'{"content": NaN}', b"\xff\xfe",
        b'{"content": "\\u0000"}', b'{"content": "' + b"x" * 900_000, b"[" * 100_000, b'{"a":' * 50_000,
    ],
    ids=range(13),
)  # fmt: skip
async def test_a_body_that_is_not_what_is_expected_is_a_problem_and_no_fault(runtime: Runtime, body: bytes) -> None:
    async with served(runtime) as client:
        answer = await client.post("/api/memories", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/health")).status_code == 200


async def test_a_body_that_is_too_long_or_endless_is_cut_off(runtime: Runtime) -> None:
    limit = runtime.settings.max_body_bytes
    async with served(runtime) as client:
        declared = await client.post("/api/memories", content=b"x" * (limit + 1))
        assert (declared.status_code, declared.headers["content-type"]) == (413, "application/problem+json")
        sent = 0

        async def endless() -> None:
            nonlocal sent
            reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
            answer = asyncio.create_task(reader.read(64))
            while not answer.done():
                writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                await writer.drain()
                sent += 65_536
            assert b" 413 " in answer.result()
            writer.close()

        async with asyncio.timeout(20):
            await endless()
        assert sent < 20 * limit
        assert (await client.get("/health")).status_code == 200


async def test_heads_and_bodies_that_come_too_slowly_are_left(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    monkeypatch.setattr(guard, "_BODY_SECONDS", 0.5)
    async with served(runtime) as client:
        began = time.monotonic()
        for start in (
            b"",
            b"GET /health HTT",
            HEAD.encode(),
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
        ):
            await raw(client, start, *[b"x"] * 3, pause=0.4)
            reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.write(start)
            with suppress(ConnectionError):
                async with asyncio.timeout(10):  # the server closes it
                    while await reader.read(1000):
                        pass
            writer.close()
        slow = await raw(client, f"{HEAD}Content-Length: 100\r\n\r\n".encode(), b"{", pause=0.2)
        assert b" 408 " in slow
        assert b"did not come in time" in slow
        endless = await raw(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[b"X-A: " + b"a" * 8000 + b"\r\n"] * 20)
        assert b" 400 " in endless or endless == b""
        assert time.monotonic() - began < 40
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/threads/..%2f..", "/api/threads/%2e%2e/%2e%2e/health", "/api/threads/..%5c..", "/api/threads/%00", "/api/threads/a%00b",
        "/api/threads/" + "x" * 5_000, "/api/memories/99999999999999999999999999", "/api/memories/-1", "/api/memories/1%00",
        "/api/approvals/9223372036854775808", "/api/threads/%ff%fe", "/api/threads/%E2%80%AE", "//api//threads//x", "/api/threads/%252e%252e",
        "/api/chat/streams/" + "y" * 65, "/api/chat/%2e%2e/cancel", "/docs/../api/../../etc/passwd", "/api/threads?cursor=%00",
        "/api/threads?limit=999999999999999999999", "/api/memories?query=%00", "/api/executions?cursor=%ff",
    ],
)  # fmt: skip
async def test_paths_that_trick_find_nothing_and_break_nothing(runtime: Runtime, path: str) -> None:
    await agent_memory.save(SECRET, trust="human", runtime=runtime)
    async with served(runtime) as client:
        answer = await raw(client, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status = int(answer.split(b" ")[1])
        # An argument that names nothing finds nothing.
        assert status in (400, 404, 405, 422) or b'"items":[]' in answer, answer
        assert SECRET.encode() not in answer
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", b"Bearer \xff\xfe"), ("Idempotency-Key", b"\xc3\x28"), ("Idempotency-Key", b"k" * 300), ("Idempotency-Key", b""),
        ("X-Request-Id", b"\xff" * 10), ("Last-Event-ID", b"\xff:\xff"), ("Accept", b"\xff"), ("Content-Type", b"application/json; charset=\xff"),
    ],
)  # fmt: skip
async def test_headers_that_are_no_text_are_refused_or_ignored(runtime: Runtime, name: str, value: bytes) -> None:
    async with served(runtime) as client:
        body = b'{"content": "a fact"}'
        head = f"{HEAD}Connection: close\r\nContent-Length: {len(body)}\r\n{name}: ".encode()
        answer = await raw(client, head + value + b"\r\n\r\n" + body)
        assert int(answer.split(b" ")[1]) in (201, 400, 401, 422), answer
        assert b"\xff" not in answer
        async with AgentClient(str(client.base_url)) as agent:
            assert (await agent.remember("another fact"))["id"]


def some_bodies() -> list[Callable[[], dict[str, str]]]:
    return [lambda n=n: {"content": f"fact {n}"} for n in range(4)]


async def test_one_idempotency_key_with_several_bodies_at_once_writes_one_of_them(runtime: Runtime) -> None:
    async with served(runtime) as client:
        answers = await asyncio.gather(
            *(
                client.post("/api/memories", json=body(), headers={"Idempotency-Key": "same"})
                for body in some_bodies() * 3
            )
        )
        assert {answer.status_code for answer in answers} <= {201, 409, 422}
        facts = (await client.get("/api/memories?kind=fact")).json()["items"]
        (fact,) = [one["content"] for one in facts]
        assert {answer.json()["content"] for answer in answers if answer.status_code == 201} == {fact}
