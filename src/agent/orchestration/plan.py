"""A plan as a value: steps of agents, what each waits for, and how failures are met. Pure.

    JSON, as people and programs write it -> read_plan -> Plan: checked, completed, in an order that runs

A plan that is read has no open question left: each step names its agent and its action, and each dependency exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.errors import InvalidInput
from agent.orchestration.dependencies import in_order
from agent.orchestration.references import is_reference, references_in, step_named

MOST_STEPS = 10_000
MOST_FALLBACKS = 10
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


class PlanStep(_Part):
    """One action of one agent. `timeout` is for each attempt, in milliseconds. `input` and `when` may name what earlier steps gave."""

    id: _Name
    agent_id: _Name = ""
    action: _Name = ""
    input: dict[str, Any] = {}
    dependencies: tuple[_Name, ...] = ()
    retry_policy: RetryPolicy = RetryPolicy()
    timeout: _Milliseconds | None = None
    when: dict[str, Any] | None = None


class Plan(_Part):
    """Steps, and what they share. With `parallel` false one step follows the other, and the first failure ends the plan.

    `timeout` is for the whole plan, in milliseconds. `agent_id` is the agent of steps that name none.
    """

    id: _Name
    steps: tuple[PlanStep, ...] = Field(min_length=1, max_length=MOST_STEPS)
    parallel: bool = True
    timeout: _Milliseconds | None = None
    agent_id: _Name = ""
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
        return tuple(sorted({step.agent_id for plan in self.chain() for step in plan.steps}))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as the JSON that `read_plan` reads."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def read_plan(given: Mapping[str, Any] | Plan) -> Plan:
    """Return a plan that is checked and complete. Raises `InvalidInput` that names the step and says what is wrong with it."""
    data = given.as_json() if isinstance(given, Plan) else given
    plan: Plan | None = None
    for level in reversed(_levels(data)):  # the innermost first: no recursion over what a stranger nested
        plan = _completed(_parsed(level)).model_copy(update={"fallback_plan": plan})
    if plan is None:  # pragma: no cover  # _levels returns one at least
        raise InvalidInput("A plan is a JSON object.")
    return plan


def _levels(data: Any) -> list[dict[str, Any]]:
    """Return the plan and its fallbacks, each without its own fallback, and each with an id and a default agent."""
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
            if "agentId" in levels[-1]:
                level.setdefault("agentId", levels[-1]["agentId"])
        levels.append(level)
    return levels


def _camel(key: Any) -> Any:
    return to_camel(key) if isinstance(key, str) and "_" in key else key


def _parsed(level: Mapping[str, Any]) -> Plan:
    try:
        return Plan.model_validate(level)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"The plan is not valid at {_place(first['loc'], level)}: {first['msg']}.") from None


def _place(location: tuple[int | str, ...], level: Mapping[str, Any]) -> str:
    """Return where in the plan something is wrong, with the id of the step."""
    names = ".".join(map(str, location))[:200]
    if len(location) > 1 and location[0] == "steps" and isinstance(location[1], int):
        steps = level["steps"]
        step = steps[location[1]] if isinstance(steps, list | tuple) else None
        if isinstance(step, Mapping) and isinstance(step.get("id"), str):
            names += f" (step {step['id'][:100]!r})"
    return names


def _completed(plan: Plan) -> Plan:
    """Return the plan with an agent and an action in each step, in an order that runs; one after the other if it is not parallel."""
    default = plan.agent_id or next((step.agent_id for step in plan.steps if step.agent_id), "")
    names = {step.id for step in plan.steps}
    ordered = in_order([_waiting_for_references(step, names) for step in plan.steps])
    done: list[PlanStep] = []
    for step in ordered:
        agent_id = step.agent_id or default
        if not agent_id:
            raise InvalidInput(f"Step {step.id!r} names no agent: give it an agentId, or give the plan one.")
        needs = dict.fromkeys(step.dependencies)
        if not plan.parallel and done:
            needs[done[-1].id] = None
        changes = {"agent_id": agent_id, "action": step.action or step.id, "dependencies": tuple(needs)}
        done.append(step.model_copy(update=changes))
    return plan.model_copy(update={"steps": tuple(done)})


def _waiting_for_references(step: PlanStep, names: set[str]) -> PlanStep:
    """Return a step that also waits for what its input and its condition name."""
    if step.when is not None and not is_reference(step.when):
        raise InvalidInput(f"The condition of step {step.id!r} is no reference: write {{'$from': 'step.field', 'equals': ...}}.")  # fmt: skip
    named = dict.fromkeys(step_named(path, names) for path in references_in([step.input, step.when]))
    return step.model_copy(update={"dependencies": tuple(dict.fromkeys((*step.dependencies, *named)))})
