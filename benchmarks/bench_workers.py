"""Kill one of two workers with -9 under load: each approved action happens once, each turn ends, and what it held is taken over."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from agent.chat import ChatAnswer, chat
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.openai_server import OpenAIServer, Reply, text, tool_calls
from agent.testing.processes import agent_process
from agent.testing.running import running
from benchmarks.report import Report

TURNS, ALONE = 100, 100
MODEL_SECONDS = 0.5
MOST_SECONDS = 180.0
TAKEOVER_SECONDS = 30.0
AT_ONCE = 8  # what a pool of ten connections bears beside the listener
_HELD = "select kind, subject from agents.open_work where ready_at > now() + interval '1 second'"


@dataclass
class Model:
    """Answers "change note N" by the statement, then, after a while, by a sentence."""

    answered: Counter[str] = field(default_factory=Counter)

    def reply(self, body: dict[str, Any]) -> Reply:
        messages = body["messages"]
        question = next(one["content"] for one in reversed(messages) if one["role"] == "user")
        if messages[-1]["role"] == "user":
            return tool_calls(("execute_sql", {"sql": change(int(re.findall(r"\d+", question)[0]))}))
        self.answered[question] += 1
        return text(f"Answered: {question}", delay=MODEL_SECONDS)


def change(note: int) -> str:
    return f"UPDATE public.notes SET text = text || '!' WHERE id = {note}"


async def measure(report: Report) -> None:
    """Measure the bars of the workers."""
    cluster, model = Cluster(), Model()
    try:
        settings = cluster.database(cluster.template("blank"))
        with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
            conn.execute("create table public.notes (id int primary key, text text)")
            conn.execute("insert into public.notes select n, 'n' from generate_series(1, %s) n", [TURNS + ALONE])
        setup.setup_logins(settings.database_url.get_secret_value(), settings.secret.get_secret_value())
        async with OpenAIServer(choose=model.reply) as server:
            chosen = {"model": "openai:scripted", "openai_api_key": "none", "openai_base_url": server.url}
            own = Settings(_env_file=None, **{**settings.model_dump(exclude_unset=True), **chosen})
            async with running(own) as runtime:
                await one_is_killed(report, model, runtime, server)
    finally:
        cluster.close()


async def one_is_killed(report: Report, model: Model, runtime: Runtime, server: OpenAIServer) -> None:
    requests = await asked(runtime)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            agent_process(runtime.settings, "worker", folder=Path(folder), model=server) as first,
            agent_process(runtime.settings, "worker", folder=Path(folder), model=server) as second,
        ):
            await first.until_said("Working")
            await second.until_said("Working")
            for number in requests:
                await approvals.decide(number, HumanDecision(decision="approve"), via="api", runtime=runtime)
            while sum(model.answered.values()) < TURNS // 4:
                await asyncio.sleep(0.02)
            first.kill()
            killed = time.monotonic()
            held = await held_now(runtime)
            takeover, drained = await times_until_done(runtime, held, killed)
    await judge(report, runtime, held=len(held), takeover=takeover, drained=drained)


async def asked(runtime: Runtime) -> list[int]:
    """Ask about every action, and return the numbers of the requests."""
    bounded = asyncio.Semaphore(AT_ONCE)

    async def turn(note: int) -> ChatAnswer:
        async with bounded:
            return await chat.answer(f"change note {note}", thread_id=f"t{note}", runtime=runtime)

    turns = await asyncio.gather(*(turn(note) for note in range(1, TURNS + 1)))
    alone = [
        await safe_executor.execute("execute_sql", {"sql": change(note)}, wait=False, runtime=runtime)
        for note in range(TURNS + 1, TURNS + ALONE + 1)
    ]
    return [answer.approvals[0].id for answer in turns] + [one["approval_id"] for one in alone]


async def held_now(runtime: Runtime) -> set[tuple[str, str]]:
    """Return the work that a worker, the dead one or the other, holds."""
    return {(row["kind"], row["subject"]) for row in await runtime.all(_HELD)}


async def times_until_done(runtime: Runtime, held: set[tuple[str, str]], killed: float) -> tuple[float, float]:
    """Return the seconds from the kill until what was held then is done, and until everything is."""
    takeover = 0.0
    while time.monotonic() - killed < MOST_SECONDS:
        left = {
            (row["kind"], row["subject"]) for row in await runtime.all("select kind, subject from agents.open_work")
        }
        if not takeover and not held & left:
            takeover = time.monotonic() - killed
        if not left:
            return takeover, time.monotonic() - killed
        await asyncio.sleep(0.1)
    return takeover or MOST_SECONDS, MOST_SECONDS


async def judge(report: Report, runtime: Runtime, *, held: int, takeover: float, drained: float) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        texts = Counter(row[0] for row in conn.execute("select text from public.notes").fetchall())
        states = dict(
            conn.execute("select status, count(*)::int from agents.turns where status <> '' group by 1").fetchall()
        )
    actions, turns = TURNS + ALONE, states.get("done", 0) + states.get("waiting", 0)
    report.bar(
        f"{actions} approved actions under a kill -9 of one of two workers", bar="each once",
        reached=", ".join(f"{count} {text!r}" for text, count in texts.items()), ok=texts == {"n!": actions},
    )  # fmt: skip
    report.bar(f"{TURNS} turns", bar="finished or resumable", reached=str(states), ok=turns == TURNS)
    report.bar(
        f"takeover of what was held ({held})", bar=f"<= {TAKEOVER_SECONDS:.0f} s", reached=f"{takeover:.1f} s",
        ok=0 < takeover <= TAKEOVER_SECONDS,
    )  # fmt: skip
    report.note(f"everything was done {drained:.1f} s after the kill")
