"""Threads of a LangGraph Server: which are asked about, how they are resumed, and what happens when the server is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from agent.errors import ProviderUnavailable, ThreadBusy
from agent.runtime import Runtime
from agent.worker.server_threads import resume_on_server

THREAD = str(uuid4())
WAITS = {
    "status": "interrupted",
    "interrupts": {"task": [{"id": "one"}, {"id": "two"}]},
    "metadata": {"graph_id": "agent"},
}


class Server:
    """An HTTP server that answers as a LangGraph Server does, and notes what it is asked."""

    def __init__(self, thread: Any, *, info: Any = None, create: int = 200) -> None:
        self.answers = {
            f"/threads/{THREAD}": (200 if thread else 404, thread or {"detail": "not found"}), "/info": (200, info or {}),
            f"/threads/{THREAD}/runs": (create, {"run_id": "run"}), f"/threads/{THREAD}/runs/run/join": (200, {}),
        }  # fmt: skip
        self.asked: list[tuple[str, Any]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        path = head.split()[1].partition("?")[0]
        self.asked.append((path, json.loads(body) if body else None))
        status, found = self.answers.get(path, (404, {}))
        content = json.dumps(found).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served_by(server: Server, runtime: Runtime) -> AsyncIterator[Runtime]:
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield replace(runtime, settings=runtime.settings.model_copy(update={"langgraph_api_url": url}), cached={})


@pytest.mark.parametrize(
    ("info", "strict"), [({}, None), ({"strict_resume": True}, True), ({"flags": {"strict_resume": True}}, True)]
)
async def test_exactly_what_waits_is_resumed_and_strictly_where_the_server_can(
    runtime: Runtime, info: Any, strict: bool | None
) -> None:
    server = Server(WAITS, info=info)
    async with served_by(server, runtime) as acting:
        assert await resume_on_server(THREAD, runtime=acting)
    (begun,) = [body for path, body in server.asked if path.endswith("/runs")]
    assert begun["command"] == {"resume": {"one": {"type": "collect"}, "two": {"type": "collect"}}}
    assert (begun.get("strict_resume"), begun["multitask_strategy"]) == (strict, "reject")
    assert server.asked[-1][0].endswith("/join")


async def test_a_thread_that_is_busy_or_away_is_not_gone_on_with_here(runtime: Runtime) -> None:
    for server in (Server({**WAITS, "status": "busy"}), Server(WAITS, create=409)):
        async with served_by(server, runtime) as acting:
            with pytest.raises(ThreadBusy):
                await resume_on_server(THREAD, runtime=acting)
    failing = Server(WAITS)
    failing.answers[f"/threads/{THREAD}"] = (500, {})
    async with served_by(failing, runtime) as acting:
        with pytest.raises(ProviderUnavailable, match="LANGGRAPH_API_URL"):
            await resume_on_server(THREAD, runtime=acting)
    with pytest.raises(ProviderUnavailable, match="LANGGRAPH_API_URL"):  # nobody listens there any more
        await resume_on_server(THREAD, runtime=acting)


async def test_threads_of_this_agent_and_of_other_tenants_are_not_asked_about(runtime: Runtime) -> None:
    server = Server(None)
    async with served_by(server, runtime) as acting:
        assert not await resume_on_server(THREAD, runtime=acting)  # the server does not know it
        server.asked.clear()
        for thread in ("3f2a91bc04de", "monday", f"../{THREAD}", THREAD.upper(), THREAD.replace("-", "")):
            assert not await resume_on_server(thread, runtime=acting)
        assert not await resume_on_server(THREAD, runtime=acting.for_tenant("b"))
    assert server.asked == []
    assert not await resume_on_server(THREAD, runtime=runtime)  # no server is set
