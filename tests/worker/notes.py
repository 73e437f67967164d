"""An application with notes, a model that changes them, and how to wait for what processes do to them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.openai_server import Reply, text, tool_calls
from agent.threads import threads

TAKEOVER_SECONDS = 30.0
APPROVE = HumanDecision(decision="approve")


def change(note: int) -> str:
    return f"UPDATE public.notes SET text = text || '!' WHERE id = {note}"


@dataclass
class Model:
    """Answers "change note N" by the statement, then by a sentence; "slow" questions take a minute the first time."""

    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)

    def reply(self, body: dict[str, Any]) -> Reply:
        messages = body["messages"]
        question = next(m["content"] for m in reversed(messages) if m["role"] == "user")
        self.asked.append(question)
        if "slow" in question and self.asked.count(question) == 1:
            return text("too late", delay=60)
        note = re.search(r"change note (\d+)", question)
        if note and messages[-1]["role"] == "user":
            return tool_calls(("execute_sql", {"sql": change(int(note[1]))}))
        return text(f"Answered: {question}", delay=self.seconds)


def note_texts(runtime: Runtime) -> dict[int, str]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return dict(conn.execute("select id, text from public.notes order by id").fetchall())


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = TAKEOVER_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := await condition():
            return value
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")


async def status(runtime: Runtime, thread: str) -> str:
    turns = await threads.turns(thread, runtime=runtime)
    return str(turns[-1]["status"]) if turns else ""
