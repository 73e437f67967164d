"""Starts the integration agents of a process, hands tasks and events to them, and says how they are.

    from agent.integration import integration_manager

    await integration_manager.initialize()
    await integration_manager.execute("schema_validator", "validate", {...})

`agent serve` and `agent worker` start them; other processes do at the first use. The manager keeps nothing itself: the agents belong to the
connections of a runtime, and end with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
import structlog

import agent.integration.schemas.boundaries as boundaries
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.errors import AccessDenied, AgentError, ConfigurationError, NotFound
from agent.integration.base import BaseIntegrationAgent
from agent.integration.circuits import phases
from agent.integration.coordinator import IntegrationCoordinator
from agent.integration.events import RECEIVED_BY, IntegrationEvent
from agent.integration.health import AgentHealth
from agent.integration.metrics import Metrics
from agent.integration.registry import AGENTS
from agent.integration.workflow import Workflow
from agent.integration.workflows import WORKFLOWS
from agent.runtime import Cache, Runtime, current_runtime

_OFF = "The integration agents are switched off (SKIP_INTEGRATION_AGENTS): an operator switches them on, and restarts."
_QUERIES = load_queries(__package__)
_STORE_SECONDS, _HOURS, _METRICS_DAYS = 5.0, 24, 30
_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Pool:
    """The agents of a process by name, and why one did not start."""

    agents: dict[str, BaseIntegrationAgent] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    storing: asyncio.Task[None] | None = None

    async def tell(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Let every agent hear an event that is for it."""
        hearers = [agent for name, agent in self.agents.items() if event.is_for(name)]
        await asyncio.gather(*(agent.hear(event, runtime=runtime) for agent in hearers))


_POOL: Cache[Pool] = Cache()
_STARTING: Cache[asyncio.Lock] = Cache()


async def _store_counts(pool: Pool, runtime: Runtime) -> None:
    """Add what this process counted to the rows. What cannot be stored now is counted on."""
    for name, agent in pool.agents.items():
        counted = agent.counters.take()
        for tenant, metrics in list(counted.items()):
            try:
                await runtime.for_tenant(tenant).execute(_QUERIES["add"], agent=name, **asdict(metrics))
            except (AgentError, psycopg.Error) as error:
                agent.counters.put_back(tenant, metrics)
                _log.warning("integration_metrics_wait", agent=name, error=str(error))


async def _store_again_and_again(pool: Pool, runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(_STORE_SECONDS)
        try:
            await _store_counts(pool, runtime)
        except Exception:  # the edge of a loop that must survive
            _log.exception("integration_metrics_not_stored")


class IntegrationAgentsManager:
    """The agents of a process."""

    def __init__(
        self, agents: Iterable[type[BaseIntegrationAgent]] = AGENTS, workflows: Iterable[Workflow] = WORKFLOWS
    ) -> None:
        self._kinds = tuple(agents)
        self.coordinator = IntegrationCoordinator(self, workflows)

    async def initialize(self, *, runtime: Runtime | None = None) -> bool:
        """Start the agents, once, and return whether they run: SKIP_INTEGRATION_AGENTS keeps them off. One that fails does not keep the others from it."""
        acting = runtime or await current_runtime()
        if acting.settings.skip_integration_agents:
            return False
        lock = _STARTING.get(acting) or _STARTING.put(acting, asyncio.Lock())
        async with lock:
            if _POOL.get(acting) is None:
                await self._start(acting)
        return True

    async def shutdown(self, *, runtime: Runtime | None = None) -> None:
        """End the agents. What a task still does is waited for by who asked for it."""
        acting = runtime or await current_runtime()
        pool = _POOL.pop(acting)
        if pool is not None:
            if pool.storing is not None:
                await end_tasks(pool.storing)
            await _store_counts(pool, acting)
            await asyncio.gather(*(agent.close() for agent in reversed(pool.agents.values())))

    def is_initialized(self, runtime: Runtime) -> bool:
        """Return whether the agents run."""
        return _POOL.get(runtime) is not None

    async def agent(self, name: str, *, runtime: Runtime | None = None) -> BaseIntegrationAgent:
        """Return an agent. Raises `NotFound`, and `ConfigurationError` if the agents are switched off or this one did not start."""
        pool = await self._running(runtime or await current_runtime())
        if name in pool.errors:
            raise ConfigurationError(f"The agent {name} did not start: {pool.errors[name]}")
        found = pool.agents.get(name)
        if found is None:
            raise NotFound(f"There is no integration agent {name[:100]!r}: use one of {', '.join(pool.agents)}.")
        return found

    async def agents(self, *, runtime: Runtime | None = None) -> dict[str, BaseIntegrationAgent]:
        """Return the agents that run, by name. Raises `ConfigurationError` if they are switched off."""
        return dict((await self._running(runtime or await current_runtime())).agents)

    async def execute(self, agent: str, task: str, parameters: Mapping[str, Any] | None = None, *, runtime: Runtime | None = None) -> Any:  # fmt: skip
        """Let an agent do a task for the runtime's tenant, and return what it gave."""
        acting = runtime or await current_runtime()
        found = await self.agent(agent, runtime=acting)
        if task == "sync_data" and agent in RECEIVED_BY:
            await boundaries.check("sync", RECEIVED_BY[agent], (parameters or {}).get("data"), runtime=acting)
        return await found.run_task(task, parameters, runtime=acting)

    async def execute_step(self, agent: str, task: str, parameters: Mapping[str, Any] | None = None, *, runtime: Runtime | None = None) -> Any:  # fmt: skip
        """Do a task as a step of a plan. Raises `AccessDenied` for one of admins: a plan has no role, and others replay it or let it begin by itself."""
        acting = runtime or await current_runtime()
        if task in (await self.agent(agent, runtime=acting)).admin_tasks:
            raise AccessDenied(f"The task {task} of {agent} is for admins, and no step of a plan: an admin asks for it with POST /api/v1/integration/agents/{agent}/tasks/{task}.")  # fmt: skip
        return await self.execute(agent, task, parameters, runtime=acting)

    async def tell(self, event: IntegrationEvent, *, runtime: Runtime | None = None) -> None:
        """Let the agents hear an event of the runtime's tenant."""
        acting = runtime or await current_runtime()
        await (await self._running(acting)).tell(event, runtime=acting)

    async def health(self, *, deep: bool = False, runtime: Runtime | None = None) -> dict[str, AgentHealth]:
        """Return how each agent is. With `deep` the platforms are asked for a sign of life."""
        acting = runtime or await current_runtime()
        pool = _POOL.get(acting)
        if pool is None:
            return {}
        names = list(pool.agents)
        known = await phases(runtime=acting)
        found = await asyncio.gather(*(pool.agents[name].check(known, deep=deep) for name in names))
        failed = {name: AgentHealth(error=error) for name, error in pool.errors.items()}
        return {**dict(zip(names, found, strict=True)), **failed}

    async def metrics(self, *, runtime: Runtime | None = None) -> dict[str, Metrics]:
        """Return what each agent did for the runtime's tenant in the last day, in all processes; others' last seconds may lack."""
        acting = runtime or await current_runtime()
        pool = await self._running(acting)
        await _store_counts(pool, acting)
        rows = {row.pop("agent"): Metrics(**row) for row in await acting.all(_QUERIES["totals"], hours=_HOURS)}
        return {name: rows.get(name, Metrics()) for name in pool.agents}

    async def forget_metrics(self, *, days: int = _METRICS_DAYS, runtime: Runtime) -> int:
        """Forget metrics of long ago, and return how many rows went."""
        return await runtime.execute(_QUERIES["forget"], days=days)

    async def _running(self, runtime: Runtime) -> Pool:
        if not await self.initialize(runtime=runtime):
            raise ConfigurationError(_OFF)
        pool = _POOL.get(runtime)
        if pool is None:
            raise ConfigurationError("The integration agents are ending with this process: ask again in a moment.")
        return pool

    async def _start(self, runtime: Runtime) -> None:
        pool = Pool()
        for kind in self._kinds:
            try:
                agent = kind(runtime, emit=pool.tell)
                await agent.initialize()
            except Exception as error:  # the edge between agents: the others start all the same
                _log.exception("integration_agent_not_started", agent=kind.name)
                pool.errors[kind.name] = f"{type(error).__name__}; the log says more."
            else:
                pool.agents[kind.name] = agent
        pool.storing = asyncio.create_task(_store_again_and_again(pool, runtime))
        _POOL.put(runtime, pool)
        runtime.at_close.append(lambda: self.shutdown(runtime=runtime))


integration_manager = IntegrationAgentsManager()
