"""Takes back what the steps of a plan did, when the plan fails or is cancelled: the last that ended first, each once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import agent.orchestration.store as store
from agent.orchestration.steps import Scope, Task, done, tried

_SECONDS = 300.0


async def compensate(scope: Scope) -> list[str]:
    """Take back what is recorded as done and has a compensation; return the steps for which that failed. What is taken back stays so.

    All of it has five minutes. What is left is shown as an error of the plan, for a human to look at.
    """
    steps = {step.id: step for step in scope.plan.steps if step.compensation is not None}
    if not steps:
        return []
    rows = await store.recorded(scope.owned.run_id, runtime=scope.work.runtime)
    ended = [
        row["step_id"]
        for row in sorted(rows, key=_when_ended, reverse=True)
        if row["role"] == "step" and row["status"] == "succeeded"
    ]
    known = {row["part_of"]: row["status"] for row in rows if row["role"] == "compensation"}
    left = [name for name in ended if name in steps and known.get(name) not in ("succeeded", "failed")]
    failed = [name for name, status in known.items() if status == "failed"]
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            while left:
                step, name = steps[left[0]], left[0]
                back = step.compensation
                assert back is not None  # noqa: S101  # only those are looked at
                task = Task(
                    name=f"{name}~back"[:220], step=step.model_copy(update={"when": None}), agent_id=back.agent_id, action=back.action,
                    given=back.input, known=scope.known(), role="compensation", policy=step.retry_policy,
                )  # fmt: skip
                if (await done(scope, task, tried)).error is not None:
                    failed.append(name)
                left.pop(0)
    return [*failed, *left]


def _when_ended(row: dict[str, Any]) -> tuple[float, str]:
    return (row["finished_at"].timestamp() if row["finished_at"] else 0.0, row["step_id"])
