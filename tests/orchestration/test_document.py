"""Every plan that the document about plans shows, as it stands there: its gaps are filled as a reader would expect."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agent.errors import InvalidInput
from agent.orchestration import AgentOrchestrator, BaseAgent
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime


class Analyst(BaseAgent):
    """Notes what runs at the same time."""

    def __init__(self, agent_id: str, seconds: float = 0.0) -> None:
        super().__init__(agent_id)
        self.seconds = seconds
        self.began: list[tuple[str, float]] = []

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        self.began.append((action, time.monotonic()))
        await asyncio.sleep(self.seconds)
        if action == "use_ml_model":
            raise RuntimeError("the model is not there")
        return {"action": action, "after": sorted(context["results"])}


async def test_parallel_execution_of_a_plan_without_an_id(runtime: Runtime) -> None:
    orchestrator = AgentOrchestrator(runtime)
    agents = [Analyst(f"agent{number}", 0.3) for number in (1, 2, 3)]
    for agent in agents:
        await orchestrator.register_agent(agent)
    result = await orchestrator.orchestrate({
        "steps": [
            {"id": "analyze_A", "agentId": "agent1", "action": "analyze"},
            {"id": "analyze_B", "agentId": "agent2", "action": "analyze"},
            {"id": "analyze_C", "agentId": "agent3", "action": "analyze"},
            {"id": "combine", "dependencies": ["analyze_A", "analyze_B", "analyze_C"]},
        ],
        "parallel": True,
    })  # fmt: skip
    assert result.success
    assert result.results["combine"].data == {"action": "combine", "after": ["analyze_A", "analyze_B", "analyze_C"]}
    times = [at for agent in agents for action, at in agent.began if action == "analyze"]
    assert max(times) - min(times) < 0.3


async def test_the_fallback_of_a_plan_that_names_no_agent_runs_with_the_only_one(runtime: Runtime) -> None:
    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(Analyst("only"))
    plan = {
        "steps": [{"id": "ml_predict", "action": "use_ml_model"}],
        "fallbackPlan": {"steps": [{"id": "gpt4_predict", "action": "use_gpt4"}]},
    }
    result = await orchestrator.orchestrate(plan)
    assert result.success
    assert {name: one.data["action"] for name, one in result.results.items()} == {"gpt4_predict": "use_gpt4"}
    await orchestrator.register_agent(Analyst("second"))
    with pytest.raises(InvalidInput, match="names no agent"):
        await orchestrator.orchestrate(plan)


async def test_a_learning_session_that_names_no_agent_finds_who_does_each_action(runtime: Runtime) -> None:
    of_learner = {"learnerId": "learner_123", "subject": "mathematics"}
    result = await standard_orchestrator(runtime).orchestrate({
        "id": "learning_session",
        "steps": [
            {"id": "init", "action": "initialize_session", "input": of_learner},
            {"id": "activity_1", "action": "process_interaction", "dependencies": ["init"], "input": {**of_learner, "correct": True}},
            {"id": "tutor_feedback", "action": "provide_feedback", "dependencies": ["activity_1"], "input": {**of_learner, "correct": True}},
            {"id": "activity_2", "action": "process_interaction", "dependencies": ["tutor_feedback"], "input": {**of_learner, "correct": False}},
        ],
        "parallel": False,
        "timeout": 60000,
    })  # fmt: skip
    assert result.success, result.errors
    assert list(result.results) == ["init", "activity_1", "tutor_feedback", "activity_2"]
    assert result.results["activity_2"].data["skill"]["answers"] == 2


async def test_parallel_analysis_whose_last_step_names_no_agent(runtime: Runtime) -> None:
    orchestrator = AgentOrchestrator(runtime)
    for name in ("learning-agent", "speech-agent", "tutor-agent"):
        await orchestrator.register_agent(Analyst(name))
    result = await orchestrator.orchestrate({
        "id": "multi_agent_analysis",
        "steps": [
            {"id": "learning_analysis", "agentId": "learning-agent"},
            {"id": "speech_analysis", "agentId": "speech-agent"},
            {"id": "tutor_analysis", "agentId": "tutor-agent"},
            {"id": "combine_report", "dependencies": ["learning_analysis", "speech_analysis", "tutor_analysis"]},
        ],
        "parallel": True,
        "timeout": 60000,
    })  # fmt: skip
    assert result.success
    assert result.results["combine_report"].data["after"] == ["learning_analysis", "speech_analysis", "tutor_analysis"]


async def test_performance_is_tracked_as_the_document_shows(runtime: Runtime) -> None:
    orchestrator = AgentOrchestrator(runtime)
    agent = await orchestrator.register_agent(Analyst("agent-id"))
    assert orchestrator.get_agent("agent-id") is agent
    told: list[str] = []
    orchestrator.on("step:completed", lambda event: told.append(f"{event['stepId']} {event['agentId']} {event['response']['duration'] >= 0}"))  # fmt: skip
    result = await orchestrator.orchestrate({
        "id": "unique_plan_id",
        "steps": [
            {"id": "other_step_id", "agentId": "agent-id", "action": "action_name"},
            {
                "id": "step_1", "agentId": "agent-id", "action": "action_name", "input": {}, "dependencies": ["other_step_id"],
                "retryPolicy": {"maxRetries": 2, "backoffMs": 1000},
            },
        ],
        "parallel": True,
        "timeout": 30000,
        "fallbackPlan": {"steps": [{"id": "other", "agentId": "agent-id"}]},
    })  # fmt: skip
    assert (result.success, len(result.results), len(result.errors or {})) == (True, 2, 0)
    assert result.duration > 0
    assert told == ["other_step_id agent-id True", "step_1 agent-id True"]
