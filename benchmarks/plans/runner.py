"""Run many plans of steps that do nothing, with our engine or with bare DBOS: `python -m benchmarks.plans.runner ours|dbos PLANS STEPS`.

It prints `ready`, waits for a line on its standard input, and prints how many seconds the plans took. The databases come from the environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import Any
from uuid import uuid4

from agent.orchestration import AgentOrchestrator, BaseAgent
from agent.runtime import open_runtime


class Nothing(BaseAgent):
    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        return {"step": context["step_id"]}


def plan_of(name: str, steps: int) -> dict[str, Any]:
    """Return a plan of steps one after the other."""
    return {
        "id": name,
        "parallel": False,
        "steps": [{"id": f"s{at}", "agentId": "n", "input": {"at": at}} for at in range(steps)],
    }


async def ours(plans: int, steps: int) -> float:
    runtime = await open_runtime()
    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(Nothing("n"))
    await orchestrator.orchestrate(plan_of("warm", steps))
    await asyncio.to_thread(_wait)
    began = time.perf_counter()
    results = await asyncio.gather(*(orchestrator.orchestrate(plan_of(f"p{at}", steps)) for at in range(plans)))
    took = time.perf_counter() - began
    assert all(one.success and len(one.results) == steps for one in results)
    await runtime.close()
    return took


def dbos(plans: int, steps: int) -> float:
    from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID

    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS(config={
        "name": "bare", "system_database_url": os.environ["BARE_URL"], "dbos_system_schema": "bare", "executor_id": uuid4().hex,
        "serializer": DBOSPortableJSONSerializer(), "enable_otlp": False, "log_level": "ERROR", "application_version": "1",
    })  # fmt: skip

    @DBOS.step(name="step")
    async def step(at: int) -> dict[str, Any]:
        return {"step": at}

    @DBOS.workflow(name="plan")
    async def plan(steps: int) -> list[Any]:
        return [await step(at) for at in range(steps)]

    DBOS.launch()

    async def every() -> float:
        async def one() -> None:
            with SetWorkflowID(uuid4().hex):
                assert len(await plan(steps)) == steps

        await one()
        await asyncio.to_thread(_wait)
        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(plans)))
        return time.perf_counter() - began

    took = asyncio.run(every())
    DBOS.destroy()
    return took


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    who, plans, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print("took", asyncio.run(ours(plans, steps)) if who == "ours" else dbos(plans, steps), flush=True)
