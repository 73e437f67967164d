"""Improves configurations from a step of a plan: proposes, tests, applies and takes back, by the same rules as everywhere else."""

from __future__ import annotations

import json
from typing import Any

from agent.errors import PolicyError, UserError
from agent.orchestration.agents.base import BaseAgent, NonRetryable
from agent.orchestration.agents.inputs import Input, Name, read
from agent.runtime import Runtime


class Topic(Input):
    """What a campaign is about."""

    topic: Name
    mining_depth: int = 1


class OfPattern(Input):
    """What a change is proposed from: a pattern, or `by` a search or a model."""

    pattern_id: Name | None = None
    by: Name | None = None
    target: Name | None = None
    workflow_type: Name | None = None


class OfOptimization(Input):
    """Which change it is about."""

    optimization_id: Name


class OfWorkflow(Input):
    """For which type of workflow a configuration is made."""

    workflow_type: Name
    min_success_rate: float | None = None
    max_cost: float | None = None


class OfConfig(Input):
    """Which configuration it is about."""

    config_id: Name
    test_input: dict[str, Any] = {}


class OptimizationAgent(BaseAgent):
    """The optimizer. A change that needs a human's yes has the status `waiting`, and is applied after that."""

    actions = (
        "mine_patterns", "propose_optimization", "test_optimization", "apply_optimization", "roll_back_optimization", "generate_config",
        "test_config",
    )  # fmt: skip

    def __init__(self, agent_id: str, runtime: Runtime, **config: Any) -> None:
        super().__init__(agent_id, **config)
        self._runtime = runtime

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Do one action. Raises `NonRetryable` for one that there is not, for wrong input, and for what a rule refuses."""
        try:
            return json.loads(json.dumps(await self._done(action, input), default=str))
        except (UserError, PolicyError) as error:
            raise NonRetryable(str(error)) from error

    async def _done(self, action: str, given: dict[str, Any]) -> Any:
        from agent.optimization import SelfLearningOrchestrationService  # start-up: it imports LangGraph

        learning = SelfLearningOrchestrationService(self._runtime)
        match action:
            case "mine_patterns":
                topic = read(Topic, given)
                campaign = await learning.launch_research_campaign(topic=topic.topic, mining_depth=topic.mining_depth)
                return {
                    "campaign_id": campaign.campaign_id,
                    "patterns": [one.as_dict() for one in await learning.mine_patterns(campaign.campaign_id)],
                }
            case "propose_optimization":
                wanted = read(OfPattern, given).model_dump(exclude_none=True)
                pattern_id = wanted.pop("pattern_id", None)
                made = await (
                    learning.generate_optimization(pattern_id, wanted)
                    if pattern_id
                    else learning.propose_optimization(wanted)
                )
                return made.as_dict()
            case "test_optimization":
                return (await learning.test_optimization(read(OfOptimization, given).optimization_id)).as_dict()
            case "apply_optimization":
                return (await learning.apply_optimization(read(OfOptimization, given).optimization_id)).as_dict()
            case "roll_back_optimization":
                return (await learning.roll_back_optimization(read(OfOptimization, given).optimization_id)).as_dict()
        return await self._configured(action, given)

    async def _configured(self, action: str, given: dict[str, Any]) -> Any:
        from agent.optimization import AutoConfigGenerationService  # start-up: it imports LangGraph

        making = AutoConfigGenerationService(self._runtime)
        if action == "generate_config":
            wanted = read(OfWorkflow, given)
            options = wanted.model_dump(exclude_none=True, exclude={"workflow_type"})
            return (await making.generate_config_from_patterns(wanted.workflow_type, options)).as_dict()
        if action == "test_config":
            wanted_config = read(OfConfig, given)
            return (await making.test_generated_config(wanted_config.config_id, wanted_config.test_input)).as_dict()
        raise NonRetryable(f"The optimizer has no action {action[:100]!r}: use {', '.join(self.actions)}.")
