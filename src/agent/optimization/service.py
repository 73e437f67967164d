"""The two services: configurations made from patterns, and learning from evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import agent.optimization.campaigns as campaigns
import agent.optimization.configs as configs
import agent.optimization.marketplace as marketplace
import agent.optimization.optimizations as optimizations
import agent.optimization.patterns as patterns
import agent.optimization.rollout as rollout
import agent.optimization.sessions as sessions
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.optimization.agent_turn import AGENT_TURN
from agent.optimization.records import (
    BestConfig,
    Campaign,
    ConfigTest,
    GeneratedConfig,
    LearningSession,
    Optimization,
    OptimizationMetrics,
    OptimizationTest,
    Pattern,
)
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__)


class AutoConfigGenerationService:
    """Makes configurations from patterns. It works with `runtime`, or else with the current one."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime

    async def _acting(self) -> Runtime:
        return self._runtime or await current_runtime()

    async def generate_config_from_patterns(
        self, workflow_type: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> GeneratedConfig:
        """Merge patterns: `min_success_rate`, `max_cost`, `preferred_patterns`, `max_patterns`."""
        return await configs.generate(workflow_type, {**(options or {}), **more}, runtime=await self._acting())

    async def test_generated_config(self, config_id: str, test_input: Mapping[str, Any] | None = None) -> ConfigTest:
        """Test a configuration without effects. Raises `NotFound`."""
        return await configs.test(config_id, test_input or {}, runtime=await self._acting())

    async def improve_config(
        self, config_id: str, goal: Mapping[str, Any] | None = None, **more: Any
    ) -> GeneratedConfig:
        """Improve a configuration: `target_metric`, `improvement_goal`, `max_iterations`. Raises `NotFound`."""
        return await configs.improve(config_id, {**(goal or {}), **more}, runtime=await self._acting())

    async def get_best_configuration(
        self, workflow_type: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> BestConfig | None:
        """Return the tested configuration that is best by `metric` with at least `min_tests`; None where there is none."""
        return await configs.best(workflow_type, {**(options or {}), **more}, runtime=await self._acting())

    async def get_config_statistics(self) -> dict[str, Any]:
        """Return how many configurations and tests there are."""
        return await configs.statistics(runtime=await self._acting())

    async def get_config(self, config_id: str) -> GeneratedConfig:
        """Return a configuration. Raises `NotFound`."""
        return await configs.get(config_id, runtime=await self._acting())

    async def list_configs(self, workflow_type: str | None = None) -> list[GeneratedConfig]:
        """Return the newest configurations."""
        return await configs.every(workflow_type=workflow_type, runtime=await self._acting())


class SelfLearningOrchestrationService:
    """Learns from what happened, and changes only what its evidence holds. It works with `runtime`, or else with the current one."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime

    async def _acting(self) -> Runtime:
        return self._runtime or await current_runtime()

    # Sessions

    async def start_learning_session(
        self, agent_id: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> LearningSession:
        """Start a session: `focus_area`, `learning_budget` with `time_ms` and `cost_usd`."""
        given = {"focus_area": "general", "learning_budget": None} | {**(options or {}), **more}
        if unknown := given.keys() - {"focus_area", "learning_budget"}:
            raise InvalidInput(f"A learning session has no option {str(min(unknown))[:100]!r}.")
        return await sessions.start(
            agent_id, focus_area=given["focus_area"], budget=given["learning_budget"], runtime=await self._acting()
        )

    async def end_learning_session(self, session_id: str) -> LearningSession:
        """End a session. Raises `NotFound`."""
        return await sessions.end(session_id, runtime=await self._acting())

    async def get_learning_session(self, session_id: str) -> LearningSession:
        """Return a session with what it has spent. Raises `NotFound`."""
        return await sessions.get(session_id, runtime=await self._acting())

    async def list_learning_sessions(self) -> list[LearningSession]:
        """Return the newest sessions."""
        return await sessions.every(runtime=await self._acting())

    # Research

    async def launch_research_campaign(
        self, campaign: Mapping[str, Any] | None = None, **more: Any
    ) -> Campaign:  # fmt: skip
        """Queue a campaign: `topic`, `data_sources`, `mining_depth`. It is worked on in the background, or by `mine_patterns`."""
        return await campaigns.launch({**(campaign or {}), **more}, runtime=await self._acting())

    async def get_research_campaign(self, campaign_id: str) -> Campaign:
        """Return a campaign with its progress and findings. Raises `NotFound`."""
        return await campaigns.get(campaign_id, runtime=await self._acting())

    async def list_research_campaigns(self) -> list[Campaign]:
        """Return the newest campaigns."""
        return await campaigns.every(runtime=await self._acting())

    async def cancel_research_campaign(self, campaign_id: str) -> Campaign:
        """Stop a campaign. Raises `NotFound`."""
        return await campaigns.cancel(campaign_id, runtime=await self._acting())

    async def resume_research_campaign(self, campaign_id: str) -> Campaign:
        """Let a stopped campaign go on. Raises `NotFound`."""
        return await campaigns.resume(campaign_id, runtime=await self._acting())

    async def mine_patterns(self, campaign_id: str) -> list[Pattern]:
        """Return the patterns that a campaign found, when it is over; where it found none, the ones to begin with, unproven.

        A campaign that was cancelled or that failed has what it found until then.
        """
        runtime = await self._acting()
        campaign = await campaigns.finish(campaign_id, runtime=runtime)
        if found := await patterns.keep(campaign.findings, campaign.campaign_id, runtime=runtime):
            return found
        seeds = [one for one in await patterns.every(runtime=runtime) if one.source == "seed"]
        return sorted(
            seeds, key=lambda one: bool(AGENT_TURN.problems(one.parameters))
        )  # first what turns of the agent can take

    async def get_pattern(self, pattern_id: str) -> Pattern:
        """Return a pattern. Raises `NotFound`."""
        return await patterns.get(pattern_id, runtime=await self._acting())

    async def list_patterns(self, workflow_type: str | None = None) -> list[Pattern]:
        """Return patterns, the surest first."""
        return await patterns.every(workflow_type=workflow_type, runtime=await self._acting())

    async def export_patterns(self, pattern_ids: Sequence[str] | None = None) -> dict[str, Any]:
        """Return patterns with their evidence as signed JSON: those named, or all that were found here. Raises `NotFound`."""
        return await marketplace.exported(pattern_ids, runtime=await self._acting())

    async def import_patterns(self, content: str | Mapping[str, Any], *, trust: bool = False) -> list[Pattern]:
        """Keep the patterns of a file, unproven here. With `trust` also those of a file that nobody trusted has signed."""
        return await marketplace.imported(content, trust_unsigned=trust, runtime=await self._acting())

    async def get_pattern_key(self) -> str:
        """Return the public key with which this installation signs patterns."""
        return await marketplace.public_key(await self._acting())

    async def get_parameters(self, workflow_type: str) -> dict[str, Any]:
        """Return what applied optimizations set for a workflow: read it before you run one."""
        return await optimizations.parameters_of(workflow_type, runtime=await self._acting())

    # Optimizations

    async def generate_optimization(
        self, pattern_id: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> Optimization:
        """Propose what a pattern names: `target`, `agent_id`, `workflow_type`. How it is tested is registered with it."""
        return await optimizations.generate(pattern_id, {**(options or {}), **more}, runtime=await self._acting())

    async def propose_optimization(self, options: Mapping[str, Any] | None = None, **more: Any) -> Optimization:
        """Let Optuna search (`by="search"`: `parameters`, `trials`, `max_cost`) or a model draft (`by="model"`: `kind`) a change.

        `workflow_type` is that of the agent's own turns if it is not named. Raises `NotFound` where nothing better was found.
        """
        return await optimizations.propose({**(options or {}), **more}, runtime=await self._acting())

    async def test_optimization(self, optimization_id: str) -> OptimizationTest:
        """Test a change. Raises `NotFound` or `BudgetExceeded`."""
        return await optimizations.test(optimization_id, runtime=await self._acting())

    async def apply_optimization(self, optimization_id: str) -> Optimization:
        """Apply a change that its test holds; where the policy asks a human, `status` is waiting. Raises `ActionRefused`."""
        return await optimizations.apply(optimization_id, runtime=await self._acting())

    async def roll_back_optimization(self, optimization_id: str) -> Optimization:
        """Take an applied change back. Raises `NotFound`."""
        return await optimizations.roll_back(optimization_id, runtime=await self._acting())

    async def get_optimization(self, optimization_id: str) -> Optimization:
        """Return an optimization. Raises `NotFound`."""
        return await optimizations.get(optimization_id, runtime=await self._acting())

    async def list_optimizations(self) -> list[Optimization]:
        """Return the newest optimizations."""
        return await optimizations.every(runtime=await self._acting())

    async def get_optimization_metrics(self, agent_id: str) -> OptimizationMetrics:
        """Return what an agent's optimizations reached."""
        return await optimizations.metrics(agent_id, runtime=await self._acting())

    async def get_learning_statistics(self) -> dict[str, Any]:
        """Return how much there is of everything."""
        runtime = await self._acting()
        await patterns.seed(runtime)
        return dict(await runtime.one(_QUERIES["learning_statistics"]) or {})

    async def upkeep(self) -> None:
        """Do what waits: campaigns that nobody works on, changes that humans have decided about, and those that are on trial."""
        runtime = await self._acting()
        await campaigns.continue_all(runtime=runtime)
        await optimizations.apply_decided(runtime=runtime)
        await rollout.watch(runtime=runtime)
