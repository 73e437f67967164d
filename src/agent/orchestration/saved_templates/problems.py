"""Finds what is wrong with a plan that is edited, and where: at which step, and at which of its fields. The words are the orchestrator's own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agent.errors import AgentError, InvalidInput
from agent.orchestration.catalogue import AgentInfo
from agent.orchestration.dependencies import Frontier, in_order
from agent.orchestration.filling import parameters_in
from agent.orchestration.plan import Plan, PlanStep, read_plan
from agent.orchestration.references import INDEX, INPUT, ITEM, NO_STEPS, references_in, step_named
from agent.orchestration.saved_templates.design import Design
from agent.text.faults import words

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong: `step` is the step's place (None: the plan as a whole), `field` a field of it ('' if it is no single one).

    One that does not `block` is said, and the template can be saved all the same.
    """

    text: str
    step: int | None = None
    field: str = ""
    blocks: bool = True


def problems(design: Design, read: Callable[[Plan], object] | None = None) -> list[Problem]:
    """Return everything that is wrong with a design; nothing if it runs. `read` raises for a plan with an agent that nobody knows."""
    found = list(_of_steps(design))
    parsed = {at: step for at, step in enumerate(map(_parsed, design.steps)) if step is not None}
    found += [*_twice(parsed), *_unknown(parsed), *_references(parsed)]
    if not any(one.field in ("id", "dependencies") for one in found):
        found += _circle(parsed)
    if not found:
        found += _as_a_whole(design)
    if read is not None:
        found += _agents(design, parsed, read)
    known = {one.name for one in design.parameters}
    found += [
        Problem(text=f"Nobody gives {{{name}}}: add a parameter of this name, if it is one.", step=at, blocks=False)
        for at, step in enumerate(design.steps) for name in dict.fromkeys(parameters_in(step)) if name not in known
    ]  # fmt: skip
    return found[:_MOST]


def unknown_actions(design: Design, agents: Sequence[AgentInfo]) -> list[Problem]:
    """Return the actions that an agent does not have, as far as it is known what it does. Nothing of it blocks: another process may know more."""
    found = []
    default = str(design.plan.get("agentId", ""))
    for at, step in enumerate(design.steps):
        agent_id, action = str(step.get("agentId") or default), str(step.get("action") or step.get("id", ""))
        known = max((one for one in agents if agent_id.startswith(one.id)), key=lambda one: len(one.id), default=None)
        if known and action not in known.actions and not {"approval", "plan"} & step.keys() and not any(parameters_in(action)):  # fmt: skip
            text = f"{known.id} has no action {action[:100]!r}: it has {', '.join(known.actions)[:300]}."
            found.append(Problem(text=text, step=at, field="action", blocks=False))
    return found[:_MOST]


def _of_steps(design: Design) -> Iterator[Problem]:
    if not design.steps:
        yield Problem(text="The plan has no step yet: add one.", field="steps")
    for at, step in enumerate(design.steps):
        try:
            PlanStep.model_validate(step)
        except ValidationError as error:
            for one in error.errors(include_input=False, include_url=False)[:5]:
                place = [str(part) for part in one["loc"]]
                inner = f"{'.'.join(place[1:])}: " if place[1:] else ""
                yield Problem(text=f"{inner}{words(one)}.", step=at, field=place[0] if place else "")


def _parsed(step: Mapping[str, Any]) -> PlanStep | None:
    try:
        return PlanStep.model_validate(step)
    except ValidationError:
        return None


def _twice(steps: Mapping[int, PlanStep]) -> Iterator[Problem]:
    first: dict[str, PlanStep] = {}
    for at, step in steps.items():
        if step.id in first:
            yield from _raised(lambda one=step: in_order([_alone(first[one.id]), _alone(one)]), at, "id")  # type: ignore[misc]  # mypy does not see the default
        first.setdefault(step.id, step)


def _unknown(steps: Mapping[int, PlanStep]) -> Iterator[Problem]:
    names = {step.id for step in steps.values()}
    for at, step in steps.items():
        for one in step.dependencies:
            if one not in names:
                alone = step.model_copy(update={"dependencies": (one,)})
                yield from _raised(lambda alone=alone: in_order([alone]), at, "dependencies")  # type: ignore[misc]  # as above


def _references(steps: Mapping[int, PlanStep]) -> Iterator[Problem]:
    names = {step.id for step in steps.values()}
    for at, step in steps.items():
        own = {INPUT, ITEM, INDEX} if step.for_each is not None else {INPUT}
        for field, part, more in (
            ("input", step.input, own),
            ("when", step.when, {INPUT}),
            ("forEach", step.for_each, {INPUT}),
        ):
            for path in references_in(part):
                yield from _raised(lambda path=path, more=more: step_named(path, names | more), at, field)  # type: ignore[misc]  # as above


def _circle(steps: Mapping[int, PlanStep]) -> Iterator[Problem]:
    """Say at each step of a circle that it is in one. What a step names in its input it waits for, too."""
    names = {step.id for step in steps.values()}
    waiting = [step.model_copy(update={"dependencies": tuple(_needs(step, names))}) for step in steps.values()]
    try:
        in_order(waiting)
    except InvalidInput as error:
        front = Frontier(waiting)
        inside = [at for at, step in steps.items() if step.id in front.behind(step.id)]
        yield from (Problem(text=str(error), step=at, field="dependencies") for at in inside)


def _needs(step: PlanStep, names: set[str]) -> Sequence[str]:
    named = [step_named(path, names | set(NO_STEPS)) for path in references_in([step.input, step.when, step.for_each])]
    return [*step.dependencies, *(one for one in named if one not in NO_STEPS)]


def _as_a_whole(design: Design) -> Iterator[Problem]:
    """Say what only the whole plan shows, at the step that the message quotes."""
    try:
        read_plan(design.plan)
    except InvalidInput as error:
        text = str(error)
        at = next((at for at, step in enumerate(design.steps) if repr(step.get("id")) in text), None)
        yield Problem(text=text, step=at, field="agentId" if "agent" in text else "")


def _agents(design: Design, steps: Mapping[int, PlanStep], read: Callable[[Plan], object]) -> Iterator[Problem]:
    default = design.plan.get("agentId") or next((one.agent_id for one in steps.values() if one.agent_id), "")
    for at, step in steps.items():
        agent_id = step.agent_id or (default if step.is_agents else "")
        if step.is_agents and agent_id:
            alone = Plan(id="plan", steps=(PlanStep(id=step.id, agent_id=agent_id, action=step.action or step.id),))
            for one in _raised(lambda alone=alone: read(alone), at, "agentId"):  # type: ignore[misc]  # as above
                yield Problem(text=one.text, step=at, field=one.field, blocks=False)


def _raised(rule: Callable[[], object], at: int, field: str) -> Iterator[Problem]:
    try:
        rule()
    except AgentError as error:
        yield Problem(text=str(error), step=at, field=field)


def _alone(step: PlanStep) -> PlanStep:
    return step.model_copy(update={"dependencies": ()})
