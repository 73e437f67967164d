"""Measure `agent serve` as a client sees it: many chats at once, a turn beside the same turn from Python, events, memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from agent.chat import chat
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.openai_server import OpenAIServer, Reply, text
from agent.testing.processes import AgentProcess, free_port, served_process
from benchmarks.report import Report

CHATS, POOL, MODEL_SECONDS = 200, 10, 1.0
TURNS, MANY = 60, 1_000
MEGABYTE = 2**20


class Model:
    """Answers every question after `seconds`, and notes when it was asked."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked: list[float] = []

    def reply(self, body: dict[str, Any]) -> Reply:
        self.asked.append(time.monotonic())
        return text("Here you are.", delay=self.seconds)

    def most_at_once(self) -> int:
        """Return the most model calls that ran at the same time."""
        return max(sum(1 for at in self.asked if 0 <= end - at < self.seconds) for end in self.asked)


async def measure(report: Report) -> None:
    """Measure the bars of the served agent."""
    cluster, model = Cluster(), Model()
    try:
        settings = cluster.database(cluster.template("blank"))
        with tempfile.TemporaryDirectory() as folder:
            async with (
                OpenAIServer(choose=model.reply) as server,
                served_process(settings, folder=Path(folder), model=server, AGENT_RATE_LIMIT="1000000/minute", AGENT_LOG_LEVEL="warning") as (
                    process, client,
                ),
            ):  # fmt: skip
                idle = rss(process)
                report.bar("RSS of agent serve, idle", bar="<= 250 MB", reached=f"{idle:.0f} MB", ok=idle <= 250)
                await one_after_the_other(report, settings, server, client)
                warm = rss(process)  # the first chat has loaded what a model needs
                report.note(f"RSS after {TURNS} chats: {warm:.0f} MB, {warm / idle:.2f}x idle")
                cpu = await cpu_of_a_turn(process, client)
                await many_at_once(report, model, process, client, cpu)
                await first_event(report, client)
                await memory(report, warm, process, client)
    finally:
        cluster.close()


def rss(process: AgentProcess) -> float:
    return psutil.Process(process.pid).memory_info().rss / MEGABYTE


async def ask(client: httpx.AsyncClient, number: int, question: str = "hello") -> float:
    began = time.perf_counter()
    answer = await client.post(
        "/api/chat", json={"message": question, "thread_id": f"{question}-{number}"}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "done", answer.text
    return time.perf_counter() - began


async def one_after_the_other(
    report: Report, settings: Settings, server: OpenAIServer, client: httpx.AsyncClient
) -> None:
    chosen = {"model": "openai:scripted", "openai_api_key": "none", "openai_base_url": server.url, "embedder": "hashing:384"}  # fmt: skip
    runtime = await open_runtime(Settings(_env_file=None, **{**settings.model_dump(exclude_unset=True), **chosen}))
    over_http, from_python = [], []
    for number in range(TURNS):  # in turns, so that a slow moment of the machine meets both
        over_http.append(await ask(client, number, "over HTTP"))
        from_python.append(await from_here(runtime, number))
    await runtime.close()
    ratio = median(over_http[5:]) / median(from_python[5:])
    report.bar(
        "turn over HTTP / from Python",
        bar="<= 1.15x",
        reached=f"{ratio:.2f}x ({median(over_http[5:]) * 1000:.1f} ms / {median(from_python[5:]) * 1000:.1f} ms)",
        ok=ratio <= 1.15,
    )


async def from_here(runtime: Runtime, number: int) -> float:
    began = time.perf_counter()
    await chat.answer("from Python", thread_id=f"python-{number}", runtime=runtime)
    return time.perf_counter() - began


async def cpu_of_a_turn(process: AgentProcess, client: httpx.AsyncClient) -> float:
    watched = psutil.Process(process.pid)
    before = sum(watched.cpu_times()[:2])
    for number in range(TURNS):
        await ask(client, number, "cpu")
    return (sum(watched.cpu_times()[:2]) - before) / TURNS


async def many_at_once(
    report: Report, model: Model, process: AgentProcess, client: httpx.AsyncClient, cpu: float
) -> None:
    model.seconds, model.asked = MODEL_SECONDS, []
    watched, began = psutil.Process(process.pid), time.monotonic()
    before = sum(watched.cpu_times()[:2])
    limits = httpx.Limits(max_connections=CHATS)
    async with httpx.AsyncClient(base_url=client.base_url, limits=limits, timeout=120) as wide:
        times = await asyncio.gather(
            *(ask(wide, number, "together") for number in range(CHATS)), return_exceptions=True
        )
    used, passed = sum(watched.cpu_times()[:2]) - before, time.monotonic() - began
    report.note(
        f"the server got {used:.1f} s of CPU in {passed:.1f} s; load of the machine {psutil.getloadavg()[0]:.1f}"
    )
    errors = [one for one in times if isinstance(one, BaseException)]
    report.bar(
        f"{CHATS} chats at once", bar="0 errors", reached=f"{len(errors)} {errors[:1] or ''}".strip(), ok=not errors
    )
    p95 = quantiles([one for one in times if isinstance(one, float)], n=20)[-1]
    most = MODEL_SECONDS + 1.25 * CHATS * cpu
    report.bar(
        "p95 of them", bar=f"<= {most:.2f} s ({MODEL_SECONDS:.0f} s + 1.25 x {CHATS} x {cpu * 1000:.1f} ms of CPU)",
        reached=f"{p95:.2f} s", ok=p95 <= most,
    )  # fmt: skip
    at_once = model.most_at_once()
    report.bar(
        "model calls at the same time, which hold no connection", bar=f"> {POOL} (the pool)", reached=str(at_once), ok=at_once > POOL
    )  # fmt: skip
    model.seconds = 0.0


async def first_event(report: Report, client: httpx.AsyncClient) -> None:
    async with bare_route() as bare:
        ours, theirs = [], []
        for number in range(TURNS):
            ours.append(await until_event(client, "/api/chat", {"message": "hello", "thread_id": f"sse-{number}"}))
            theirs.append(await until_event(bare, "/", {}))
    ratio = median(ours[5:]) / median(theirs[5:])
    report.bar(
        "first event / that of a bare SSE route",
        bar="<= 3x",
        reached=f"{ratio:.2f}x ({median(ours[5:]) * 1000:.1f} ms / {median(theirs[5:]) * 1000:.1f} ms)",
        ok=ratio <= 3,
    )


async def until_event(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> float:
    began = time.perf_counter()
    async with client.stream("POST", path, json=body, headers={"Accept": "text/event-stream"}) as answer:
        seconds = 0.0
        async for line in answer.aiter_lines():
            if line.startswith("data:") and not seconds:
                seconds = time.perf_counter() - began
    return seconds


@asynccontextmanager
async def bare_route() -> AsyncIterator[httpx.AsyncClient]:
    async def route(request: Request) -> EventSourceResponse:
        await request.json()

        async def events() -> AsyncIterator[dict[str, str]]:
            yield {"event": "token", "data": "hello"}

        return EventSourceResponse(events())

    port = free_port()
    app = Starlette(routes=[Route("/", route, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    await task


async def memory(report: Report, before: float, process: AgentProcess, client: httpx.AsyncClient) -> None:
    for start in range(0, MANY, 10):
        await asyncio.gather(*(ask(client, number, "memory") for number in range(start, start + 10)))
    after = rss(process)
    report.bar(
        f"RSS after {MANY} more chats", bar="<= 1.3x", reached=f"{after / before:.2f}x ({before:.0f} -> {after:.0f} MB)", ok=after <= 1.3 * before
    )  # fmt: skip
