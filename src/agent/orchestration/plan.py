"""A plan as a value: steps of agents, what each waits for, and how failures are met. Pure.

    JSON, as people and programs write it -> read_plan -> Plan: checked, completed, in an order that runs

A plan that is read has no open question left: each step names its agent and its action, and each dependency exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.errors import InvalidInput
from agent.orchestration.dependencies import in_order
from agent.orchestration.references import INDEX, INPUT, ITEM, NO_STEPS, is_reference, references_in, step_named
from agent.text.faults import fault
from agent.types import RiskLevel

MOST_STEPS = 10_000
MOST_FALLBACKS = 10
MOST_SUB_PLANS = 5
# What a process understands of plans: a row with a higher number is left to newer ones.
FORMAT = 2
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Milliseconds = Annotated[float, Field(gt=0, le=30 * 86_400_000, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class RetryPolicy(_Part):
    """How often a step that fails is tried again, and after which pause: 1, 2, 3 times `backoff_ms`, or 1, 2, 4 times if `exponential`.

    `jitter` shortens each pause by a random part of up to this share. An error whose class is named in `non_retryable` is final.
    """

    max_retries: int = Field(0, ge=0, le=100)
    backoff_ms: float = Field(1_000, ge=0, le=86_400_000, allow_inf_nan=False)
    exponential: bool = False
    jitter: float = Field(0, ge=0, le=1)
    non_retryable: tuple[_Name, ...] = ()

    def pause(self, attempt: int, chance: float = 0.0) -> float:
        """Return the seconds before the retry that follows attempt number `attempt` (1, 2, ...); `chance` is between 0 and 1."""
        times = 2.0 ** min(attempt - 1, 40) if self.exponential else float(attempt)
        return min(self.backoff_ms * times, 86_400_000.0) / 1000 * (1 - self.jitter * chance)


class Compensation(_Part):
    """What takes a step's effect back when its plan fails later. Its input may name what the step and those before it gave."""

    agent_id: _Name = ""
    action: _Name
    input: dict[str, Any] = {}


class ApprovalRequest(_Part):
    """A question to a human, who sees the step's input. It expires after `timeout` milliseconds, which means no."""

    summary: Annotated[str, Field(max_length=1_000)] = ""
    risk_level: RiskLevel = "MEDIUM"
    timeout: _Milliseconds | None = None


class PlanStep(_Part):
    """One action of one agent, a question to a human (`approval`), or a plan of its own (`plan`, which gets the step's input).

    `timeout` is for each attempt, in milliseconds. `input` and `when` may name what earlier steps gave. With `for_each` (a list, or a
    reference to one) it is done for each element, `concurrency` at a time, and gives the list of what each gave.
    """

    id: _Name
    agent_id: _Name = ""
    action: _Name = ""
    input: dict[str, Any] = {}
    dependencies: tuple[_Name, ...] = ()
    retry_policy: RetryPolicy = RetryPolicy()
    timeout: _Milliseconds | None = None
    when: dict[str, Any] | None = None
    for_each: list[Any] | dict[str, Any] | None = None
    concurrency: int = Field(10, ge=1, le=1_000)
    compensation: Compensation | None = None
    approval: ApprovalRequest | None = None
    plan: dict[str, Any] | None = None

    @property
    def is_agents(self) -> bool:
        """Return whether an agent does it."""
        return self.approval is None and self.plan is None

    @property
    def performer(self) -> str:
        """Return who does it, as events and lists say it."""
        return self.agent_id if self.is_agents else "human" if self.approval is not None else "plan"

    @property
    def agents(self) -> tuple[str, ...]:
        """Return every agent that it needs."""
        own = (self.agent_id,) if self.is_agents else ()
        inner = Plan.model_validate(self.plan).agents if self.plan is not None else ()
        return (*own, *inner, *((self.compensation.agent_id,) if self.compensation is not None else ()))


class Plan(_Part):
    """Steps, and what they share. With `parallel` false one step follows the other, and the first failure ends the plan.

    `timeout` is for the whole plan, in milliseconds. `agent_id` is the agent of steps that name none. Steps name `input` as `$input`.
    """

    id: _Name
    steps: tuple[PlanStep, ...] = Field(min_length=1, max_length=MOST_STEPS)
    parallel: bool = True
    timeout: _Milliseconds | None = None
    agent_id: _Name = ""
    input: dict[str, Any] = {}
    fallback_plan: Plan | None = None

    def chain(self) -> Iterator[Plan]:
        """Yield the plan, its fallback, the fallback's fallback, and so on."""
        plan: Plan | None = self
        while plan is not None:
            yield plan
            plan = plan.fallback_plan

    @property
    def agents(self) -> tuple[str, ...]:
        """Return every agent that the plan and its fallbacks need."""
        return tuple(sorted({name for plan in self.chain() for step in plan.steps for name in step.agents}))

    @property
    def format(self) -> int:
        """Return which format of plans a process must understand to run this one."""
        return 1 if all(map(_is_old, self.chain())) else FORMAT

    def as_json(self) -> dict[str, Any]:
        """Return the plan as the JSON that `read_plan` reads."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _is_old(plan: Plan) -> bool:
    new = (step.for_each is not None or step.compensation is not None or not step.is_agents for step in plan.steps)
    return not plan.input and not any(new)


Choose = Callable[[str], str | None]


def _nobody(action: str) -> str | None:
    del action
    return None


def read_plan(given: Mapping[str, Any] | Plan, *, depth: int = 0, choose: Choose = _nobody) -> Plan:
    """Return a plan that is checked and complete. Raises `InvalidInput` that names the step and says what is wrong with it.

    `choose` gives the agent for the action of a step for which the plan names none, or None.
    """
    if depth > MOST_SUB_PLANS:
        raise InvalidInput(f"The plan has more than {MOST_SUB_PLANS} plans inside each other: flatten some.")
    data = given.as_json() if isinstance(given, Plan) else given
    plan: Plan | None = None
    for level in reversed(_levels(data)):  # the innermost first: no recursion over what a stranger nested
        plan = _completed(_parsed(level), depth, choose).model_copy(update={"fallback_plan": plan})
    if plan is None:  # pragma: no cover  # _levels returns one at least
        raise InvalidInput("A plan is a JSON object.")
    return plan


def _levels(data: Any) -> list[dict[str, Any]]:
    """Return the plan and its fallbacks, each without its own fallback, and each with an id (a made one, where none is given) and a default agent."""
    levels: list[dict[str, Any]] = []
    while data is not None:
        if not isinstance(data, Mapping):
            raise InvalidInput("A plan and a fallbackPlan are JSON objects, such as {'id': 'report', 'steps': [...]}.")
        if len(levels) > MOST_FALLBACKS:
            raise InvalidInput(f"The plan has more than {MOST_FALLBACKS} fallbacks inside each other: leave some out.")
        level = {_camel(key): value for key, value in data.items()}
        data = level.pop("fallbackPlan", None)
        if levels:
            level.setdefault("id", f"{levels[-1].get('id')}_fallback")
            for shared in ("agentId", "input"):
                if shared in levels[-1]:
                    level.setdefault(shared, levels[-1][shared])
        else:
            level.setdefault("id", f"plan_{uuid4().hex[:12]}")
        levels.append(level)
    return levels


def _camel(key: Any) -> Any:
    return to_camel(key) if isinstance(key, str) and "_" in key else key


def _parsed(level: Mapping[str, Any]) -> Plan:
    try:
        return Plan.model_validate(level)
    except ValidationError as error:
        where = _place(error.errors()[0]["loc"], level)
        raise InvalidInput(f"The plan is not valid at {where}: {fault(error)[1]}.") from None


def _place(location: tuple[int | str, ...], level: Mapping[str, Any]) -> str:
    """Return where in the plan something is wrong, with the id of the step."""
    names = ".".join(map(str, location))[:200]
    if len(location) > 1 and location[0] == "steps" and isinstance(location[1], int):
        steps = level["steps"]
        step = steps[location[1]] if isinstance(steps, list | tuple) else None
        if isinstance(step, Mapping) and isinstance(step.get("id"), str):
            names += f" (step {step['id'][:100]!r})"
    return names


def _completed(plan: Plan, depth: int, choose: Choose) -> Plan:
    """Return the plan with an agent and an action in each step, in an order that runs; one after the other if it is not parallel."""
    default = plan.agent_id or next((step.agent_id for step in plan.steps if step.agent_id), "")
    names = {step.id for step in plan.steps}
    ordered = in_order([_waiting_for_references(step, names) for step in plan.steps])
    done: list[PlanStep] = []
    for step in ordered:
        needs = dict.fromkeys(step.dependencies)
        if not plan.parallel and done:
            needs[done[-1].id] = None
        changes = _named(step, default, plan.id, depth, choose)
        done.append(step.model_copy(update={**changes, "action": step.action or step.id, "dependencies": tuple(needs)}))
    _check_row_names(done, names)
    return plan.model_copy(update={"steps": tuple(done)})


def _check_row_names(steps: list[PlanStep], names: set[str]) -> None:
    """Raise `InvalidInput` if a step has the name of a row of another one: of an element of its list, or of what takes it back."""
    lists = {step.id for step in steps if step.for_each is not None}
    for name in names:
        stem, bracket, _ = name.rpartition("[")
        if (bracket and stem in lists) or (name.endswith("~back") and name.removesuffix("~back") in names):
            raise InvalidInput(f"The id {name!r} belongs to a part of another step: give the step another id.")


def _named(step: PlanStep, default: str, plan_id: str, depth: int, choose: Choose) -> dict[str, Any]:
    """Return who does a step and who takes it back."""
    if step.approval is not None and (step.plan is not None or step.for_each is not None):
        raise InvalidInput(f"Step {step.id!r} is a question to a human: give it no plan and no forEach.")
    agent_id = step.agent_id or (default or choose(step.action or step.id) or "" if step.is_agents else "")
    if step.is_agents and not agent_id:
        raise InvalidInput(f"Step {step.id!r} names no agent: give it an agentId, or give the plan one.")
    changes: dict[str, Any] = {"agent_id": agent_id}
    if step.plan is not None:
        inner = {"id": f"{plan_id}.{step.id}"[:200], **({"agentId": default} if default else {}), **step.plan}
        changes["plan"] = read_plan(inner, depth=depth + 1, choose=choose).as_json()
    if step.compensation is not None:
        who = step.compensation.agent_id or agent_id or default
        if not who:
            raise InvalidInput(f"The compensation of step {step.id!r} names no agent: give it an agentId.")
        changes["compensation"] = step.compensation.model_copy(update={"agent_id": who})
    return changes


def _waiting_for_references(step: PlanStep, names: set[str]) -> PlanStep:
    """Return a step that also waits for what its input, its condition and its list name."""
    if step.id in NO_STEPS:
        raise InvalidInput(f"No step can have the id {step.id!r}: give it another.")
    if step.when is not None and not is_reference(step.when):
        raise InvalidInput(f"The condition of step {step.id!r} is no reference: write {{'$from': 'step.field', 'equals': ...}}.")  # fmt: skip
    if isinstance(step.for_each, dict) and not is_reference(step.for_each):
        raise InvalidInput(f"forEach of step {step.id!r} is no list: give it one, or a reference {{'$from': 'step.field'}}.")  # fmt: skip
    own = {INPUT, ITEM, INDEX} if step.for_each is not None else {INPUT}
    named = [step_named(path, names | own) for path in references_in(step.input)]
    named += [step_named(path, names | {INPUT}) for path in references_in([step.when, step.for_each])]
    if step.compensation is not None:
        for path in references_in(step.compensation.input):
            step_named(path, names | {INPUT})
    needs = (*step.dependencies, *(one for one in named if one not in NO_STEPS))
    return step.model_copy(update={"dependencies": tuple(dict.fromkeys(needs))})
