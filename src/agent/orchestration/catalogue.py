"""What the agents that come with it can do, for whoever makes a plan by choosing: each kind's actions, and what an action takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agent.orchestration.agents.inputs import Input, Interaction, Message, OfLearner, Speech
from agent.orchestration.agents.optimization import OfConfig, OfOptimization, OfPattern, OfWorkflow, Topic
from agent.orchestration.standard import PREFIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionInfo:
    """An action, and the JSON Schema of its input (None: it is not known)."""

    name: str
    takes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """An agent that a step can name: its id (or how the ids of its kind begin), what it is for, and its actions."""

    id: str
    about: str
    actions: Mapping[str, ActionInfo] = field(default_factory=dict)


_KINDS: Mapping[str, tuple[str, Mapping[str, type[Input] | None]]] = {
    "learning": ("Knows what a learner can do, and what comes next", {
        "initialize_session": OfLearner, "process_interaction": Interaction, "get_insights": OfLearner,
    }),
    "tutor": ("Talks with a learner", {"prepare_conversation": OfLearner, "send_message": Message, "provide_feedback": Interaction}),
    "speech": ("Compares what was read with the text", {"analyze_speech": Speech, "analyze": Speech, "speech_analysis": Speech}),
    "optimizer": ("Finds, tests and applies improvements", {
        "mine_patterns": Topic, "propose_optimization": OfPattern, "test_optimization": OfOptimization, "apply_optimization": OfOptimization,
        "roll_back_optimization": OfOptimization, "generate_config": OfWorkflow, "test_config": OfConfig,
    }),
}  # fmt: skip


def actions_of(models: Mapping[str, type[BaseModel] | None]) -> dict[str, ActionInfo]:
    """Return actions with the schemas of their inputs."""
    return {
        name: ActionInfo(name=name, takes=None if model is None else model.model_json_schema(by_alias=True))
        for name, model in models.items()
    }


def standard_agents() -> list[AgentInfo]:
    """Return the agents that come with it. The ids of a kind begin as said; what follows is free, such as a learner's name."""
    return [AgentInfo(id=prefix, about=_KINDS[kind][0], actions=actions_of(_KINDS[kind][1])) for kind, prefix in PREFIXES.items()]  # fmt: skip
