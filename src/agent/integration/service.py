"""What surfaces show and do of the integration layer, as values: status, agents, metrics, synchronisation, broadcasts, upkeep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from agent.approval.eligibility import AccessRole
from agent.errors import AccessDenied
from agent.integration.configured import remarks
from agent.integration.events import RECEIVERS, Platform, platform_of
from agent.integration.gateway.agent import Answer, APIGatewayAgent
from agent.integration.gateway.endpoints import Match
from agent.integration.health import AgentHealth, ConnectionHealth, Health, overall
from agent.integration.manager import integration_manager
from agent.integration.metrics import Metrics
from agent.runtime import Runtime

HealthLevel = Literal["basic", "deep", "metrics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """How an agent is, and each of its connections."""

    status: Health
    error: str | None
    connections: Mapping[str, ConnectionHealth]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationStatus:
    """How the integration layer is."""

    initialized: bool
    timestamp: datetime
    agents: Mapping[str, AgentStatus]
    overall_health: Health
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDescription:
    """What an agent is and can do."""

    summary: str
    capabilities: tuple[str, ...]
    tasks: tuple[str, ...]
    connections: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetrics:
    """What an agent did for the tenant. Rates are from 0 to 1; None where nothing was done yet."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate: float | None
    average_latency_ms: float | None
    events_processed: int
    cache_hits: int
    cache_misses: int
    cache_hit_ratio: float | None
    circuits: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronised:
    """What came of data that was brought from one platform to another."""

    source_platform: Platform
    target_platform: Platform
    agent: str
    result: Any


async def status(*, deep: bool = False, runtime: Runtime) -> IntegrationStatus:
    """Return how the agents are; `deep` asks their platforms for a sign of life."""
    found = await integration_manager.health(deep=deep, runtime=runtime)
    return IntegrationStatus(
        initialized=integration_manager.is_initialized(runtime), timestamp=datetime.now(UTC),
        agents={name: _status(one) for name, one in found.items()}, overall_health=overall(found.values()),
        remarks=remarks(runtime.settings),
    )  # fmt: skip


async def agents(*, runtime: Runtime) -> dict[str, AgentDescription]:
    """Return what each agent is and can do."""
    return {
        name: AgentDescription(
            summary=one.summary, capabilities=one.capabilities, tasks=tuple(one.tasks()), connections=tuple(one.connections)
        )
        for name, one in (await integration_manager.agents(runtime=runtime)).items()
    }  # fmt: skip


async def metrics(*, runtime: Runtime) -> dict[str, AgentMetrics]:
    """Return what each agent did for the runtime's tenant, and the state of its circuits."""
    counted = await integration_manager.metrics(runtime=runtime)
    health = await integration_manager.health(runtime=runtime)
    return {name: _metrics(one, health[name]) for name, one in counted.items()}


async def synchronise(source: str, target: str, data: Mapping[str, Any], *, runtime: Runtime) -> Synchronised:
    """Bring data from one platform to another: the agent of the target does its task `sync_data`. Raises `InvalidInput`."""
    given, wanted = platform_of(source), platform_of(target)
    agent = RECEIVERS[wanted]
    parameters = {"source_platform": given, "target_platform": wanted, "data": dict(data)}
    result = await integration_manager.execute(agent, "sync_data", parameters, runtime=runtime)
    return Synchronised(source_platform=given, target_platform=wanted, agent=agent, result=result)


async def broadcast(channel: str, event: str, data: Any, *, runtime: Runtime) -> Any:
    """Publish an event on a Pusher channel, and return what the agent that did it says."""
    parameters = {"channel": channel, "event": event, "data": data}
    return await integration_manager.execute("realtime_update", "broadcast", parameters, runtime=runtime)


async def run_task(agent: str, task: str, parameters: Mapping[str, Any], *, role: AccessRole, runtime: Runtime) -> Any:
    """Let an agent do a task for somebody with a role. Raises `AccessDenied` for a task that only admins may ask for."""
    if task in (await integration_manager.agent(agent, runtime=runtime)).admin_tasks and role != "admin":
        raise AccessDenied(f"The task {task} of {agent} needs the role admin: use a key or token that has it.")
    return await integration_manager.execute(agent, task, parameters, runtime=runtime)


async def find_endpoint(version: str, path: str, method: str, *, runtime: Runtime) -> Match:
    """Return the gateway's endpoint for a request. Raises `NotFound`."""
    return await (await _gateway(runtime)).find(version, path, method, runtime=runtime)


async def answer(match: Match, given: Mapping[str, Any], *, role: AccessRole, runtime: Runtime) -> Answer:
    """Answer a request for an endpoint of the gateway; who calls has the endpoint's role at least."""

    async def execute(agent: str, task: str, parameters: Mapping[str, Any], *, runtime: Runtime) -> Any:
        return await run_task(agent, task, parameters, role=role, runtime=runtime)

    return await (await _gateway(runtime)).answer(match, given, execute=execute, runtime=runtime)


async def clean_up(*, runtime: Runtime) -> dict[str, Any]:
    """Let every agent that has a task `cleanup` forget what is old, and return what each of them forgot."""
    agents = await integration_manager.agents(runtime=runtime)
    done = {
        name: await integration_manager.execute(name, "cleanup", {}, runtime=runtime)
        for name, agent in agents.items()
        if "cleanup" in agent.tasks()
    }
    return {**done, "metrics": {"forgotten": await integration_manager.forget_metrics(runtime=runtime)}}


async def _gateway(runtime: Runtime) -> APIGatewayAgent:
    found = await integration_manager.agent(APIGatewayAgent.name, runtime=runtime)
    if not isinstance(found, APIGatewayAgent):
        raise TypeError(found)
    return found


def _status(one: AgentHealth) -> AgentStatus:
    return AgentStatus(status=one.status, error=one.error, connections=one.connections)


def _metrics(one: Metrics, health: AgentHealth) -> AgentMetrics:
    return AgentMetrics(
        total_requests=one.total_requests, successful_requests=one.successful_requests, failed_requests=one.failed_requests,
        success_rate=one.success_rate, average_latency_ms=one.average_latency_ms, events_processed=one.events_processed,
        cache_hits=one.cache_hits, cache_misses=one.cache_misses, cache_hit_ratio=one.cache_hit_ratio,
        circuits={name: connection.circuit for name, connection in health.connections.items()},
    )  # fmt: skip
