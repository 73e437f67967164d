"""`/api/agent-sync/configs` and `/api/agent-sync/learning`: configurations made from patterns, and learning from evidence."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.errors import InvalidInput, NotFound
from agent.optimization import AutoConfigGenerationService, SelfLearningOrchestrationService
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

router = APIRouter(prefix="/api/agent-sync", tags=["improvement"], route_class=IdempotentRoute)
Id = Annotated[str, Path(min_length=1, max_length=100, description="Its id.")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    """A body that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_none=True)


class ConfigOptions(_Body):
    """What a configuration must keep, and which patterns it is made of."""

    min_success_rate: float | None = Field(None, ge=0, le=1)
    max_cost: float | None = Field(None, ge=0, le=1e9, description="Most US dollars of a run.")
    preferred_patterns: list[str] | None = Field(None, max_length=100)
    max_patterns: int | None = Field(None, ge=1, le=100)


class NewConfig(ConfigOptions):
    """A configuration to make. The options stand beside `workflow_type`, or in `options`."""

    workflow_type: Name
    options: ConfigOptions | None = None


class ConfigInput(_Body):
    """What a configuration is tested with."""

    test_input: dict[str, Any] = {}


class Goal(_Body):
    """What to improve: execution_time, cost, accuracy or cost_effectiveness."""

    target_metric: str | None = Field(None, max_length=50)
    improvement_goal: float | None = Field(None, ge=0, le=100, description=".2 is 20 % better.")
    max_iterations: int | None = Field(None, ge=1, le=50)


class Budget(_Body):
    """What a session may take; what is not named is as the settings say."""

    time_ms: float | None = Field(None, ge=0, le=604_800_000)
    cost_usd: float | None = Field(None, ge=0, le=1e6)


class NewSession(_Body):
    """A learning session to start."""

    agent_id: Name
    focus_area: Name = "general"
    learning_budget: Budget | None = None


class NewCampaign(_Body):
    """A research campaign to launch. A depth of 1 looks at single events, 2 at pairs, 3 at sequences."""

    topic: Name
    data_sources: list[str] | None = Field(None, min_length=1, max_length=10)
    mining_depth: int = Field(1, ge=1, le=3)
    session_id: str | None = Field(None, max_length=100)


class Mined(_Body):
    """The campaign whose patterns are wanted."""

    campaign_id: str = Field(min_length=1, max_length=100)


class Proposed(_Body):
    """A change to propose: from a pattern, or without one by a search or a model."""

    pattern_id: str | None = Field(None, min_length=1, max_length=100)
    by: Literal["search", "model"] | None = Field(None, description="Who proposes, where no pattern is named.")
    kind: Literal["prompt", "workflow"] | None = Field(None, description="What a model drafts.")
    parameters: list[Name] | None = Field(None, min_length=1, max_length=50, description="What is searched.")
    trials: int | None = Field(None, ge=1, le=100)
    max_cost: float | None = Field(None, ge=0, le=1e9, description="Most US dollars of a run.")
    target: Name | None = None
    agent_id: Name | None = None
    workflow_type: Name | None = None


@router.post("/configs/generate", status_code=201, **needs("operator"))
async def generate_config(body: NewConfig, runtime: Acting) -> GeneratedConfig:
    """Merge patterns into a configuration. Where two differ, the higher lower bound wins."""
    nested = body.options.given() if body.options else {}
    options = {name: value for name, value in body.given().items() if name not in ("workflow_type", "options")}
    return await AutoConfigGenerationService(runtime).generate_config_from_patterns(
        body.workflow_type, {**nested, **options}
    )


@router.get("/configs/best", **needs("viewer"))
async def best_config(
    runtime: Acting, workflow_type: Annotated[str, Query(min_length=1, max_length=200)],
    metric: Annotated[str, Query(max_length=50)] = "accuracy", min_tests: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> BestConfig:  # fmt: skip
    """Get the tested configuration that is best by a metric, with the interval of its figure."""
    found = await AutoConfigGenerationService(runtime).get_best_configuration(
        workflow_type, metric=metric, min_tests=min_tests
    )
    if found is None:
        raise NotFound(f"No configuration of {workflow_type!r} has {min_tests} tests that tell {metric}: test one.")
    return found


@router.get("/configs/statistics", **needs("viewer"))
async def config_statistics(runtime: Acting) -> dict[str, Any]:
    """Get how many configurations and tests there are."""
    return await AutoConfigGenerationService(runtime).get_config_statistics()


@router.post("/configs/{config_id}/test", **needs("operator"))
async def try_config(config_id: Id, runtime: Acting, body: ConfigInput | None = None) -> ConfigTest:
    """Test a configuration without effects, by replay or by recorded runs."""
    return await AutoConfigGenerationService(runtime).test_generated_config(config_id, body.test_input if body else {})


@router.post("/configs/{config_id}/improve", status_code=201, **needs("operator"))
async def improve_config(config_id: Id, runtime: Acting, body: Goal | None = None) -> GeneratedConfig:
    """Make a better configuration of one, by what recorded runs did better with."""
    return await AutoConfigGenerationService(runtime).improve_config(config_id, body.given() if body else {})


@router.post("/learning/sessions", status_code=201, **needs("operator"))
async def start_session(body: NewSession, runtime: Acting) -> LearningSession:
    """Start a learning session with its budgets."""
    given = {name: value for name, value in body.given().items() if name != "agent_id"}
    return await SelfLearningOrchestrationService(runtime).start_learning_session(body.agent_id, given)


@router.post("/learning/sessions/{session_id}/end", **needs("operator"))
async def end_session(session_id: Id, runtime: Acting) -> LearningSession:
    """End a learning session."""
    return await SelfLearningOrchestrationService(runtime).end_learning_session(session_id)


@router.post("/learning/research", status_code=201, **needs("operator"))
async def launch_campaign(body: NewCampaign, runtime: Acting) -> Campaign:
    """Launch a research campaign, which is worked on in the background."""
    return await SelfLearningOrchestrationService(runtime).launch_research_campaign(body.given())


@router.get("/learning/research/{campaign_id}", **needs("viewer"))
async def get_campaign(campaign_id: Id, runtime: Acting) -> Campaign:
    """Get a campaign with its progress and its findings."""
    return await SelfLearningOrchestrationService(runtime).get_research_campaign(campaign_id)


@router.post("/learning/research/{campaign_id}/cancel", **needs("operator"))
async def cancel_campaign(campaign_id: Id, runtime: Acting) -> Campaign:
    """Stop a campaign. What it found stays."""
    return await SelfLearningOrchestrationService(runtime).cancel_research_campaign(campaign_id)


@router.post("/learning/patterns/mine", **needs("operator"))
async def mine_patterns(body: Mined, runtime: Acting) -> list[Pattern]:
    """Get the patterns of a campaign when it is over; where it found none, the ten to begin with, which are unproven."""
    return await SelfLearningOrchestrationService(runtime).mine_patterns(body.campaign_id)


@router.get("/learning/patterns/{pattern_id}", **needs("viewer"))
async def get_pattern(pattern_id: Id, runtime: Acting) -> Pattern:
    """Get a pattern with its evidence."""
    return await SelfLearningOrchestrationService(runtime).get_pattern(pattern_id)


@router.post("/learning/optimize", status_code=201, **needs("operator"))
async def propose(body: Proposed, runtime: Acting) -> Optimization:
    """Propose what a pattern names, or what a search or a model finds, and register how it will be tested."""
    given, service = body.given(), SelfLearningOrchestrationService(runtime)
    pattern_id = given.pop("pattern_id", None)
    if pattern_id is None and "by" not in given:
        raise InvalidInput("Name a pattern_id, or say by whom the change is proposed: search or model.")
    return await (
        service.generate_optimization(pattern_id, given) if pattern_id else service.propose_optimization(given)
    )


@router.post("/learning/optimizations/{optimization_id}/test", **needs("operator"))
async def try_optimization(optimization_id: Id, runtime: Acting) -> OptimizationTest:
    """Test a change as it was registered."""
    return await SelfLearningOrchestrationService(runtime).test_optimization(optimization_id)


@router.post("/learning/optimizations/{optimization_id}/apply", **needs("operator"))
async def apply_optimization(optimization_id: Id, runtime: Acting) -> Optimization:
    """Apply a change that its test holds. Where the policy asks a human, its status is `waiting` until they decide."""
    return await SelfLearningOrchestrationService(runtime).apply_optimization(optimization_id)


@router.post("/learning/optimizations/{optimization_id}/rollback", **needs("operator"))
async def roll_back_optimization(optimization_id: Id, runtime: Acting) -> Optimization:
    """Take an applied change back."""
    return await SelfLearningOrchestrationService(runtime).roll_back_optimization(optimization_id)


@router.get("/learning/metrics/{agent_id}", **needs("viewer"))
async def get_metrics(
    agent_id: Annotated[str, Path(min_length=1, max_length=200, description="Id of the agent.")], runtime: Acting
) -> OptimizationMetrics:
    """Get what an agent's optimizations claimed and what was realised."""
    return await SelfLearningOrchestrationService(runtime).get_optimization_metrics(agent_id)


@router.get("/learning/statistics", **needs("viewer"))
async def learning_statistics(runtime: Acting) -> dict[str, Any]:
    """Get how much there is of sessions, campaigns, patterns and optimizations."""
    return await SelfLearningOrchestrationService(runtime).get_learning_statistics()
