"""Patterns as files, a workflow of one's own, and steps of plans that improve configurations."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.optimization.conftest import logged

from agent.analytics import AnalyticsService
from agent.errors import ActionRefused, InvalidInput
from agent.optimization import SelfLearningOrchestrationService, Workflow
from agent.orchestration.agents.base import NonRetryable
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime


async def test_patterns_travel_signed_and_arrive_unproven(runtime: Runtime) -> None:
    await AnalyticsService(runtime).log_runs(logged(400))
    learning = SelfLearningOrchestrationService(runtime)
    campaign = await learning.launch_research_campaign(topic="shop")
    (found,) = await learning.mine_patterns(campaign.campaign_id)
    file = await learning.export_patterns()
    assert [one["parameters"] for one in file["patterns"]] == [{"depth": 2}]
    assert "evidence" not in file["patterns"][0]  # ids of runs stay here
    other = replace(runtime, tenant_id="other", cached={})
    theirs = SelfLearningOrchestrationService(other)
    with pytest.raises(ActionRefused, match="AGENT_IMPROVE_TRUSTED_KEYS"):
        await theirs.import_patterns(json.dumps(file))
    trusting = replace(
        other, settings=other.settings.model_copy(update={"improve_trusted_keys": await learning.get_pattern_key()})
    )
    theirs = SelfLearningOrchestrationService(trusting)
    (taken,) = await theirs.import_patterns(json.dumps(file))
    assert (taken.source, taken.status, taken.confidence_score <= 0.5, taken.lift) == (
        "imported",
        "unproven",
        True,
        None,
    )
    assert taken.evidence["claimed"]["lift"] == found.lift
    for change in (
        lambda one: one["patterns"][0].update(confidence_score=0.99),
        lambda one: one.update(public_key="00" * 32),
    ):
        changed = copy.deepcopy(file)
        change(changed)
        with pytest.raises(ActionRefused):
            await theirs.import_patterns(changed)
        assert (await theirs.import_patterns(changed, trust=True))[0].status == "unproven"
    for bad in ("", "[]", "{", '{"format": "x"}', "[" * 100_000, json.dumps({**file, "more": 1}), {**file, "patterns": [{"x": 1}]},
                {**file, "patterns": [{**file["patterns"][0], "lift": 7.0}]}, {**file, "patterns": [{**file["patterns"][0], "parameters": {"a": {}}}]}):  # fmt: skip
        with pytest.raises(InvalidInput):
            await theirs.import_patterns(bad, trust=True)


async def test_steps_of_a_plan_propose_test_and_apply(runtime: Runtime, shop: Workflow) -> None:
    await AnalyticsService(runtime).log_runs(logged(400))
    acting = replace(runtime, settings=runtime.settings.model_copy(update={"improve_apply": "allow"}))

    def step(name: str, action: str, given: dict[str, Any]) -> dict[str, Any]:
        return {"id": name, "agent_id": "optimization-agent-1", "action": action, "input": given}

    orchestrator = standard_orchestrator(acting)
    done = await orchestrator.orchestrate({
        "id": "improve-shop", "steps": [
            step("mine", "mine_patterns", {"topic": "shop"}),
            step("propose", "propose_optimization", {"pattern_id": {"$from": "mine.patterns.0.pattern_id"}}),
            step("test", "test_optimization", {"optimization_id": {"$from": "propose.optimization_id"}}),
            step("apply", "apply_optimization", {"optimization_id": {"$from": "test.optimization_id"}}),
        ],
    })  # fmt: skip
    assert done.errors is None
    assert done.results["test"].data["verdict"] == "better"
    assert done.results["apply"].data["status"] == "applied"
    assert await SelfLearningOrchestrationService(acting).get_parameters("shop") == {"depth": 2}
    agent = orchestrator.get_agent("optimization-agent-1")
    for action, given in (("apply_optimization", {"optimizationId": "x"}), ("fly", {}), ("test_optimization", {})):
        with pytest.raises(NonRetryable):
            await agent.execute(action, given)
