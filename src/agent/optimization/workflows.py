"""Types of workflows: which parameters each has, its recorded cases, and how one case is run again without effects.

A workflow of your own is one file that calls `register(Workflow(...))`. A type that nobody registered is judged from its recorded
runs alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.sync.payloads import checked_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a workflow, and which values it may have."""

    kind: Literal["integer", "number", "boolean", "text"]
    low: float | None = None
    high: float | None = None
    choices: Sequence[Any] = ()

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        kinds: Mapping[str, tuple[type, ...]] = {
            "integer": (int,), "number": (int, float), "boolean": (bool,), "text": (str,),
        }  # fmt: skip
        if not isinstance(value, kinds[self.kind]) or (isinstance(value, bool) and self.kind != "boolean"):
            return f"must be a value of the kind {self.kind}"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(repr, self.choices))}"
        number = value if isinstance(value, int | float) else None
        if number is not None and self.low is not None and not number >= self.low:
            return f"must be at least {self.low:g}"
        if number is not None and self.high is not None and not number <= self.high:
            return f"must be at most {self.high:g}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A recorded case. `part` is the slice that it belongs to; `content` is for the workflow's own replay."""

    case_id: str
    content: Any = None
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How a replay ended. `success` is None where the case cannot be judged, and `reason` says why."""

    success: bool | None
    seconds: float = 0.0
    cost_usd: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A type of workflow. `replay` runs a case with parameters in the place of those in force, and has no effect.

    `most_usd_a_case` is the highest price of one replay, or `most_usd` tells it; `here` says what this installation does not allow.
    """

    name: str
    parameters: Mapping[str, Parameter]
    cases: Callable[[Runtime], Awaitable[Sequence[Case]]]
    replay: Callable[[Case, Mapping[str, Any], Runtime], Awaitable[Replayed]]
    current: Callable[[Runtime], Awaitable[Mapping[str, Any]]] = field(default=lambda _runtime: _nothing())
    most_usd_a_case: float = 0.0
    most_usd: Callable[[Runtime], float] | None = None
    here: Callable[[Mapping[str, Any], Runtime], Sequence[str]] | None = None

    def price(self, runtime: Runtime) -> float:
        """Return the highest price of one replay in US dollars, which is reserved before it."""
        return self.most_usd(runtime) if self.most_usd else self.most_usd_a_case

    def problems_here(self, parameters: Mapping[str, Any], runtime: Runtime) -> list[str]:
        """Return what is wrong with parameters, also with this installation's settings."""
        return [*self.problems(parameters), *(self.here(parameters, runtime) if self.here else ())]

    def problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with parameters."""
        found = [
            f"{name!r} is no parameter of {self.name}" for name in sorted(parameters.keys() - self.parameters.keys())
        ]
        for name in sorted(parameters.keys() & self.parameters.keys()):
            problem = self.parameters[name].problem(parameters[name])
            found += [f"{name} {problem}"] if problem else []
        return found


async def _nothing() -> Mapping[str, Any]:
    return {}


_REGISTERED: dict[str, Workflow] = {}


def register(workflow: Workflow) -> Workflow:
    """Make a type of workflow known in this process; one of the same name takes its place. Raises `InvalidInput`."""
    checked_name(workflow.name, what="A workflow's name")
    if not workflow.parameters:
        raise InvalidInput(f"The workflow {workflow.name!r} has no parameters, so nothing of it can be improved.")
    _REGISTERED[workflow.name] = workflow
    return workflow


def registered(name: str) -> Workflow | None:
    """Return the workflow of a name, or None where nobody registered it."""
    return _REGISTERED.get(name)
