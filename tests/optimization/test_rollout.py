"""How a change comes into force: what turns are drawn for, when a canary goes on or is taken back, and what was reached."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import agent.optimization.rollout as rollout
from agent.audit.log import audit_log
from agent.errors import ActionRefused
from agent.graph.parameters import WORKFLOW, InForce, choose, of_settings
from agent.optimization import SelfLearningOrchestrationService
from agent.optimization.optimizations import registration_hash
from agent.optimization.rollout import RolloutWatch
from agent.runtime import Runtime
from agent.settings import Settings

NOW = datetime.now(UTC)
Fill = Callable[..., None]


def change(status: str, *, share: float = 1.0, seed: str = "s", minutes: float = 10, **parameters: Any) -> InForce:
    return InForce(
        optimization_id=f"{seed}-id", parameters=parameters, status=status, share=share, seed=seed, since=NOW - timedelta(minutes=minutes)
    )  # fmt: skip


def test_turns_are_drawn_with_the_probability_that_is_stored_with_them() -> None:
    settings = Settings(improve_holdback=0.1, improve_explore='{"top_k": [5, 7]}', improve_explore_share=0.2)
    now = of_settings(settings)
    in_force = [change("applied", seed="a", max_rounds=12), change("canary", share=0.25, seed="c", memory_tokens=2000)]
    drawn = [choose(in_force, f"q{number}", now=NOW, settings=settings) for number in range(20_000)]
    shares = Counter(one.arm for one in drawn)
    assert abs(shares["holdback"] / 20_000 - 0.1) < 0.01
    assert abs(shares["canary"] / (shares["canary"] + shares["usual"]) - 0.25) < 0.015
    for one in drawn[:500]:
        expected = {
            "holdback": now, "usual": now | {"max_rounds": 12}, "canary": now | {"max_rounds": 12, "memory_tokens": 2000}
        }[one.arm]  # fmt: skip
        assert one.parameters == expected
        assert one.propensity == {"holdback": 0.1, "usual": 0.75, "canary": 0.25}[one.arm]
    assert choose(in_force, "q1", now=NOW, settings=settings) == choose(in_force, "q1", now=NOW, settings=settings)
    fresh = [change("applied", minutes=0.5, max_rounds=12)]  # everybody sees a change in its first minute
    assert {
        choose(fresh, str(number), now=NOW, settings=settings).parameters["max_rounds"] for number in range(300)
    } == {12}
    explored = [choose([], str(number), now=NOW, settings=settings) for number in range(5_000)]
    assert abs(sum(one.arm == "explored" for one in explored) / 5_000 - 0.2) < 0.02
    assert {one.propensity for one in explored} == {0.8, 0.1}
    assert choose([], "q", now=NOW, settings=Settings()).arm is None


@pytest.fixture
def turns(runtime: Runtime) -> Fill:
    """Record turns of a change: so many of an arm, so many of them good."""

    def fill(optimization_id: str, arm: str, count: int, good: int, *, cost: float = 0.01) -> None:
        with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
            for number in range(count):
                thread, failed = uuid4().hex, number * good // count == (number + 1) * good // count
                conn.execute(
                    "insert into agents.threads (tenant_id, thread_id, database_id, created_by, turn_count) values ('default', %s, %s, 'x', 1)",
                    (thread, runtime.database_id),
                )
                conn.execute(
                    "insert into agents.turns (tenant_id, thread_id, turn, status, question, answer, error, parameters, arm, optimization_id, propensity,"
                    " cost_usd, started_at, finished_at) values ('default', %s, 1, %s, 'q', 'a', %s, '{}', %s, %s, .5, %s, now(), now())",
                    (
                        thread,
                        "failed" if failed else "done",
                        "it failed" if failed else None,
                        arm,
                        optimization_id,
                        cost,
                    ),
                )

    return fill


async def proven(runtime: Runtime, name: str = "max_rounds", value: int = 12) -> str:
    """An optimization whose test was won."""
    registration = {"what": {name: value}, "seed": uuid4().hex, "worth": 0.05}
    evidence = [{"rung": "replay", "confirmed_on": 200, "against": of_settings(runtime.settings)}]
    async with runtime.connection() as conn:
        row = await (
            await conn.execute(
                "insert into agents.optimizations (agent_id, workflow_type, target, parameters, registration, registration_hash, status, verdict,"
                " evidence, cost_benefit_ratio, actual_improvement, created_by, tested_at)"
                " values ('learning-agent', %s, 't', %s, %s, %s, 'tested', 'better', %s, 9, .1, 'x', now()) returning optimization_id::text as id",
                (
                    WORKFLOW,
                    json.dumps({name: value}),
                    json.dumps(registration),
                    registration_hash(registration),
                    json.dumps(evidence),
                ),
            )
        ).fetchone()
    assert row is not None
    return str(row["id"])


def with_settings(runtime: Runtime, **changed: Any) -> tuple[Runtime, SelfLearningOrchestrationService]:
    acting = replace(runtime, settings=runtime.settings.model_copy(update={"improve_apply": "allow", **changed}))
    return acting, SelfLearningOrchestrationService(acting)


async def test_a_canary_goes_from_stage_to_stage_and_is_applied(runtime: Runtime, turns: Fill) -> None:
    _, learning = with_settings(runtime, improve_stages="0.25,0.5", improve_stage_turns=10)
    found = await proven(runtime)
    started = await learning.apply_optimization(found)
    assert (started.status, started.share, started.stage) == ("canary", 0.25, 0)
    with pytest.raises(ActionRefused, match="on trial"):
        await learning.apply_optimization(await proven(runtime, "top_k", 9))
    turns(found, "canary", 9, 9)
    turns(found, "usual", 28, 24)
    await learning.upkeep()
    assert (await learning.get_optimization(found)).stage == 0
    turns(found, "canary", 1, 1)
    await asyncio.gather(learning.upkeep(), learning.upkeep())  # two processes look at once
    second = await learning.get_optimization(found)
    assert (second.status, second.share, second.stage) == ("canary", 0.5, 1)
    turns(found, "canary", 10, 10)
    turns(found, "usual", 10, 8)
    await learning.upkeep()
    assert (await learning.get_optimization(found)).status == "applied"
    # What was reached is measured on turns after that, against those that were held back.
    assert (await learning.get_optimization_metrics("learning-agent")).total_improvement == 0
    turns(found, "usual", 100, 90, cost=0.01)
    turns(found, "holdback", 50, 30, cost=0.02)
    metrics = await learning.get_optimization_metrics("learning-agent")
    assert abs(metrics.total_improvement - 0.3) < 1e-9
    assert abs(metrics.total_cost_savings - 1.0) < 1e-9
    assert metrics.interval is not None
    assert 0.1 < metrics.interval[0] < 0.3 < metrics.interval[1]
    entries = [one for one in await audit_log.recent(limit=60, runtime=runtime) if one.subject == "optimizations"]
    assert len(entries) == 5  # proposed twice, begun, next stage, applied


async def test_a_harmful_canary_is_taken_back_in_the_background_and_so_is_a_broken_assignment(
    runtime: Runtime, turns: Fill
) -> None:
    acting, learning = with_settings(runtime, improve_stages="0.5", improve_stage_turns=1_000)
    harmful, skewed, late = (
        await proven(runtime),
        await proven(runtime, "top_k", 9),
        await proven(runtime, "parallelism", 3),
    )
    await learning.apply_optimization(harmful)
    turns(harmful, "usual", 60, 54)
    turns(harmful, "canary", 60, 24)
    watch = RolloutWatch(acting, seconds=0.05)
    watch.start()
    try:
        async with asyncio.timeout(60):
            while (await learning.get_optimization(harmful)).status == "canary":
                await asyncio.sleep(0.05)
    finally:
        await watch.stop()
    taken = await learning.get_optimization(harmful)
    assert (taken.status, "takes it back" in taken.rolled_back_because) == ("rolled_back", True)
    await learning.apply_optimization(skewed)
    turns(skewed, "usual", 100, 90)
    turns(skewed, "canary", 20, 20)
    await learning.upkeep()
    assert "assignment is broken" in (await learning.get_optimization(skewed)).rolled_back_because
    # Also a change that was applied long ago is taken back when the turns that were held back do better.
    _, at_once = with_settings(runtime)
    assert (await at_once.apply_optimization(late)).status == "applied"
    turns(late, "usual", 60, 24)
    turns(late, "holdback", 60, 57)
    await at_once.upkeep()
    assert (await at_once.get_optimization(late)).status == "rolled_back"


async def test_a_change_is_not_applied_to_something_else_than_it_was_tested_against(runtime: Runtime) -> None:
    _, learning = with_settings(runtime, improve_stages="")
    first, second = await proven(runtime), await proven(runtime, "top_k", 9)
    assert (await learning.apply_optimization(first)).status == "applied"
    with pytest.raises(ActionRefused, match="max_rounds"):
        await learning.apply_optimization(second)
    await learning.roll_back_optimization(first)
    assert (await learning.apply_optimization(second)).status == "applied"


async def test_a_shadow_is_rehearsed_on_new_turns_before_anybody_sees_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting, learning = with_settings(runtime, improve_shadow=3, improve_stages="0.5")
    found = await proven(runtime)
    assert (await learning.apply_optimization(found)).status == "shadow"
    from agent.chat import chat
    from agent.testing.scripted_model import scripted_client

    free = replace(scripted_client(["Hello."], repeat_last=True), prices={"scripted:model": (0.0, 0.0)})
    talking = replace(acting, model=free, cached={})
    for number in range(3):
        await chat.answer("Hello", thread_id=f"t{number}", runtime=talking)
        await rollout.watch(runtime=talking)
    shadowed = await learning.get_optimization(found)
    assert (shadowed.status, shadowed.evidence[-1]["before"], shadowed.evidence[-1]["after"]) == (
        "canary",
        [1, 1, 1],
        [1, 1, 1],
    )
