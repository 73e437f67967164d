"""A process that is killed loses no plan, and no step that is recorded is done again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.orchestration import AgentOrchestrator, BaseAgent, store
from agent.orchestration.journal import PlanLost
from agent.orchestration.plan import read_plan
from agent.runtime import Runtime
from agent.testing.processes import agent_process
from agent.testing.running import running

PROGRAM = """
import asyncio, os, sys
from agent.orchestration import AgentOrchestrator, BaseAgent

class Marks(BaseAgent):
    async def execute(self, action, input, **context):
        await asyncio.sleep(input["seconds"])
        with open(sys.argv[1], "a") as file:
            file.write(context["step_id"] + "\\n")
        return {"step": context["step_id"], "behind": sorted(context["results"])}

async def main():
    orchestrator = AgentOrchestrator()
    await orchestrator.register_agent(Marks("marks"))
    orchestrator.on("plan:fallback", lambda event: print("fallback", flush=True))
    print("started", flush=True)
    steps = [{"id": f"s{at}", "agentId": "marks", "input": {"seconds": 0.05 + at % 7 * 0.03},
              "dependencies": [f"s{one}" for one in {at // 2, at // 3} if one < at]} for at in range(60)]
    result = await orchestrator.orchestrate({"id": "long", "steps": steps}, idempotency_key="long")
    print("ended", result.success, len(result.results), flush=True)

asyncio.run(main())
"""


async def test_a_plan_survives_kills_and_repeats_no_recorded_step(runtime: Runtime, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    recorded_before: dict[str, int] = {}
    extra = 0
    for _kill in range(3):
        async with agent_process(
            runtime.settings, "-c", PROGRAM, str(marks), folder=tmp_path, AGENT_PLAN_LEASE_SECONDS="2"
        ) as process:
            await process.until_said("started")
            before = len(marks.read_text().split())
            async with asyncio.timeout(30):
                while len(marks.read_text().split()) < before + random.randint(6, 14):
                    await asyncio.sleep(0.01)
            process.kill()
            await process.process.wait()
        run_id = await store.find("long", runtime=runtime)
        rows = await store.recorded(run_id, runtime=runtime)
        ran = Counter(marks.read_text().split())
        assert all(ran[step] == times for step, times in recorded_before.items()), (recorded_before, ran)
        recorded_before = {row["step_id"]: ran[row["step_id"]] for row in rows if row["status"] == "succeeded"}
        extra += sum(row["status"] == "running" for row in rows)
    async with agent_process(
        runtime.settings, "-c", PROGRAM, str(marks), folder=tmp_path, AGENT_PLAN_LEASE_SECONDS="2"
    ) as process:
        await process.until_said("ended True 60")
    ran = Counter(marks.read_text().split())
    assert set(ran) == {f"s{at}" for at in range(60)}
    assert all(ran[step] == times for step, times in recorded_before.items())
    assert sum(ran.values()) - 60 <= extra  # only what ran while its process was killed may have run twice
    rows = await store.recorded(run_id, runtime=runtime)
    assert all(row["output"]["step"] == row["step_id"] for row in rows)  # no result is another's
    kinds = Counter((one.kind, one.step_id) for one in await store.events(run_id, runtime=runtime))
    assert all(kinds["step:completed", f"s{at}"] == 1 for at in range(60))
    assert kinds["plan:completed", None] == 1


class Slow(BaseAgent):
    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        await asyncio.sleep(input["seconds"])
        return context["step_id"]


async def test_who_was_silent_too_long_writes_nothing_more(runtime: Runtime) -> None:
    owned = await store.begin(read_plan({"id": "p", "steps": [{"id": "a", "agentId": "w"}]}), runtime=runtime)
    assert owned is not None
    await store.step_started(owned, "a", {}, runtime=runtime)
    assert await store.claim(owned.run_id, runtime=runtime) is None  # somebody runs it
    await runtime.execute("update agents.plans set lease_until = now() where tenant_id = %(tenant_id)s")
    other = await store.claim(owned.run_id, runtime=runtime)
    assert other is not None
    values = {
        "kind": "step:completed",
        "status": "succeeded",
        "attempts": 1,
        "output": "1",
        "error": None,
        "duration_ms": 1.0,
    }
    with pytest.raises(PlanLost):
        await store.step_ended(owned, "a", {}, runtime=runtime, **values)
    with pytest.raises(PlanLost):
        await store.end(owned, "failed", "x", kind="plan:completed", payload={}, fallback=None, runtime=runtime)
    await store.step_ended(other, "a", {}, runtime=runtime, **values)
    assert [row["status"] for row in await store.recorded(owned.run_id, runtime=runtime)] == ["succeeded"]


async def test_a_process_that_ends_by_itself_leaves_its_plans_to_others_at_once_with_their_deadline(runtime: Runtime) -> None:  # fmt: skip
    plan = {"id": "p", "timeout": 4_000, "steps": [{"id": "a", "agentId": "w", "input": {"seconds": 60}}]}
    async with running(runtime.settings) as first:
        one = AgentOrchestrator(first)
        await one.register_agent(Slow("w"))
        started = asyncio.Event()
        one.on("step:started", lambda _event: started.set())
        left = asyncio.create_task(one.orchestrate(plan))
        await started.wait()
    left.cancel()
    run_id = await store.find("p", runtime=runtime)
    stranger = AgentOrchestrator(runtime)
    assert await stranger.recover() == 0  # it does not know the agent
    other = AgentOrchestrator(runtime)
    await other.register_agent(Slow("w"))
    assert await other.recover() == 1
    async with asyncio.timeout(6):
        result = await other.result(run_id, wait=True)
    assert result.errors == {"a": "The plan did not end within its timeout of 4000 ms."}
    assert 3_900 < result.duration < 4_800
