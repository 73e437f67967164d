"""Carry out one stored call of a tool, in a process that test_created_tools_killed.py kills at any moment.

usage: python killed_tools.py HOME DATABASE_URL SECRET
"""

from __future__ import annotations

import asyncio
import sys

from agent.approval.human_approval import human_approval_queue
from agent.errors import AlreadyDecided
from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime, use_runtime
from agent.settings import Settings
from agent.threads import threads
from agent.types import UNFINISHED, CallKey

KEY = CallKey(thread_id="t", turn=1, round=1, ordinal=1)


async def main() -> None:
    home, url, secret = sys.argv[1:]
    runtime = await open_runtime(Settings(_env_file=None, home=home, database_url=url, secret=secret, user="tester"))
    print("ready", flush=True)
    with use_runtime(runtime):
        taken = await safe_executor.take(KEY)
        result = await safe_executor.execute_taken(taken) if taken else {"status": "waiting"}
        while result["status"] in UNFINISHED:
            (stored,) = [call for call in await threads.calls("t", 1) if call.key == KEY]
            if stored.status == "done":
                break
            try:
                await human_approval_queue.decide(stored.approval_id, "approve")
            except AlreadyDecided:
                await asyncio.sleep(0.01)
            result = await safe_executor.outcome_of(stored)
    await runtime.close()


asyncio.run(main())
