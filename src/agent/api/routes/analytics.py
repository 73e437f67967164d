"""`/agents`, `/analytics` and `/ml`: runs of agents, what they add up to, what is predicted and found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from agent.analytics import AnalyticsService
from agent.analytics.exports import Form, written
from agent.analytics.views import shown
from agent.api.callers import Acting, needs

router = APIRouter(tags=["analytics"])
_MOST_RUNS = 10_000
Name = Annotated[str, Path(min_length=1, max_length=200, description="Name of the agent.")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Most entries of an answer.")]
Fresh = Annotated[bool, Query(description="Look again now, instead of returning what the last search found.")]


class NewAgent(BaseModel):
    """An agent to name. `capabilities` are words, best the task types that it can do."""

    agent_name: str = Field(min_length=1, max_length=200)
    display_name: str | None = Field(None, min_length=1, max_length=200)
    agent_type: str | None = Field(None, min_length=1, max_length=200)
    capabilities: list[str] | dict[str, Any] | None = None


class NewRun(BaseModel):
    """A run of an agent. The same task_id of the same agent is one run; a missing outcome can follow under it."""

    model_config = ConfigDict(extra="forbid")

    agent_name: str = Field(min_length=1, max_length=200)
    task_id: str | int | None = Field(None, description="A UUID, or any text of at most 200 characters.")
    task_type: str | None = Field(None, min_length=1, max_length=200)
    execution_time: float | None = Field(None, ge=0, lt=1e9, description="Seconds.")
    success: bool | None = Field(None, description="null: the outcome is not known yet.")
    error_message: str | None = None
    resource_usage: dict[str, Any] | None = None
    steps: list[str] | None = Field(None, max_length=200, description="Tools or steps, in their order.")
    cost_usd: float | None = Field(None, ge=0, lt=1e9)
    tokens: int | None = Field(None, ge=0, lt=10**9)
    propensity: float | None = Field(None, gt=0, le=1, description="The one that came with a recommendation.")
    parameters: dict[str, str | bool | int | float] | None = Field(
        None, max_length=50, description="Settings of the run that were fixed before it began."
    )
    timestamp: datetime | float | None = None

    def given(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_none=True)


class NewRuns(BaseModel):
    """Runs that are stored together: all, or none."""

    runs: list[NewRun] = Field(min_length=1, max_length=_MOST_RUNS)


class Measured(BaseModel):
    """What somebody measured of an agent."""

    model_config = ConfigDict(extra="forbid")

    response_time: float | None = Field(None, ge=0, lt=1e9)
    throughput: float | None = Field(None, ge=0, lt=1e9)
    resource_usage: dict[str, Any] | None = None
    success_rate: float | None = Field(None, ge=0, le=1)
    coordination_effectiveness: float | None = Field(None, gt=-1e9, lt=1e9)
    task_type: str | None = Field(None, min_length=1, max_length=200)


class Pair(BaseModel):
    """An agent and a task type."""

    agent_name: str = Field(min_length=1, max_length=200)
    task_type: str = Field(min_length=1, max_length=200)


class TestedPair(BaseModel):
    """An agent and a task type, as the test of predictions names them."""

    agent: str = Field(min_length=1, max_length=200)
    task: str = Field(min_length=1, max_length=200)


class Wanted(BaseModel):
    """What to recommend an agent for."""

    task_type: str = Field(min_length=1, max_length=200)
    explore: bool = Field(
        default=False, description="Also try others, as often as they may be better; what was drawn is noted."
    )
    limit: int = Field(5, ge=1, le=50)


class Stored(BaseModel):
    """What became of runs: new, completed with a missing outcome, or there already."""

    stored: int
    completed: int
    duplicates: int


Figures = dict[str, Any]


@router.get("/agents/list", **needs("viewer"))
async def list_agents(
    runtime: Acting, limit: Limit = 10_000, offset: Annotated[int, Query(ge=0, le=10**9)] = 0
) -> Figures:
    """List the registry of agents, with each one's runs and success rate."""
    known = await AnalyticsService(runtime).list_agents()
    return {"agents": known[offset : offset + limit], "total": len(known)}


@router.post("/agents/register", status_code=201, **needs("operator"))
async def register_agent(body: NewAgent, runtime: Acting) -> Figures:
    """Register an agent, or say more of one."""
    return await AnalyticsService(runtime).register_agent(
        body.agent_name, capabilities=body.capabilities, agent_type=body.agent_type, display_name=body.display_name
    )


@router.get("/agents/{name}/status", **needs("viewer"))
async def agent_status(name: Name, runtime: Acting) -> Figures:
    """Get what an agent is, whether it was heard of, and its last run."""
    return await AnalyticsService(runtime).agent_status(name)


@router.get("/agents/{name}/performance", **needs("viewer"))
async def agent_performance(name: Name, runtime: Acting) -> Figures:
    """Get an agent's figures: over all, by task type, by day; each with from how many runs."""
    return await AnalyticsService(runtime).agent_performance(name)


@router.post("/agents/{name}/metrics", status_code=201, **needs("operator"))
async def submit_metrics(name: Name, body: Measured, runtime: Acting) -> Figures:
    """Submit what you measured of an agent. It stands beside what is counted from its runs."""
    number = await AnalyticsService(runtime).submit_metrics(name, body.model_dump(exclude_none=True))
    return {"id": number, "agent_name": name}


@router.get("/agents/{name}/similar", **needs("viewer"))
async def similar_agents(name: Name, runtime: Acting, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Figures:
    """List the agents that are most like one: in what they can do, what they are given, and how they do it."""
    return {"agent_name": name, "similar": await AnalyticsService(runtime).similar_agents(name, most=limit)}


@router.post("/analytics/executions", status_code=201, **needs("operator"))
async def log_run(body: NewRun, runtime: Acting) -> Stored:
    """Log a run of an agent."""
    done = await AnalyticsService(runtime).log_run(body.given())
    return Stored(stored=done.stored, completed=done.completed, duplicates=done.duplicates)


@router.post("/analytics/executions/batch", status_code=201, **needs("operator"))
async def log_runs(body: NewRuns, runtime: Acting) -> Stored:
    """Log many runs together: all of them, or none."""
    done = await AnalyticsService(runtime).log_runs([one.given() for one in body.runs])
    return Stored(stored=done.stored, completed=done.completed, duplicates=done.duplicates)


@router.get("/analytics/performance", **needs("viewer"))
async def performance(runtime: Acting) -> Figures:
    """Get the figures over all, by agent, by task type, and by day."""
    return await AnalyticsService(runtime).performance()


@router.get("/analytics/matrix", **needs("viewer"))
async def matrix(runtime: Acting, limit: Limit = 10_000) -> Figures:
    """Get the figures of each agent on each task type, with intervals and n."""
    cells = await AnalyticsService(runtime).matrix()
    return {"cells": cells[:limit], "total": len(cells)}


@router.get("/analytics/trends", **needs("viewer"))
async def trends(
    runtime: Acting,
    agent_name: Annotated[str | None, Query(min_length=1, max_length=200, description="Only this agent.")] = None,
    task_type: Annotated[str | None, Query(min_length=1, max_length=200, description="Only this task type.")] = None,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
) -> Figures:
    """Get what an agent, a task type or everything reached on each day, with the band that the present models expect."""
    return await AnalyticsService(runtime).trend(agent_name=agent_name, task_type=task_type, days=days)


@router.get("/analytics/patterns", **needs("viewer"))
async def patterns(runtime: Acting, fresh: Fresh = False) -> Figures:  # noqa: FBT002  # a query parameter
    """Get every pattern that was found: collaboration, performance, resources, failures, drift, anomalies."""
    return await shown(await AnalyticsService(runtime).patterns(fresh=fresh), runtime=runtime)


@router.get("/analytics/coordination", **needs("viewer"))
async def coordination(runtime: Acting, fresh: Fresh = False) -> Figures:  # noqa: FBT002  # a query parameter
    """Get the agents that do better together, or in one order, than expected, with effect, n and evidence."""
    return _part(
        await AnalyticsService(runtime).patterns(fresh=fresh),
        pairs="collaboration",
        sequences="sequences",
        shared_tasks="shared_tasks",
    )


@router.get("/analytics/insights", **needs("viewer"))
async def insights(runtime: Acting, fresh: Fresh = False) -> Figures:  # noqa: FBT002  # a query parameter
    """Get what was found as sentences that say what to do, with the runs that show it."""
    found = await shown(await AnalyticsService(runtime).patterns(fresh=fresh), runtime=runtime)
    return _part(found, insights="insights", failure_summary="failure_summary")


@router.get("/analytics/anomalies", **needs("viewer"))
async def anomalies(runtime: Acting, fresh: Fresh = False) -> Figures:  # noqa: FBT002  # a query parameter
    """Get the runs, and the hours of agents, that took much longer or shorter than predicted."""
    return _part(
        await AnalyticsService(runtime).patterns(fresh=fresh), anomalies="anomalies", episodes="episodes", drift="drift"
    )


def _part(found: dict[str, Any], **names: str) -> dict[str, Any]:
    return {name: found.get(key) for name, key in {**names, "runs": "runs", "computed_at": "computed_at"}.items()}


@router.post("/analytics/predictions", **needs("viewer"))
async def predict(body: Pair, runtime: Acting) -> Figures:
    """Predict success, time and cost of an agent on a task type, with intervals; null and a reason where too little is known."""
    return await AnalyticsService(runtime).predict(body.agent_name, body.task_type)


@router.post("/analytics/recommendations", **needs("operator"))
async def recommend(body: Wanted, runtime: Acting) -> Figures:
    """Recommend an agent for a task type, with reasons and uncertainty."""
    return await AnalyticsService(runtime).recommend(body.task_type, explore=body.explore, most=body.limit)


@router.get("/analytics/models", **needs("viewer"))
async def list_models(runtime: Acting) -> list[dict[str, Any]]:
    """List the models with their cards: data, accuracy, coverage, calibration, and why each was promoted or not."""
    return await AnalyticsService(runtime).models()


@router.post("/analytics/models/train", **needs("operator"))
async def train(runtime: Acting) -> list[dict[str, Any]]:
    """Train the models now."""
    return await AnalyticsService(runtime).train()


@router.post("/analytics/models/{name}/rollback", **needs("operator"))
async def roll_back(
    name: Annotated[str, Path(min_length=1, max_length=200, description="success, time or cost.")], runtime: Acting,
    version: Annotated[str | None, Query(min_length=1, max_length=20, description="Without it: the one before.")] = None,
) -> Figures:  # fmt: skip
    """Let an earlier version of a model predict again."""
    return await AnalyticsService(runtime).roll_back(name, version)


@router.get(
    "/analytics/export",
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}, "application/x-ndjson": {"schema": {"type": "string"}}}}},
    **needs("viewer"),
)  # fmt: skip
async def export(
    runtime: Acting, form: Annotated[Form, Query(alias="format", description="csv, or json: one object a line.")] = "csv"
) -> StreamingResponse:  # fmt: skip
    """Export every run, agent by agent, oldest first."""
    media = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(_texts(runtime, form), media_type=media)


async def _texts(runtime: Acting, form: Form) -> AsyncIterator[str]:
    async for text, _ in written(AnalyticsService(runtime), form, runtime=runtime):
        yield text


@router.get("/ml/test/patterns", **needs("viewer"))
async def test_patterns(runtime: Acting) -> Figures:
    """Look for patterns now, and say what was found in how many seconds."""
    found = await shown(await AnalyticsService(runtime).patterns(fresh=True), runtime=runtime)
    kinds = ("collaboration", "performance", "resources", "failures", "drift", "anomalies", "insights")
    return {
        "status": "ok", "pattern_recognition": "active", "runs": found["runs"], "runs_read": found["runs_read"], "seconds": found["seconds"],
        "found": {kind: len(found[kind]) for kind in kinds}, "patterns": {kind: found[kind] for kind in kinds},
    }  # fmt: skip


@router.post("/ml/test/prediction", **needs("viewer"))
async def test_prediction(body: TestedPair, runtime: Acting) -> Figures:
    """Predict for an agent and a task, as a test of the models."""
    predicted = await AnalyticsService(runtime).predict(body.agent, body.task)
    return {"agent": body.agent, "task": body.task, "status": predicted["status"], "prediction": predicted}
