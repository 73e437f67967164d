"""`/api/v1/integration`: the integration agents, how they are, and what they can be asked to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

import agent.integration.service as service
from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.integration import Task, Workflow, WorkflowRun, integration_manager
from agent.integration.schemas.agent import Registration

router = APIRouter(prefix="/api/v1/integration", tags=["integration"], route_class=IdempotentRoute)


class Agents(BaseModel):
    """The agents by name."""

    agents: dict[str, service.AgentDescription]


class AllMetrics(BaseModel):
    """What each agent did for your tenant."""

    timestamp: datetime
    agents: dict[str, service.AgentMetrics]


class HealthCheck(BaseModel):
    """What to check: basic (the agents), deep (their platforms too), or metrics (their figures beside)."""

    level: service.HealthLevel = "deep"


class Checked(BaseModel):
    """How the agents are; `metrics` only at that level."""

    level: service.HealthLevel
    status: service.IntegrationStatus
    metrics: dict[str, service.AgentMetrics] | None = None


class Registered(BaseModel):
    """A version that is registered; `new` is false if it was before."""

    schema_name: str
    platform: str
    schema_type: str
    compatibility: str
    version: str
    number: int
    created_at: datetime
    created_by: str
    new: bool


class Synchronisation(BaseModel):
    """Data to bring from one platform to another."""

    source_platform: str = Field(min_length=1, max_length=100, examples=["backend"])
    target_platform: str = Field(min_length=1, max_length=100, examples=["frontend"])
    data: dict[str, Any]


class PlatformEvent(BaseModel):
    """An event for everybody on a channel."""

    channel: str = Field(min_length=1, max_length=164, examples=["lessons"])
    event: str = Field(min_length=1, max_length=200, examples=["lesson-ready"])
    data: Any = None


class PublishedEvent(BaseModel):
    """What the realtime agent says of an event that it published."""

    channel: str
    event: str
    result: Any


class NewTask(BaseModel):
    """A task of a workflow of your own. Without `dependencies` it waits for the one before it."""

    name: str = Field(min_length=1, max_length=200)
    agent: str = Field(min_length=1, max_length=100)
    input: dict[str, Any] = {}
    dependencies: list[str] | None = None


class NewWorkflow(BaseModel):
    """A workflow to run: a template by its name, or tasks of your own. It is waited for as long as `wait_seconds`."""

    name: str = Field(min_length=1, max_length=200, examples=["content_generation"])
    description: str = Field("", max_length=2_000)
    parameters: dict[str, Any] = {}
    tasks: list[NewTask] = Field(default=[], max_length=1_000)
    wait_seconds: float = Field(30.0, ge=0, le=300)


class Template(BaseModel):
    """A workflow that can be run by its name. A parameter that is null must be given."""

    name: str
    description: str
    tasks: list[str]
    agents: dict[str, str]
    dependencies: dict[str, list[str]]
    parameters: dict[str, Any]


class Templates(BaseModel):
    """Every workflow that is known."""

    templates: list[Template]


class CleanedUp(BaseModel):
    """What each agent forgot."""

    agents: dict[str, Any]


@router.get("/status", **needs("viewer"))
async def status(runtime: Acting) -> service.IntegrationStatus:
    """Say how the agents are. No platform is called for it."""
    return await service.status(runtime=runtime)


@router.get("/agents", **needs("viewer"))
async def agents(runtime: Acting) -> Agents:
    """List the agents with what they can do."""
    return Agents(agents=await service.agents(runtime=runtime))


@router.get("/metrics", **needs("viewer"))
async def metrics(runtime: Acting) -> AllMetrics:
    """Return what each agent did for your tenant: requests, rates, latency, events, cache hits, circuits."""
    return AllMetrics(timestamp=datetime.now(UTC), agents=await service.metrics(runtime=runtime))


@router.post("/health/check", **needs("viewer"))
async def check_health(runtime: Acting, body: Annotated[HealthCheck, Body(default_factory=HealthCheck)]) -> Checked:
    """Check the agents, their platforms, or both with figures."""
    level = body.level
    found = await service.status(deep=level != "basic", runtime=runtime)
    figures = await service.metrics(runtime=runtime) if level == "metrics" else None
    return Checked(level=level, status=found, metrics=figures)


@router.post("/workflow/create", **needs("operator"))
async def create_workflow(body: NewWorkflow, runtime: Acting) -> WorkflowRun:
    """Run a workflow, and return what its tasks gave so far. `GET /api/plans/{workflow_id}` shows it later, too."""
    tasks = [Task(name=one.name, agent=one.agent, takes=one.input, after=None if one.dependencies is None else tuple(one.dependencies)) for one in body.tasks]  # fmt: skip
    return await integration_manager.coordinator.run(
        body.name, body.parameters, tasks=tasks, seconds=body.wait_seconds, runtime=runtime
    )


@router.post("/workflow/templates", **needs("viewer"))
async def list_templates() -> Templates:
    """List the workflows that can be run by their name."""
    return Templates(templates=[_template(one) for one in integration_manager.coordinator.workflows])


@router.post("/schema/register", status_code=201, **needs("operator"))
async def register_schema(body: Registration, runtime: Acting) -> Registered:
    """Register a version of a platform's schema. The same schema is stored once; one that does not fit to earlier versions is refused."""
    given = body.model_dump(by_alias=True)
    return Registered.model_validate(await integration_manager.execute("schema_validator", "register", given, runtime=runtime))  # fmt: skip


@router.post("/sync/trigger", **needs("operator"))
async def trigger_sync(body: Synchronisation, runtime: Acting) -> service.Synchronised:
    """Bring data from one platform to another."""
    return await service.synchronise(body.source_platform, body.target_platform, body.data, runtime=runtime)


@router.post("/event/broadcast", **needs("operator"))
async def broadcast_event(body: PlatformEvent, runtime: Acting) -> PublishedEvent:
    """Publish an event on a channel."""
    result = await service.broadcast(body.channel, body.event, body.data, runtime=runtime)
    return PublishedEvent(channel=body.channel, event=body.event, result=result)


@router.post("/maintenance/cleanup", **needs("admin"))
async def clean_up(runtime: Acting) -> CleanedUp:
    """Let the agents forget what is old. Admins only."""
    return CleanedUp(agents=await service.clean_up(runtime=runtime))


def _template(one: Workflow) -> Template:
    return Template(
        name=one.name, description=one.description, tasks=[task.name for task in one.tasks],
        agents={task.name: task.agent or one.name for task in one.tasks},
        dependencies={name: list(needs) for name, needs in one.dependencies.items()}, parameters=dict(one.parameters),
    )  # fmt: skip
