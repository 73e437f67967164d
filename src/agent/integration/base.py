"""What an integration agent is: tasks that can be run, events that it hears, and connections to the platforms it joins.

    class Translator(BaseIntegrationAgent):
        name, summary = "translator", "Translates texts."

        def tasks(self):
            return {"translate": self._translate}

        async def _process_integration_event(self, event, *, runtime): ...

One agent serves every tenant of its process: what it does is done with the runtime that acts for who asked, and counted for that
tenant. An agent holds no value of a tenant; those are in rows, or in a cache under the tenant's name.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, ClassVar, Protocol, TypeVar

import structlog

import agent.integration.circuits as circuits
from agent.errors import AgentError, NotFound, ProviderUnavailable
from agent.integration.events import IntegrationEvent
from agent.integration.health import AgentHealth, ConnectionHealth
from agent.integration.metrics import Counters
from agent.runtime import Runtime

T = TypeVar("T")
Task = Callable[..., Awaitable[Any]]  # called with the parameters as a mapping, and runtime=
Emit = Callable[..., Awaitable[None]]
_CHECK_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class PlatformConnection(Protocol):
    """A connection to a platform. It connects at its first use, so that an agent starts while the platform is down."""

    async def check(self) -> None:
        """Ask the platform for a sign of life. Raises any error if there is none."""

    async def close(self) -> None:
        """Close what is open."""


class BaseIntegrationAgent(ABC):
    """An agent that joins platforms. Give it a `name` and a `summary`, write `tasks` and `_process_integration_event`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    capabilities: ClassVar[tuple[str, ...]] = ()
    admin_tasks: ClassVar[frozenset[str]] = frozenset({"cleanup"})

    def __init__(self, runtime: Runtime, *, emit: Emit | None = None) -> None:
        self.runtime = runtime
        self.counters = Counters()
        self.connections: dict[str, PlatformConnection] = {}
        self._emit = emit

    async def initialize(self) -> None:  # noqa: B027  # an agent without connections needs none
        """Prepare the agent: register connections with `connect`. What runs in the background begins here."""

    async def shutdown(self) -> None:  # noqa: B027  # as above
        """End what runs in the background. Connections are closed after it."""

    def tasks(self) -> Mapping[str, Task]:
        """Return what the agent can do: coroutine functions of the parameters and `runtime=`, by the name of the task."""
        return {}

    async def execute_task(self, task: str, parameters: Mapping[str, Any] | None = None, *, runtime: Runtime | None = None) -> Any:  # fmt: skip
        """Do one task, and return what JSON can hold. Raises `NotFound` for a task that there is not.

        Override it for tasks that are not known by name. The manager calls it through `run_task`, which counts and bounds it.
        """
        known = self.tasks().get(task)
        if known is None:
            named = ", ".join(self.tasks()) or "none"
            raise NotFound(f"The agent {self.name} has no task {task[:100]!r}: it has {named}.")
        return await known(dict(parameters or {}), runtime=runtime or self.runtime)

    @abstractmethod
    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """React to what another agent told."""

    async def run_task(self, task: str, parameters: Mapping[str, Any] | None, *, runtime: Runtime) -> Any:
        """Do one task for a tenant, and count it."""
        began, succeeded = perf_counter(), False
        try:
            result = await self.execute_task(task, parameters, runtime=runtime)
            succeeded = True
        finally:
            spent = (perf_counter() - began) * 1000
            self.counters.request(runtime.tenant_id, succeeded=succeeded, milliseconds=spent)
        return result

    async def hear(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Take an event, and count it. An agent that fails at it disturbs nobody."""
        self.counters.event(runtime.tenant_id)
        try:
            await self._process_integration_event(event, runtime=runtime)
        except AgentError as error:
            _log.warning("integration_event_failed", agent=self.name, heard=event.event_type, error=str(error))
        except Exception:  # the edge between agents: the others hear the event all the same
            _log.exception("integration_event_failed", agent=self.name, heard=event.event_type)

    async def emit(
        self, event_type: str, data: Mapping[str, Any], *, target: str | None = None, runtime: Runtime
    ) -> None:
        """Tell the other agents, or one of them, what happened."""
        if self._emit is not None:
            event = IntegrationEvent(event_type=event_type, source=self.name, data=data, target=target)
            await self._emit(event, runtime=runtime)

    def connect(self, name: str, connection: PlatformConnection) -> None:
        """Register a connection: its health is shown under this name, and it is closed with the agent."""
        self.connections[name] = connection

    async def call(
        self,
        connection: str,
        function: Callable[[], Awaitable[T]],
        *,
        failed: type[Exception] | tuple[type[Exception], ...],
        attempts: int | None = None,
        runtime: Runtime,
    ) -> T:
        """Call a platform with its circuit and retries: see `circuits.call`. Use it for every call that leaves the process."""
        return await circuits.call(connection, function, failed=failed, attempts=attempts, runtime=runtime)

    async def check(self, phases: Mapping[str, str], *, deep: bool = False) -> AgentHealth:
        """Return how the agent is, by the phases of its circuits. With `deep` each platform is asked for a sign of life, all at the same time."""
        names = list(self.connections)
        found = await asyncio.gather(
            *(self._connection_health(name, phases.get(name, "closed"), deep=deep) for name in names)
        )
        return AgentHealth(connections=dict(zip(names, found, strict=True)))

    async def close(self) -> None:
        """End the agent and close its connections; one that fails at that keeps no other open."""
        for end in (self.shutdown, *(one.close for one in self.connections.values())):
            try:
                await end()
            except Exception:  # the end of a process: the next connection is closed all the same
                _log.exception("integration_agent_not_closed", agent=self.name)

    async def _connection_health(self, name: str, circuit: str, *, deep: bool) -> ConnectionHealth:
        if not deep:
            return ConnectionHealth(circuit=circuit)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self.connections[name].check()
        except TimeoutError:
            return ConnectionHealth(circuit=circuit, error=f"{name} did not answer within {_CHECK_SECONDS:g} s.")
        except ProviderUnavailable as error:
            return ConnectionHealth(circuit=circuit, error=str(error))
        except Exception as error:  # a driver's error may quote an address with a password
            return ConnectionHealth(circuit=circuit, error=f"{name} did not answer ({type(error).__name__}).")
        return ConnectionHealth(circuit=circuit)
