"""Runs workflows on the orchestrator of plans: tasks are steps, so each result is a row, and a process that dies loses no workflow.

    integration_manager.coordinator.register(Workflow(name="greet", ...))
    run = await integration_manager.coordinator.run("greet", {"who": "Ana"})

The agents do the tasks with the rights of who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

import agent.orchestration.store as store
from agent.errors import ConfigurationError, InvalidInput, ModelError, NotFound, PolicyError, UserError
from agent.integration.workflow import AGENT, HANDLERS, Handler, Task, Workflow
from agent.integration.workflows import WORKFLOWS
from agent.orchestration import AgentOrchestrator, BaseAgent, NonRetryable
from agent.orchestration.agents.registry import Builder
from agent.orchestration.records import PlanResult
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime, current_runtime

# What another attempt would not change.
_FINAL = (UserError, ModelError, PolicyError, ConfigurationError)
_LOOK_SECONDS = 0.2


class Executes(Protocol):
    """What hands tasks to agents."""

    async def execute_step(self, agent: str, task: str, parameters: Mapping[str, Any] | None = None, *, runtime: Runtime | None = None) -> Any: ...  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """How a task ended. `duration` is in milliseconds."""

    success: bool
    result: Any = None
    error: str | None = None
    duration: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A run of a workflow: what each task gave so far. The id is that of the plan's run: `GET /api/plans/{workflow_id}` shows it later, too."""

    workflow_id: UUID
    name: str
    status: Literal["running", "completed", "failed"]
    duration: float = 0.0
    tasks: Mapping[str, TaskResult]


class _TaskAgent(BaseAgent):
    """A step of a plan that is a task of an integration agent."""

    def __init__(self, agent_id: str, manager: Executes, runtime: Runtime) -> None:
        super().__init__(agent_id)
        self._manager, self._runtime = manager, runtime

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the orchestrator's name
        """Let the agent do the task."""
        del context
        agent = self.agent_id.removeprefix(AGENT)
        try:
            return await self._manager.execute_step(agent, action, input, runtime=self._runtime)
        except _FINAL as error:
            raise NonRetryable(str(error)) from error


class _HandlerAgent(BaseAgent):
    """A step of a plan that is a function of its workflow."""

    def __init__(self, agent_id: str, handlers: Mapping[str, Handler], runtime: Runtime) -> None:
        super().__init__(agent_id)
        self._handlers, self._runtime = handlers, runtime

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the orchestrator's name
        """Call the function."""
        del context
        try:
            return await self._handlers[action](input, self._runtime)
        except _FINAL as error:
            raise NonRetryable(str(error)) from error


class IntegrationCoordinator:
    """Knows the workflows, and runs them."""

    def __init__(self, manager: Executes, workflows: Iterable[Workflow] = WORKFLOWS) -> None:
        self._manager = manager
        self._workflows = {one.name: one for one in workflows}

    def register(self, workflow: Workflow) -> None:
        """Make a workflow known. Raises `InvalidInput` for one that could not run, or whose name is taken by another."""
        if self._workflows.get(workflow.name, workflow) != workflow:
            raise InvalidInput(f"There is a workflow {workflow.name!r} already: give this one another name.")
        without = [one.name for one in workflow.tasks if not one.agent and one.name not in workflow.handlers]
        if without:
            raise InvalidInput(f"The task {without[0]!r} of {workflow.name} names no agent and has no handler: give it one.")  # fmt: skip
        self._workflows[workflow.name] = workflow

    @property
    def workflows(self) -> list[Workflow]:
        """Return every workflow that is known."""
        return list(self._workflows.values())

    def orchestrator(self, runtime: Runtime) -> AgentOrchestrator:
        """Return an orchestrator that knows the integration agents, the workflows and the standard agents; they act for the runtime's user."""
        made = standard_orchestrator(runtime)
        made.register_kind(AGENT, lambda agent_id: _TaskAgent(agent_id, self._manager, runtime))
        for one in self._workflows.values():
            if one.handlers:
                made.register_kind(f"{HANDLERS}{one.name}", _builder(one, runtime))
        return made

    async def start(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, tasks: Iterable[Task] = (), idempotency_key: str | None = None,
        runtime: Runtime | None = None,
    ) -> UUID:  # fmt: skip
        """Store a run of a workflow, and return its number; any process of this layer goes on with it. With `tasks`, the workflow is made of these."""
        acting = runtime or await current_runtime()
        workflow = self._named(name, tuple(tasks), parameters or {})
        return await self.orchestrator(acting).submit(workflow.plan(parameters or {}), idempotency_key=idempotency_key)

    async def run(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, tasks: Iterable[Task] = (), seconds: float = 60.0,
        idempotency_key: str | None = None, runtime: Runtime | None = None,
    ) -> WorkflowRun:  # fmt: skip
        """Run a workflow, and return what its tasks gave. After `seconds` it goes on without being waited for."""
        acting = runtime or await current_runtime()
        run_id = await self.start(name, parameters, tasks=tasks, idempotency_key=idempotency_key, runtime=acting)
        orchestrator = self.orchestrator(acting)
        try:
            async with asyncio.timeout(seconds):
                while (await store.row_of(run_id, runtime=acting))["status"] == "running":
                    task = await orchestrator.take(run_id)
                    await (asyncio.sleep(_LOOK_SECONDS) if task is None else asyncio.wait({task}))
        except TimeoutError:
            return _run(name, run_id, "running", await orchestrator.result(run_id))
        result = await orchestrator.result(run_id)
        return _run(name, run_id, "completed" if result.success else "failed", result)

    def _named(self, name: str, tasks: tuple[Task, ...], parameters: Mapping[str, Any]) -> Workflow:
        if tasks:
            return Workflow(name=name, description="", tasks=tasks, parameters=dict.fromkeys(parameters))
        found = self._workflows.get(name)
        if found is None:
            raise NotFound(f"There is no workflow {name[:100]!r}: use one of {', '.join(self._workflows)}, or name its tasks.")  # fmt: skip
        return found


def _builder(workflow: Workflow, runtime: Runtime) -> Builder:
    return lambda agent_id: _HandlerAgent(agent_id, workflow.handlers, runtime)


def _run(name: str, run_id: UUID, status: Literal["running", "completed", "failed"], result: PlanResult) -> WorkflowRun:
    errors = result.errors or {}
    tasks = {
        step: TaskResult(success=one.success, result=one.data, error=errors.get(step), duration=round(one.duration, 1), attempts=one.attempts)
        for step, one in result.results.items()
    }  # fmt: skip
    tasks |= {step: TaskResult(success=False, error=error) for step, error in errors.items() if step not in tasks}
    return WorkflowRun(workflow_id=run_id, name=name, status=status, duration=round(result.duration, 1), tasks=tasks)
