"""A workflow as a value: tasks of integration agents, what each waits for, and the parameters that they are filled with. Pure.

    template + parameters -> plan of the orchestrator

`{topic}` in an input stands for a parameter, and `{"$from": "task.field"}` for what an earlier task gave.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import InvalidInput
from agent.orchestration.filling import filled
from agent.orchestration.references import references_in
from agent.runtime import Runtime

# A task that fails is tried once more; a platform that is away has been called several times before that.
_RETRIES = {"maxRetries": 1, "backoffMs": 500, "exponential": True, "jitter": 0.5, "nonRetryable": ["NonRetryable"]}
AGENT, HANDLERS = "integration:", "workflow:"
Handler = Callable[[dict[str, Any], Runtime], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: its name, the agent that does it ("" for a handler of the workflow), and its input. Without `after` it follows the one before it."""

    name: str
    agent: str = ""
    takes: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] | None = None
    seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A template. A parameter whose value is None must be given; the others may be left out. `handlers` do the tasks that name no agent."""

    name: str
    description: str
    tasks: tuple[Task, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    handlers: Mapping[str, Handler] = field(default_factory=dict)

    @property
    def dependencies(self) -> dict[str, tuple[str, ...]]:
        """Return the tasks that each task waits for."""
        before = ("", *(one.name for one in self.tasks))
        return {
            one.name: one.after if one.after is not None else tuple(filter(None, (before[at],)))
            for at, one in enumerate(self.tasks)
        }

    def plan(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan with these parameters. Raises `InvalidInput`, which names the parameter that is missing or unknown."""
        plan: dict[str, Any] = filled(self.outline(), self._values(given))
        return plan

    def outline(self) -> dict[str, Any]:
        """Return the plan before its parameters are filled in."""
        waits = self.dependencies
        steps = [
            {
                "id": one.name, "agentId": f"{AGENT}{one.agent}" if one.agent else f"{HANDLERS}{self.name}", "action": one.name,
                "input": dict(one.takes), "dependencies": list(waits[one.name]), "retryPolicy": _RETRIES,
                "timeout": one.seconds * 1000,
            }
            for one in self.tasks
        ]  # fmt: skip
        return {"id": self.name, "steps": steps}

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            has = ", ".join(self.parameters) or "none"
            raise InvalidInput(f"The workflow {self.name} has no parameter {unknown[0][:100]!r}: it has {has}.")
        values = {**self.parameters, **given}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise InvalidInput(f"The workflow {self.name} needs the parameter {missing[0]!r}: give it.")
        if any(True for _ in references_in(dict(given))):
            raise InvalidInput("A parameter is a value: it cannot stand for what a task gave ($from).")
        return values
