"""What comes wrong: too little, contradictory, at the same time, without a budget, with a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.optimization.conftest import logged, share_of

import agent.optimization.workflows as workflows
from agent.analytics import AnalyticsService
from agent.errors import ActionRefused, BudgetExceeded
from agent.graph.parameters import InForce, choose
from agent.optimization import (
    AutoConfigGenerationService,
    Case,
    Parameter,
    Replayed,
    SelfLearningOrchestrationService,
    Workflow,
    register,
)
from agent.runtime import Runtime
from agent.settings import Settings

learning, making = SelfLearningOrchestrationService(), AutoConfigGenerationService()


@pytest.fixture
def paid() -> Iterator[list[Case]]:
    """A workflow whose replay costs ten cents; the test fills its cases. Depth 2 always succeeds, depth 1 half the time."""
    known: list[Case] = []

    async def cases(runtime: Runtime) -> Sequence[Case]:
        return list(known)

    async def replay(case: Case, parameters: Mapping[str, Any], runtime: Runtime) -> Replayed:
        return Replayed(success=parameters.get("depth") == 2 or share_of(case.case_id) < 0.5, seconds=1.0, cost_usd=0.1)

    register(
        Workflow(
            name="shop",
            cases=cases,
            replay=replay,
            most_usd_a_case=0.1,
            parameters={"depth": Parameter(kind="integer", low=1, high=3)},
        )
    )
    yield known
    workflows._REGISTERED.pop("shop")


async def proposed(runtime: Runtime, depth: int = 2) -> str:
    async with runtime.connection() as conn:
        await conn.execute(
            "INSERT INTO agents.learning_patterns (pattern_key, pattern_category, workflow_type, description, parameters, source, confidence_score)"
            " VALUES (%s, 'x', 'shop', '', %s, 'imported', %s) ON CONFLICT DO NOTHING", (f"d{depth}", f'{{"depth": {depth}}}', depth / 10),
        )  # fmt: skip
    (pattern,) = [one for one in await learning.list_patterns("shop") if one.pattern_key == f"d{depth}"]
    return (await learning.generate_optimization(pattern.pattern_id)).optimization_id


async def test_one_case_or_none_is_underpowered(runtime: Runtime, paid: list[Case]) -> None:
    for cases in ([], [Case(case_id="only")]):
        paid[:] = cases
        tested = await learning.test_optimization(await proposed(runtime))
        assert (tested.verdict, tested.cost_benefit_ratio) == ("underpowered", 0)
        assert tested.more_cases is not None
        assert tested.more_cases > 10


async def test_without_a_budget_nothing_is_spent_and_nothing_is_burnt(runtime: Runtime, paid: list[Case]) -> None:
    paid[:] = [Case(case_id=f"c{number}") for number in range(100)]
    poor = await learning.start_learning_session("seo-1", learning_budget={"cost_usd": 0.0})
    tested = await learning.test_optimization(await proposed(runtime))
    assert (tested.verdict, "used up" in tested.evidence[2]["stopped"]) == ("underpowered", True)
    await learning.end_learning_session(poor.session_id)
    late = await learning.start_learning_session("seo-1", learning_budget={"time_ms": 0, "cost_usd": 50})
    with pytest.raises(BudgetExceeded):
        await learning.test_optimization(await proposed(runtime))
    await learning.end_learning_session(late.session_id)
    rich = await learning.start_learning_session("seo-1", learning_budget={"cost_usd": 5.01})
    tested = await learning.test_optimization(await proposed(runtime))
    spent = await learning.get_learning_session(rich.session_id)
    assert tested.evidence[2]["cases"] in range(20, 26)  # as many pairs as five dollars pay for
    assert 4 <= spent.spent_usd <= 5.01
    assert spent.reserved_usd == pytest.approx(0)


async def test_two_tests_at_once_never_share_a_case(runtime: Runtime, paid: list[Case]) -> None:
    paid[:] = [Case(case_id=f"c{number}") for number in range(100)]
    await learning.start_learning_session("seo-1", learning_budget={"cost_usd": 1_000})
    one, other = await proposed(runtime), await proposed(runtime, depth=3)
    with_time = learning.test_optimization
    results = await asyncio.gather(with_time(one), with_time(other), return_exceptions=True)
    looked = [result.evidence[2]["cases"] for result in results if not isinstance(result, BaseException)]
    assert sum(looked) <= 100
    for result in results:  # who comes second has neither cases nor time left
        assert not isinstance(result, BaseException) or isinstance(result, BudgetExceeded)


async def test_two_campaigns_at_once_find_the_same_patterns_once(runtime: Runtime) -> None:
    await AnalyticsService(runtime).log_runs(logged(300))
    first, second = [await learning.launch_research_campaign(topic="shop") for _ in range(2)]
    found = await asyncio.gather(*(learning.mine_patterns(one.campaign_id) for one in (first, second, first)))
    assert len({pattern.pattern_id for patterns in found for pattern in patterns}) == 1


async def test_nothing_is_found_where_everything_failed(runtime: Runtime) -> None:
    await AnalyticsService(runtime).log_runs([{**run, "success": False} for run in logged(200)])
    campaign = await learning.launch_research_campaign(topic="shop", mining_depth=3)
    assert {one.source for one in await learning.mine_patterns(campaign.campaign_id)} == {"seed"}
    assert "0 findings" in (await learning.get_research_campaign(campaign.campaign_id)).reason


async def test_of_contradictory_patterns_the_surer_one_holds_and_the_other_is_named(
    runtime: Runtime, paid: list[Case]
) -> None:
    await proposed(runtime, depth=1)
    await proposed(runtime, depth=3)
    config = await making.generate_config_from_patterns("shop")
    assert config.generated_config == {"depth": 3}
    assert [(one["kept"], one["dropped"]) for one in config.conflicts] == [(3, 1)]


def test_a_clock_that_jumps_changes_no_draw() -> None:
    now = datetime.now(UTC)
    for minutes in (-10_000, -1, 0, 10_000):  # applied in the future, or long ago
        change = InForce(
            optimization_id="x", parameters={"max_rounds": 12}, status="applied", share=1, seed="s", since=now - timedelta(minutes=minutes)
        )  # fmt: skip
        choice = choose([change], "q", now=now, settings=Settings())
        assert choice.parameters["max_rounds"] in (8, 12)
        assert choice.propensity is None or 0 < choice.propensity <= 1


async def test_what_was_never_proven_cannot_be_applied(runtime: Runtime, paid: list[Case]) -> None:
    with pytest.raises(ActionRefused):
        await learning.apply_optimization(await proposed(runtime))
