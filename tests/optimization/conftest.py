"""A workflow that is replayed in this process, and recorded runs of agents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import agent.optimization.workflows as workflows
from agent.optimization import Case, Parameter, Replayed, Workflow, register
from agent.runtime import Runtime


def share_of(text: str) -> float:
    """A number between 0 and 1 that belongs to a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


@pytest.fixture
def shop() -> Iterator[Workflow]:
    """`shop`: with depth 2 a case succeeds 20 points more often than with depth 1, and every tenth cannot be judged."""

    async def cases(runtime: Runtime) -> Sequence[Case]:
        return [Case(case_id=f"case-{number:03}", part="ab"[number % 2]) for number in range(300)]

    async def replay(case: Case, parameters: Mapping[str, Any], runtime: Runtime) -> Replayed:
        if case.case_id.endswith("7"):
            return Replayed(success=None, reason="it sends mail")
        good = share_of(case.case_id) < 0.5 + 0.2 * (parameters.get("depth") == 2)
        return Replayed(success=good, seconds=1.0, cost_usd=0.001)

    async def current(runtime: Runtime) -> Mapping[str, Any]:
        return {"depth": 1}

    yield register(
        Workflow(
            name="shop", cases=cases, replay=replay, current=current, most_usd_a_case=0.001,
            parameters={"depth": Parameter(kind="integer", low=1, high=3)},
        )
    )  # fmt: skip
    workflows._REGISTERED.pop("shop")


def logged(count: int, *, task_type: str = "shop", planted: float = 0.3) -> list[dict[str, Any]]:
    """Runs whose success is higher with depth 2; the colour has nothing to do with it."""
    began = datetime.now(UTC) - timedelta(days=10)
    made = []
    for number in range(count):
        depth = 1 + (share_of(f"depth {number}") < 0.5)
        good = share_of(f"luck {number}") < 0.4 + planted * (depth == 2)
        made.append({
            "agent_name": "director", "task_id": f"task-{number}", "task_type": task_type, "execution_time": 1.0 + depth, "cost_usd": 0.01 * depth,
            "success": good, "steps": ["look", "think", "write"], "timestamp": (began + timedelta(hours=number / 4)).isoformat(),
            "parameters": {"depth": depth, "colour": "rg"[number % 2]},
        })  # fmt: skip
    return made
