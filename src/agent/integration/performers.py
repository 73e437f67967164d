"""Who can do the steps of plans in this installation, and what each of them can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import agent.orchestration.saved_templates.store as saved
from agent.errors import NotFound
from agent.integration.manager import integration_manager
from agent.integration.schemas.agent import Migration, Move, Registration, Validation
from agent.integration.workflow import AGENT, HANDLERS, Task, Workflow
from agent.orchestration import AgentOrchestrator
from agent.orchestration.catalogue import ActionInfo, AgentInfo, actions_of, standard_agents
from agent.orchestration.saved_templates.design import Design, Kind, Parameter
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A template that can be run by its name. `parameters` is a JSON Schema; `version` is None for one that comes with it."""

    name: str
    summary: str
    parameters: Mapping[str, Any]
    version: int | None = None


async def offered(*, runtime: Runtime) -> list[Offered]:
    """Return every template that can be run: those that come with it, then the saved ones."""
    found = [_offered(name.partition(":")[2], design) for name, design in ready_made(runtime).items()]
    kept = [one for one in await saved.listed(runtime=runtime) if one.version is not None]
    return found + [_offered(one.name, (await saved.version(one.id, runtime=runtime))[1], one.version) for one in kept]


async def plan_of(name: str, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
    """Return the plan of a template with its parameters: of one that comes with it, else of the newest version of a saved one.

    Raises `NotFound`, and `InvalidInput` that names the parameter.
    """
    design = next((one for key, one in ready_made(runtime).items() if key.partition(":")[2] == name), None)
    if design is None:
        template = await saved.named(name, runtime=runtime)
        if template is None:
            raise NotFound(
                f"There is no template {name[:100]!r}: `agent plans templates` and the page Workflows list them."
            )
        _, design = await saved.version(template, runtime=runtime)
    return design.filled(parameters)


def _offered(name: str, design: Design, version: int | None = None) -> Offered:
    return Offered(name=name, summary=design.summary, parameters=design.as_json()["parameters"], version=version)


def _of_template(one: Template) -> Design:
    parameters = [Parameter(name=name, default=value) for name, value in one.parameters.items()]
    return Design(plan={**one.plan}, parameters=parameters, summary=one.summary)


def _of_workflow(one: Workflow) -> Design:
    return Design(plan=one.outline(), parameters=[_parameter(name, value) for name, value in one.parameters.items()], summary=one.description)  # fmt: skip


def _parameter(name: str, value: object) -> Parameter:
    kinds: dict[type, Kind] = {bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}
    return Parameter(name=name, kind=kinds.get(type(value), "string"), default=value)


def _given_by_workflows() -> dict[tuple[str, str], Mapping[str, object]]:
    """Return what tasks are given in workflows, as a schema that only has names."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for workflow in integration_manager.coordinator.workflows:
        for task in workflow.tasks:
            _note(found.setdefault((task.agent or workflow.name, task.name), {}), task)
    return {key: {"properties": names} for key, names in found.items()}


def _note(names: dict[str, object], task: Task) -> None:
    names.update({name: {} for name in task.takes})
