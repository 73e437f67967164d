"""Ask, approve and finish turns, in a process that test_kill.py kills at any moment.

usage: python killed_turns.py HOME DATABASE_URL SECRET [TURNS]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.errors import AlreadyDecided, ThreadBusy
from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime
from agent.settings import Settings
from agent.testing.scripted_model import call, scripted_client


def next_step(messages: list[Any]) -> Any:
    """Answer as a model that adds one to the counter, and says so when it has the result."""
    if messages[-1].type == "tool":
        return "Added."
    return call("execute_sql", sql="update public.counter set n = n + 1 where id = 1")


async def main() -> None:
    home, url, secret, *turns = sys.argv[1:]
    settings = Settings(_env_file=None, home=home, database_url=url, secret=secret, user="tester")
    runtime = await open_runtime(settings, model=scripted_client([next_step], repeat_last=True))
    print("ready", flush=True)
    for _ in range(int(turns[0])) if turns else itertools.count():
        for pending in await human_approval_queue.get_pending_approvals(runtime=runtime):
            try:
                await human_approval_queue.decide(pending["id"], "approve", runtime=runtime)
            except AlreadyDecided:
                continue
            await safe_executor.run_approved(pending["id"], runtime=runtime)
        try:
            answer = await chat.answer("Add one", thread_id="t", runtime=runtime)
            if answer.status == "waiting":
                await human_approval_queue.decide(answer.approvals[0].id, "approve", runtime=runtime)
                await chat.finish("t", runtime=runtime)
        except (ThreadBusy, AlreadyDecided):
            await asyncio.sleep(0.05)
    await runtime.close()


asyncio.run(main())
