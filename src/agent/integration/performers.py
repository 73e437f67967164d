"""Who can do the steps of plans in this installation, and what each of them can do."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from agent.integration.manager import integration_manager
from agent.integration.schemas.agent import Migration, Move, Registration, Validation
from agent.integration.workflow import AGENT, HANDLERS, Task, Workflow
from agent.orchestration import AgentOrchestrator
from agent.orchestration.catalogue import ActionInfo, AgentInfo, actions_of, standard_agents
from agent.orchestration.saved_templates.design import Design, Parameter
from agent.orchestration.standard import standard_orchestrator
from agent.orchestration.templates import TEMPLATES, Template
from agent.runtime import Runtime

# What is known of the input of tasks; of the others, the names that workflows give.
_TAKES: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "schema_validator": {
        "register": Registration, "check_compatibility": Registration, "validate": Validation, "validate_input": Validation,
        "validate_data": Validation, "migrate": Migration, "transform": Move,
    },
}  # fmt: skip


def orchestrator(runtime: Runtime) -> AgentOrchestrator:
    """Return an orchestrator that knows what the workers know: the standard agents, and the integration agents unless they are switched off."""
    if runtime.settings.skip_integration_agents:
        return standard_orchestrator(runtime)
    return integration_manager.coordinator.orchestrator(runtime)


async def performers(*, runtime: Runtime) -> list[AgentInfo]:
    """Return every agent that a step of a plan can name, with its actions."""
    found = standard_agents()
    if runtime.settings.skip_integration_agents:
        return found
    given = _given_by_workflows()
    for name, agent in (await integration_manager.agents(runtime=runtime)).items():
        known = actions_of(_TAKES.get(name, {}))
        possible = [task for task in agent.tasks() if task not in agent.admin_tasks]  # a step has no role
        tasks = {task: known.get(task) or ActionInfo(name=task, takes=given.get((name, task))) for task in possible}
        found.append(AgentInfo(id=f"{AGENT}{name}", about=agent.summary, actions=tasks))
    for one in integration_manager.coordinator.workflows:
        if one.handlers:
            tasks = {task: ActionInfo(name=task, takes=given.get((one.name, task))) for task in one.handlers}
            found.append(AgentInfo(id=f"{HANDLERS}{one.name}", about=one.description, actions=tasks))
    return found


def ready_made(runtime: Runtime) -> dict[str, Design]:
    """Return the templates and workflows that come with it, by a name that says which they are, such as `template:learning-session`."""
    found = {f"template:{one.name}": _of_template(one) for one in TEMPLATES.values()}
    if not runtime.settings.skip_integration_agents:
        found |= {f"workflow:{one.name}": _of_workflow(one) for one in integration_manager.coordinator.workflows}
    return found


def _of_template(one: Template) -> Design:
    parameters = [Parameter(name=name, default=value) for name, value in one.parameters.items()]
    return Design(plan={**one.plan}, parameters=parameters, summary=one.summary)


def _of_workflow(one: Workflow) -> Design:
    return Design(plan=one.outline(), parameters=[_parameter(name, value) for name, value in one.parameters.items()], summary=one.description)  # fmt: skip


def _parameter(name: str, value: object) -> Parameter:
    kind = "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "string"
    return Parameter(name=name, kind=kind, default=value if isinstance(value, str | int | float) else None)  # type: ignore[arg-type]  # one of three


def _given_by_workflows() -> dict[tuple[str, str], Mapping[str, object]]:
    """Return what tasks are given in workflows, as a schema that only has names."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for workflow in integration_manager.coordinator.workflows:
        for task in workflow.tasks:
            _note(found.setdefault((task.agent or workflow.name, task.name), {}), task)
    return {key: {"properties": names} for key, names in found.items()}


def _note(names: dict[str, object], task: Task) -> None:
    names.update({name: {} for name in task.takes})
