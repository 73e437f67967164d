"""One campaign from end to end on the real graph: recorded turns, a variant of the instructions with a known effect, rehearsals, a verdict, a canary."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import psycopg
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from agent.chat import chat
from agent.graph.prompts import LAST_ROUND
from agent.optimization import SelfLearningOrchestrationService
from agent.optimization.optimizations import computed_again
from agent.optimization.rollout import RolloutWatch
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client

QUESTIONS, USUAL, GAIN, DISCORDANT = 160, 0.6, 0.25, 0.15
_QUESTION = re.compile(r"How many accounts are there\? (\d+)")
_SIGN = "Look twice."
_APPLICATION = (
    "create table public.accounts (id int primary key); insert into public.accounts select generate_series(1, 5);"
)


@dataclass(frozen=True)
class Campaign:
    """What one campaign came to."""

    same: str
    better: str
    claimed: float
    left_behind: int
    rehearsal_seconds: float
    rollback_seconds: float
    reproduced: bool


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _is_good(question: str, *, varied: bool) -> bool:
    """Draw whether a question is answered from its results: with the variant `GAIN` more often, and another draw for some questions."""
    draw = _share(question)
    if not varied:
        return draw < USUAL
    again = _share(f"again {question}") if _share(f"other {question}") < DISCORDANT else draw
    return again < USUAL + GAIN


def _answer(messages: Sequence[BaseMessage]) -> Any:
    """Read once and answer, or, where the draw is bad, read on until the rounds are used up."""
    asked = [found for one in messages if isinstance(one, HumanMessage) for found in _QUESTION.findall(one.text)]
    reads = 0
    for one in reversed(messages):
        if isinstance(one, HumanMessage) and one.text != LAST_ROUND:
            break
        reads += isinstance(one, ToolMessage)
    good = _is_good(asked[-1], varied=_SIGN in messages[0].text)
    if messages[-1].text == LAST_ROUND or reads >= (1 if good else 2):
        return "There are 5 accounts."
    return call("execute_sql", sql="select count(*) as n from public.accounts")


@asynccontextmanager
async def _opened() -> AsyncIterator[Runtime]:
    cluster = Cluster()
    try:
        settings = cluster.database(cluster.template("blank")).model_copy(
            update={
                "improve_apply": "allow",
                "improve_stages": "0.5",
                "improve_usd": 1e6,
                "improve_success_usd": 1.0,
                "max_rounds": 2,
            }
        )
        model = replace(scripted_client([_answer], repeat_last=True), prices={"scripted:model": (0.0, 0.0)})
        async with running(settings, model=model) as runtime:
            with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:  # type: ignore[union-attr]  # a cluster's settings have it
                conn.execute(_APPLICATION)
                for name, text in (("same", "{instructions}"), ("better", f"{{instructions}}\n{_SIGN}")):
                    conn.execute(
                        "insert into agents.prompt_variants values ('default', %s, %s, 'human', 'x')", (name, text)
                    )
                    conn.execute(
                        "insert into agents.learning_patterns (tenant_id, pattern_key, pattern_category, description, parameters, source, confidence_score)"
                        " values ('default', %s, 'x', '', %s, 'mined', 1)", (name, json.dumps({"prompt": name})),
                    )  # fmt: skip
            yield runtime
    finally:
        cluster.close()


async def run() -> Campaign:
    """Run the campaign."""
    async with _opened() as runtime:
        busy = asyncio.Semaphore(4)

        async def ask(number: int) -> None:
            async with busy:
                await chat.answer(f"How many accounts are there? {number}", thread_id=f"t{number}", runtime=runtime)

        await asyncio.gather(*(ask(number) for number in range(QUESTIONS)))
        learning = SelfLearningOrchestrationService(runtime)
        before = await _rows(runtime)
        ids = {one.pattern_key: one.pattern_id for one in await learning.list_patterns()}
        verdicts, began, reproduced = {}, time.monotonic(), True
        for name in ("better", "same"):  # the cases of the first are burnt, so they are given back to the second
            proposed = await learning.generate_optimization(ids[name])
            verdicts[name] = (proposed, await learning.test_optimization(proposed.optimization_id))
            again = await computed_again(proposed.optimization_id, runtime=runtime)
            stored = verdicts[name][1].evidence[2]
            reproduced = (
                reproduced and again is not None and (again.mean, again.lower) == (stored["mean"], stored["lower"])
            )
            await _unburn(runtime)
        took = (time.monotonic() - began) / (4 * QUESTIONS)
        left = await _rows(runtime) - before
        seconds = await _rollback(verdicts["better"][0].optimization_id, learning, runtime)
    same, better = verdicts["same"][1], verdicts["better"][1]
    return Campaign(same.verdict, better.verdict, better.actual_improvement, left, took, seconds, reproduced)


async def _rows(runtime: Runtime) -> int:
    async with runtime.connection() as conn:
        row = await (await conn.execute(
            "select (select count(*) from agents.turns) + (select count(*) from agents.tool_calls) + (select count(*) from agents.agent_memory)"
            " + (select count(*) from agents.agent_execution_log) + (select count(*) from agents.human_approval_queue) as n"
        )).fetchone()  # fmt: skip
    assert row is not None
    return int(row["n"])


async def _unburn(runtime: Runtime) -> None:
    async with runtime.connection() as conn:
        await conn.execute("delete from agents.optimization_cases")


async def _rollback(optimization_id: str, learning: SelfLearningOrchestrationService, runtime: Runtime) -> float:
    """Return the seconds from the turn with which the evidence against a canary is enough until it is taken back."""
    await learning.apply_optimization(optimization_id)
    watch = RolloutWatch(runtime)
    watch.start()
    try:
        await asyncio.sleep(1)  # the watch has just looked: the worst time
        async with runtime.connection() as conn:
            for number in range(120):
                thread, bad = uuid4().hex, number % 2 and number % 8 != 1
                await conn.execute(
                    "insert into agents.threads (thread_id, database_id, created_by, turn_count) values (%s, %s, 'x', 1)",
                    (thread, runtime.database_id),
                )
                await conn.execute(
                    "insert into agents.turns (thread_id, turn, status, question, error, arm, optimization_id, propensity, finished_at)"
                    " values (%s, 1, %s, 'q', %s, %s, %s, .5, now())",
                    (thread, "failed" if bad else "done", "x" if bad else None, "canary" if number % 2 else "usual", optimization_id),
                )  # fmt: skip
        began = time.monotonic()
        while (await learning.get_optimization(optimization_id)).status != "rolled_back":
            if time.monotonic() - began > 120:
                return 120.0
            await asyncio.sleep(0.1)
        return time.monotonic() - began
    finally:
        await watch.stop()
