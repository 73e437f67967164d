"""Execute approvals in a process that races with others or is killed: `effects_worker.py SETTINGS_AS_JSON ID...`."""

from __future__ import annotations

import asyncio
import json
import sys

from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime, use_runtime
from agent.settings import Settings


async def main(settings: Settings, approvals: list[int]) -> None:
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        print("ready", flush=True)
        sys.stdin.readline()
        for approval in approvals:
            result = await safe_executor.run_approved(approval)
            print(json.dumps([approval, result]), flush=True)
    await runtime.close()


asyncio.run(main(Settings(_env_file=None, **json.loads(sys.argv[1])), [int(item) for item in sys.argv[2:]]))
