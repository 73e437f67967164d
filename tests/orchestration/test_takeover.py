"""A process that is killed loses no plan, and no step that is recorded is done again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benchmarks.plans.kills import race

from agent.orchestration import AgentOrchestrator, BaseAgent, store
from agent.orchestration.journal import PlanLost
from agent.orchestration.plan import read_plan
from agent.runtime import Runtime
from agent.testing.running import running


async def test_a_plan_survives_kills_and_repeats_no_recorded_step(runtime: Runtime, tmp_path: Path) -> None:
    found = await race(runtime, tmp_path, kills=5, steps=30)
    assert (found.lost, found.repeated, found.swapped, found.fallbacks_wrong) == (0, 0, 0, 0), found
    assert found.kills >= 5


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
