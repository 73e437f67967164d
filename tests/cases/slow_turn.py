"""Run a turn whose model waits for a line before it answers, in another process than test_bad_input.py.

usage: python slow_turn.py HOME DATABASE_URL, with the secret as the first line of standard input
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agent.chat import chat
from agent.runtime import open_runtime
from agent.settings import Settings
from agent.testing.scripted_model import scripted_client


def wait(messages: Any) -> str:
    print("asked", flush=True)
    sys.stdin.readline()
    return "First."


async def main() -> None:
    home, url = sys.argv[1:]
    secret = sys.stdin.readline().strip()
    settings = Settings(_env_file=None, home=home, database_url=url, secret=secret, user="other")
    runtime = await open_runtime(settings, model=scripted_client([wait]))
    print((await chat.answer("First?", thread_id="t", runtime=runtime)).text)
    await runtime.close()


asyncio.run(main())
