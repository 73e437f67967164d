"""Kill the process that runs a plan, at any moment, until the plan has ended: no recorded step is lost, repeated or another's."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from agent.errors import NotFound
from agent.orchestration import store
from agent.runtime import Runtime
from agent.testing.processes import agent_process
from benchmarks.report import Report

KILLS, STEPS, RESCUES = 50, 60, 12
PROGRAM = """
import asyncio, sys
from agent.orchestration import AgentOrchestrator, BaseAgent

class Marks(BaseAgent):
    async def execute(self, action, input, **context):
        if action == "boom":
            raise ValueError("planted")
        await asyncio.sleep(input["seconds"])
        with open(sys.argv[1], "a") as file:
            file.write(context["step_id"] + "\\n")
        return {"step": context["step_id"], "behind": sorted(context["results"])}

def steps(letter, count):
    return [{"id": f"{letter}{at}", "agentId": "marks", "input": {"seconds": 0.05 + at % 7 * 0.03},
             "dependencies": [f"{letter}{one}" for one in {at // 2, at // 3} if one < at]} for at in range(count)]

async def main(key, many, rescues):
    orchestrator = AgentOrchestrator()
    await orchestrator.register_agent(Marks("marks"))
    boom = {"id": "boom", "agentId": "marks", "dependencies": [f"s{at}" for at in range(many)]}
    plan = {"id": key, "steps": [*steps("s", many), boom], "fallbackPlan": {"steps": steps("r", rescues)}}
    print("started", flush=True)
    result = await orchestrator.orchestrate(plan, idempotency_key=key)
    print("ended", result.success, len(result.results), flush=True)

asyncio.run(main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How often a process was killed, how many plans came to their end all the same, and what was wrong with them."""

    kills: int = 0
    plans: int = 0
    lost: int = 0
    repeated: int = 0
    swapped: int = 0
    fallbacks_wrong: int = 0

    @property
    def wrong(self) -> int:
        """Return how many steps were lost, repeated after they were recorded, or got another's result."""
        return self.lost + self.repeated + self.swapped


async def race(runtime: Runtime, folder: Path, *, kills: int, steps: int = STEPS, seed: int = 4) -> Outcome:
    """Run plans one after the other, and kill whoever runs them, until there were so many kills and the last plan has ended."""
    outcome, chance = Outcome(), random.Random(seed)
    while outcome.kills < kills:
        await _one_plan(runtime, folder, f"long{outcome.plans}", outcome, kills, steps, chance)
        outcome.plans += 1
    return outcome


async def _one_plan(
    runtime: Runtime, folder: Path, key: str, outcome: Outcome, kills: int, steps: int, chance: random.Random
) -> None:
    marks = folder / f"{key}.marks"
    marks.touch()
    recorded: dict[str, int] = {}
    while True:
        process_of = agent_process(
            runtime.settings,
            "-c",
            PROGRAM,
            str(marks),
            key,
            str(steps),
            str(RESCUES),
            folder=folder,
            AGENT_PLAN_LEASE_SECONDS="2",
        )
        async with process_of as process:
            await process.until_said("started")
            last = outcome.kills >= kills
            with suppress(TimeoutError):
                async with asyncio.timeout(120 if last else chance.uniform(0.1, 1.6)):
                    await process.until_said("ended")
            ended = "ended True" in process.said
            process.kill()
            await process.process.wait()
        outcome.kills += not ended
        ran = Counter(marks.read_text().split())
        outcome.repeated += sum(ran[step] != times for step, times in recorded.items())
        rows = await _rows(key, runtime)
        recorded = {row["step_id"]: ran[row["step_id"]] for row in rows if row["status"] == "succeeded"}
        outcome.swapped += sum(row["output"]["step"] != row["step_id"] for row in rows if row["status"] == "succeeded")
        if ended:
            wanted = {f"s{at}" for at in range(steps)} | {f"r{at}" for at in range(RESCUES)}
            outcome.lost += len(wanted - set(ran)) + len(wanted - set(recorded))
            kinds = Counter(
                one["kind"]
                for one in await runtime.all(
                    "select kind from agents.plan_events e join agents.plans p on p.id = e.run_id where e.tenant_id = %(tenant_id)s and p.plan_id like %(key)s || '%%'",
                    key=key,
                )
            )
            outcome.fallbacks_wrong += kinds["plan:fallback"] != 1
            outcome.repeated += kinds["step:completed"] - len(wanted)
            return


async def _rows(key: str, runtime: Runtime) -> list[dict[str, Any]]:
    """Return what is recorded of a plan and its fallback."""
    try:
        run_id: UUID | None = await store.find(key, runtime=runtime)
    except NotFound:
        return []
    found: list[dict[str, Any]] = []
    while run_id is not None:
        found += await store.recorded(run_id, runtime=runtime)
        run_id = (await store.row_of(run_id, runtime=runtime))["fallback_id"]
    return found


async def measure(report: Report, runtime: Runtime, folder: Path) -> None:
    """Kill fifty times."""
    outcome = await race(runtime, folder, kills=KILLS)
    reached = f"{outcome.lost} lost, {outcome.repeated} repeated, {outcome.swapped} swapped in {outcome.plans} plans"
    report.bar(
        f"recorded steps after {outcome.kills} kills",
        bar="0 lost, repeated or swapped",
        reached=reached,
        ok=not outcome.wrong,
    )
    report.bar(
        "plan:fallback under kills",
        bar="exactly once",
        reached=f"{outcome.plans - outcome.fallbacks_wrong} of {outcome.plans} plans",
        ok=not outcome.fallbacks_wrong,
    )
