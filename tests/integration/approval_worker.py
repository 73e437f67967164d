"""Decides approvals in a process of its own, to be raced with others. Usage: SETTINGS_JSON DECISION ID NAME..."""

from __future__ import annotations

import asyncio
import json
import sys

from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings


async def decide(approval: int, decision: str, name: str, runtime: Runtime) -> str:
    arguments = {"sql": f"UPDATE clients SET notes = 'by {name}' WHERE id = 1"} if decision == "edit" else None
    try:
        decided = await safe_executor.decide(approval, decision, decided_by=name, arguments=arguments, runtime=runtime)
    except AgentError as error:
        return type(error).__name__
    await safe_executor.run_approved(decided.id, runtime=runtime)
    return decided.status


async def main(settings: Settings, decision: str, approval: int, names: list[str]) -> None:
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        kinds = [("approve", "reject")[place % 2] if decision == "either" else decision for place in range(len(names))]
        outcomes = await asyncio.gather(
            *(decide(approval, kind, name, runtime) for kind, name in zip(kinds, names, strict=True))
        )
        print(json.dumps(outcomes), flush=True)
    await runtime.close()


asyncio.run(main(Settings(_env_file=None, **json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
