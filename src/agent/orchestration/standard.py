"""An orchestrator that knows the agents that come with it. Their ids begin with their kind, so every process can build them."""

from __future__ import annotations

from functools import partial

from agent.orchestration.agents.ai_tutor import AITutorAgent
from agent.orchestration.agents.base import BaseAgent
from agent.orchestration.agents.optimization import OptimizationAgent
from agent.orchestration.agents.personalized_learning import PersonalizedLearningAgent
from agent.orchestration.agents.speech_analysis import SpeechAnalysisAgent
from agent.orchestration.orchestrator import AgentOrchestrator
from agent.runtime import Runtime

# A kind's name in answers, and how the ids of its agents begin. A new kind is one file beside the others, one line here and below.
PREFIXES = {
    "learning": "learning-agent",
    "tutor": "tutor-agent",
    "speech": "speech-agent",
    "optimizer": "optimization-agent",
}


_CLASSES: dict[str, type[BaseAgent]] = {
    "learning": PersonalizedLearningAgent,
    "tutor": AITutorAgent,
    "speech": SpeechAnalysisAgent,
    "optimizer": OptimizationAgent,
}


def create_agent(kind: str, agent_id: str, runtime: Runtime, **config: object) -> BaseAgent:
    """Build an agent of a kind; `config` overrides what it does by default, and is in `agent.config`."""
    if kind == "speech":
        return SpeechAnalysisAgent(agent_id, **config)
    if kind == "optimizer":
        return OptimizationAgent(agent_id, runtime, **config)
    if kind == "tutor":
        return AITutorAgent(agent_id, runtime, **config)
    return PersonalizedLearningAgent(agent_id, runtime, **config)


def standard_orchestrator(runtime: Runtime) -> AgentOrchestrator:
    """Return an orchestrator whose agents act for the runtime's user."""
    made = AgentOrchestrator(runtime)
    for kind, prefix in PREFIXES.items():
        builder = partial(create_agent, kind, runtime=runtime)
        made.register_kind(prefix, builder, _CLASSES[kind].actions)
    return made
