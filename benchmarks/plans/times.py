"""How near plans are to their critical path, how exactly a timeout is kept, and many sessions at once."""

from __future__ import annotations

import asyncio
import random
import time
from statistics import mean
from typing import Any
from uuid import uuid4

from agent.orchestration import AgentOrchestrator, BaseAgent
from agent.orchestration.sessions import AgentRequest, act
from agent.runtime import Runtime
from benchmarks.report import Report

DAGS, AT_ONCE, TIMEOUTS, SESSIONS = 200, 4, 20, 1_000


class Sleeps(BaseAgent):
    """Takes as long as its input says, and notes whether it was ended early."""

    def __init__(self) -> None:
        super().__init__("s")
        self.started = self.cancelled = 0

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        self.started += 1
        try:
            await asyncio.sleep(input["seconds"])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def random_dag(name: str, chance: random.Random) -> tuple[dict[str, Any], float]:
    """Return a plan of 5 to 30 steps of 50 to 300 ms, and the seconds of its critical path."""
    ends: list[float] = []
    steps = []
    for at in range(chance.randint(5, 30)):
        seconds, behind = chance.uniform(0.05, 0.3), chance.sample(range(at), min(at, chance.randint(0, 3)))
        ends.append(seconds + max((ends[one] for one in behind), default=0.0))
        steps.append(
            {
                "id": f"s{at}",
                "agentId": "s",
                "input": {"seconds": seconds},
                "dependencies": [f"s{one}" for one in behind],
            }
        )
    chance.shuffle(steps)
    return {"id": name, "steps": steps}, max(ends)


async def measure(report: Report, runtime: Runtime) -> None:
    """Run plans and sessions in this process."""
    orchestrator, agent = AgentOrchestrator(runtime), Sleeps()
    await orchestrator.register_agent(agent)
    await _makespans(report, orchestrator, runtime)
    await _timeouts(report, orchestrator, agent)
    await _sessions(report, runtime)


async def _makespans(report: Report, orchestrator: AgentOrchestrator, runtime: Runtime) -> None:
    dags = [random_dag(f"dag{at}", random.Random(at)) for at in range(DAGS)]
    free = asyncio.Semaphore(AT_ONCE)
    await orchestrator.orchestrate(random_dag("warm", random.Random(DAGS))[0])  # connections are opened once

    async def over(plan: dict[str, Any], critical: float) -> tuple[float, float]:
        """Return how much longer than its critical path a plan took, beside the same sleeps in bare tasks that commit."""
        async with free:
            bare = await _bare(plan, runtime)
            result = await orchestrator.orchestrate(plan)
        assert result.success, result.errors
        return result.duration / 1000 / critical - 1, bare / critical - 1

    found = await asyncio.gather(*(over(*one) for one in dags))
    ours, bare = (sorted(each) for each in zip(*found, strict=True))
    within = sum(one <= 0.05 for one in ours)
    reached = f"mean {mean(ours):.1%}, p95 {ours[int(DAGS * 0.95)]:.1%}, {within} of {DAGS} plans (bare tasks with one commit a step: mean {mean(bare):.1%}, p95 {bare[int(DAGS * 0.95)]:.1%})"
    report.bar(f"above the critical path, {DAGS} random plans", bar="<= 5 %", reached=reached, ok=within == DAGS)


async def _bare(plan: dict[str, Any], runtime: Runtime) -> float:
    """Return how long the same sleeps take in tasks that wait for each other, each with one bare commit."""
    began, steps = time.perf_counter(), {one["id"]: one for one in plan["steps"]}
    tasks: dict[str, asyncio.Task[None]] = {}

    async def one(step: dict[str, Any]) -> None:
        await asyncio.gather(*(task(name) for name in step["dependencies"]))
        await asyncio.sleep(step["input"]["seconds"])
        await runtime.execute(
            "insert into agents.plan_values (digest, value) values (%(digest)s, '1')", digest=uuid4().hex
        )

    def task(name: str) -> asyncio.Task[None]:
        if name not in tasks:
            tasks[name] = asyncio.create_task(one(steps[name]))
        return tasks[name]

    await asyncio.gather(*map(task, steps))
    return time.perf_counter() - began


async def _timeouts(report: Report, orchestrator: AgentOrchestrator, agent: Sleeps) -> None:
    agent.started = agent.cancelled = 0
    steps = [{"id": f"s{at}", "agentId": "s", "input": {"seconds": 60}} for at in range(10)]
    plans = [{"id": f"t{at}", "steps": steps, "timeout": 300 + 37 * at} for at in range(TIMEOUTS)]
    results = await asyncio.gather(*map(orchestrator.orchestrate, plans))
    late = max(result.duration - plan["timeout"] for result, plan in zip(results, plans, strict=True))
    reached = f"{late:.0f} ms late at most, {agent.cancelled} of {agent.started} steps that ran were cancelled"
    report.bar(
        f"{TIMEOUTS} timeouts of plans",
        bar="within 500 ms, every step",
        reached=reached,
        ok=late <= 500 and agent.cancelled == agent.started > 0,
    )


async def _sessions(report: Report, runtime: Runtime) -> None:
    began = time.perf_counter()
    starts = [
        AgentRequest(action="start_session", learner_id=f"learner_{at}", data={"subject": "mathematics"})
        for at in range(SESSIONS)
    ]
    answers = await asyncio.gather(*(act(one, runtime=runtime) for one in starts))
    started = time.perf_counter() - began
    ready = sum(one["status"] == "ready" for one in answers)
    asked = [
        AgentRequest(
            action="process_interaction", session_id=one["sessionId"], data={"skill": "sums", "correct": at % 2 == 0}
        )
        for at, one in enumerate(answers)
    ]
    done = await asyncio.gather(*(act(one, runtime=runtime) for one in asked))
    right = sum(one["status"] == "done" and one["result"]["correct"] is (at % 2 == 0) for at, one in enumerate(done))
    took = time.perf_counter() - began
    reached = f"{ready} ready after {started:.1f} s, {right} answers taken right after {took:.1f} s"
    report.bar(
        f"{SESSIONS:,} concurrent sessions",
        bar="all ready, none mixed up",
        reached=reached,
        ok=ready == right == SESSIONS,
    )
