"""Learning on a real database: budgets, campaigns, patterns, the evidence ladder, and what is applied."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
import pytest
from tests.optimization.conftest import logged

import agent.optimization.campaigns as campaigns
import agent.optimization.sessions as sessions
from agent.analytics import AnalyticsService
from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.errors import ActionRefused, BudgetExceeded, InvalidInput, NotFound
from agent.optimization import AutoConfigGenerationService, SelfLearningOrchestrationService, Workflow
from agent.optimization.optimizations import computed_again
from agent.runtime import Runtime
from agent.sync import AgentSyncService

learning, making = SelfLearningOrchestrationService(), AutoConfigGenerationService()


@pytest.fixture
async def taught(runtime: Runtime) -> Runtime:
    """A database with 400 recorded runs."""
    await AnalyticsService(runtime).log_runs(logged(400))
    return runtime


async def proposed(runtime: Runtime, **options: object) -> str:
    campaign = await learning.launch_research_campaign(topic="shop")
    (pattern, *_) = await learning.mine_patterns(campaign.campaign_id)
    return (await learning.generate_optimization(pattern.pattern_id, options)).optimization_id


async def test_a_budget_holds_against_work_at_the_same_time_and_against_a_dead_process(runtime: Runtime) -> None:
    session = await learning.start_learning_session(
        "seo-1", {"focus_area": "orchestration", "learning_budget": {"time_ms": 60_000, "cost_usd": 1.0}}
    )
    assert session.learning_budget == {"time_ms": 60_000, "cost_usd": 1.0}
    refused = 0

    async def spend() -> None:
        nonlocal refused
        try:
            async with sessions.working(session, runtime=runtime) as work, work.spending(0.6) as part:
                await asyncio.sleep(0.2)
                part.usd = 0.5
        except BudgetExceeded:
            refused += 1

    await asyncio.gather(*(spend() for _ in range(5)))
    now = await learning.get_learning_session(session.session_id)
    assert (refused, now.spent_usd, now.reserved_usd, now.reserved_ms) == (4, 0.5, 0, 0)
    assert 150 < now.spent_ms < 60_000
    # What a process that died had reserved is not given to anybody else.
    dying = sessions.working(now, runtime=runtime)
    work = await dying.__aenter__()
    part = work.spending(0.5)
    await part.__aenter__()
    with pytest.raises(BudgetExceeded, match="start another session"):
        async with work.spending(0.01):
            pass
    with pytest.raises(BudgetExceeded, match="start another session"):
        async with sessions.working(now, runtime=runtime):
            pass
    ended = await learning.end_learning_session(session.session_id)
    assert (ended.status, ended.reserved_usd) == ("ended", 0.5)
    for budget in ({"time_ms": float("nan")}, {"cost_usd": -1}, {"usd": 1}, [1]):
        with pytest.raises(InvalidInput):
            await learning.start_learning_session("seo-1", learning_budget=budget)


async def test_a_campaign_finds_what_was_planted_and_nothing_else(taught: Runtime) -> None:
    campaign = await learning.launch_research_campaign(
        {
            "topic": "shop",
            "data_sources": ["execution_history", "simulation_results", "security_checks"],
            "mining_depth": 3,
        }
    )
    assert (campaign.status, campaign.progress) == ("queued", 0)
    found = await learning.mine_patterns(campaign.campaign_id)
    done = await learning.get_research_campaign(campaign.campaign_id)
    assert (done.status, done.progress, done.steps_done) == ("done", 1, 3)
    single = [one for one in found if len(one.events) == 1]
    assert [one.parameters for one in single] == [{"depth": 2}]
    assert 0.1 < single[0]["lift"] < 0.4
    assert single[0].confidence_score > 0.9
    assert len(single[0].evidence["runs"]) == 20
    assert all("depth=2" in one.events for one in found)
    again = await learning.mine_patterns(campaign.campaign_id)
    assert [one.pattern_id for one in again] == [one.pattern_id for one in found]


async def test_a_campaign_goes_on_after_its_process_died_and_stops_when_it_is_cancelled(taught: Runtime) -> None:
    campaign = await learning.launch_research_campaign(topic="shop", mining_depth=2)
    held = await taught.one(
        campaigns._QUERIES["hold_campaign"], campaign_id=campaign.campaign_id, holder=uuid4(), seconds=0.5
    )
    assert held is not None
    await learning.upkeep()  # the other one still holds it
    assert (await learning.get_research_campaign(campaign.campaign_id)).status == "running"
    await asyncio.sleep(0.6)
    await learning.upkeep()
    assert (await learning.get_research_campaign(campaign.campaign_id)).status == "done"
    other = await learning.launch_research_campaign(topic="shop")
    assert (await learning.cancel_research_campaign(other.campaign_id)).status == "cancelled"
    await learning.upkeep()
    assert (await learning.get_research_campaign(other.campaign_id)).findings == []
    await learning.resume_research_campaign(other.campaign_id)
    assert (await learning.mine_patterns(other.campaign_id))[0].parameters == {"depth": 2}


async def test_a_better_change_is_tested_asked_about_applied_and_taken_back(taught: Runtime, shop: Workflow) -> None:
    optimization = await proposed(taught, target="execution_efficiency", agent_id="director")
    with pytest.raises(ActionRefused, match="Test it"):
        await learning.apply_optimization(optimization)
    tested = await learning.test_optimization(optimization)
    assert (tested.verdict, tested.cost_benefit_ratio > 2) == ("better", True)
    assert 0.1 < tested.actual_improvement < 0.3
    static, _, replay = tested.evidence
    assert static["passed"]
    assert (replay["cases"], replay["not_evaluable"]) == (270, 30)
    assert await learning.test_optimization(optimization) == tested  # one look
    again = await computed_again(optimization, runtime=taught)
    assert again is not None
    assert (again.mean, again.lower, again.n) == (replay["mean"], replay["lower"], replay["confirmed_on"])
    waiting = await learning.apply_optimization(optimization)
    assert waiting.status == "waiting"
    assert waiting.approval_id is not None
    assert (await learning.apply_optimization(optimization)).status == "waiting"
    await human_approval_queue.decide(waiting.approval_id, "approve", runtime=taught)
    await learning.upkeep()
    assert (await learning.get_optimization(optimization)).status == "applied"
    kept = (await AgentSyncService(taught).get_current_state("director")).state  # what was in force before
    assert kept["configuration"] == {"shop": {"depth": 1}}
    metrics = await learning.get_optimization_metrics("director")
    assert (metrics.total_optimizations, metrics.total_improvement, len(metrics.claimed)) == (1, 0.0, 1)
    assert (await learning.roll_back_optimization(optimization)).status == "rolled_back"
    entries = [one for one in await audit_log.recent(limit=50, runtime=taught) if one.subject == "optimizations"]
    assert len(entries) == 5  # proposed, tested, waiting, applied, rolled back
    # The cases that were looked at confirm nothing else.
    other = await learning.test_optimization(await proposed(taught))
    assert other.verdict == "underpowered"
    assert other.more_cases is not None
    assert other.more_cases > 0


async def test_what_was_registered_cannot_be_changed(taught: Runtime, shop: Workflow) -> None:
    optimization = await proposed(taught)
    async with taught.connection() as conn:
        with pytest.raises(psycopg.errors.RestrictViolation, match="propose another one"):
            await conn.execute("UPDATE agents.optimizations SET registration = registration || '{\"worth\": 0.001}'")
    assert (await learning.get_optimization(optimization)).registration["worth"] == 0.05


async def test_a_change_that_is_no_better_or_cannot_be_set_is_not_applied(taught: Runtime, shop: Workflow) -> None:
    async with taught.connection() as conn:
        await conn.execute(
            "INSERT INTO agents.learning_patterns (pattern_key, pattern_category, description, parameters, source, confidence_score) VALUES"
            " ('same', 'x', '', '{\"depth\": 3}', 'mined', 1), ('far', 'x', '', '{\"depth\": 9}', 'mined', 1)"
        )
    by_key = {one.pattern_key: one.pattern_id for one in await learning.list_patterns()}
    for key, verdict in (("same", "not better"), ("far", "not evaluable"), ("seed:retry_once", "not evaluable")):
        optimization = await learning.generate_optimization(by_key[key], workflow_type="shop")
        tested = await learning.test_optimization(optimization.optimization_id)
        assert (tested.verdict, tested.cost_benefit_ratio) == (verdict, 0)
        with pytest.raises(ActionRefused):
            await learning.apply_optimization(optimization.optimization_id)


async def test_configurations_are_merged_tested_improved_and_compared(taught: Runtime) -> None:
    config = await making.generate_config_from_patterns("shop", {"min_success_rate": 0.85, "max_cost": 50})
    assert config.generated_config["cache_enabled"] is True
    campaign = await learning.launch_research_campaign(topic="shop")
    (pattern,) = await learning.mine_patterns(campaign.campaign_id)
    only = await making.generate_config_from_patterns(
        "shop", preferred_patterns=[pattern.pattern_id], max_patterns=1, min_success_rate=0.5
    )
    assert (only.generated_config, only.source_patterns) == ({"depth": 2}, [pattern.pattern_id])
    test = await making.test_generated_config(only.config_id, {"url": "https://example.com"})
    assert (test.success, test.simulator) == (True, "recorded runs")
    assert test.performance_metrics["execution_time"] == 3_000
    assert 0.6 < (test.performance_metrics["accuracy"] or 0) < 0.8
    strict = await making.generate_config_from_patterns(
        "shop", preferred_patterns=[pattern.pattern_id], max_patterns=1, min_success_rate=0.95
    )
    assert not (await making.test_generated_config(strict.config_id)).success
    quicker = await making.improve_config(only.config_id, target_metric="execution_time", improvement_goal=0.2)
    assert (quicker.generated_config["depth"], quicker.improves) == (1, only.config_id)
    assert "33% better" in quicker.reason
    await making.test_generated_config(quicker.config_id)
    best = await making.get_best_configuration("shop", {"metric": "cost_effectiveness", "min_tests": 1})
    assert best is not None
    assert best.config_id == quicker.config_id
    assert await making.get_best_configuration("shop", metric="accuracy", min_tests=5) is None
    assert (await making.get_config_statistics())["total_tests"] == 3


async def test_a_fresh_installation_answers_every_step_and_applies_nothing(runtime: Runtime) -> None:
    campaign = await learning.launch_research_campaign(topic="seo_best_practices")
    patterns = await learning.mine_patterns(campaign.campaign_id)
    assert len(patterns) == 10
    assert {(one.source, one.status) for one in patterns} == {("seed", "unproven")}
    assert "mining needs" in (await learning.get_research_campaign(campaign.campaign_id)).reason
    config = await making.generate_config_from_patterns("seo_workflow", {"min_success_rate": 0.8})
    assert config.generated_config["parallelism"] == 4
    test = await making.test_generated_config(config.config_id, {"url": "https://example.com"})
    assert not test.success
    assert "log some" in test.reason
    for pattern in patterns:
        optimization = await learning.generate_optimization(pattern.pattern_id, workflow_type="seo_workflow")
        result = await learning.test_optimization(optimization.optimization_id)
        assert (result.verdict, result.cost_benefit_ratio) == ("underpowered", 0)
        with pytest.raises(ActionRefused):
            await learning.apply_optimization(optimization.optimization_id)
    for missing in ("x", str(uuid4())):
        with pytest.raises(NotFound):
            await learning.get_pattern(missing)
