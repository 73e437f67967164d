"""A template as it is edited: a plan that need not run yet, and the parameters that it is filled with. Pure.

Every edit returns a new design. A step is known by a digest of what it was when somebody looked at it, so that two people who edit
different steps both keep their work, and nobody overwrites what they have not seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from agent.errors import InvalidInput, StateChanged
from agent.orchestration.filling import filled
from agent.orchestration.plan import MOST_STEPS, read_plan
from agent.orchestration.references import is_reference, references_in
from agent.sync.payloads import checked_object

Kind = Literal["string", "number", "boolean", "object", "array"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_PARAMETERS, _MOST_BYTES = 50, 4_000_000
_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_CHANGED = "Somebody changed or removed this step meanwhile. What you wrote is below: look at what there is now, and save again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a plan of the template is filled with: `{name}` in its texts. One without a default must be given."""

    name: str
    kind: Kind = "string"
    default: Any = None
    about: str = ""

    @property
    def required(self) -> bool:
        """Return whether it must be given."""
        return self.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A plan as JSON, its parameters, and what it is for."""

    plan: Mapping[str, Any]
    parameters: Sequence[Parameter] = ()
    summary: str = ""

    @property
    def steps(self) -> Sequence[dict[str, Any]]:
        """Return the steps."""
        found: Sequence[dict[str, Any]] = self.plan["steps"]
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the design as the JSON that `read_design` reads. The parameters are a JSON Schema."""
        properties = {
            one.name: {"type": one.kind, **({} if one.required else {"default": one.default}), **({"description": one.about} if one.about else {})}
            for one in self.parameters
        }  # fmt: skip
        required = [one.name for one in self.parameters if one.required]
        return {"summary": self.summary, "parameters": {"type": "object", "properties": properties, "required": required}, "plan": dict(self.plan)}  # fmt: skip

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan with these parameters. Raises `InvalidInput`, which names the parameter that is missing, unknown or of another kind."""
        known = {one.name: one for one in self.parameters}
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            raise InvalidInput(f"The template has no parameter {unknown[:100]!r}: it has {', '.join(known) or 'none'}.")
        missing = next((one.name for one in self.parameters if one.required and given.get(one.name) is None), None)
        if missing is not None:
            raise InvalidInput(f"Give the parameter {missing!r}: it has no default.")
        values = {
            name: one.default if given.get(name) is None else value_of(one, given[name]) for name, one in known.items()
        }
        plan: dict[str, Any] = filled(self.plan, values)
        return plan


def value_of(parameter: Parameter, given: Any) -> Any:
    """Return the value of a parameter, which may be given as a text. A reference to a step is none. Raises `InvalidInput`."""
    if parameter.kind == "string" and isinstance(given, str):
        return given
    if parameter.kind == "boolean":
        found = {"true": True, "yes": True, "false": False, "no": False}.get(str(given).strip().lower())
        if found is not None:
            return found
    read = _from_json(given) if isinstance(given, str) else given
    if (
        parameter.kind == "number"
        and isinstance(read, int | float)
        and not isinstance(read, bool)
        and abs(read) < 1e300
    ):
        return read
    if (parameter.kind == "object" and isinstance(read, dict)) or (
        parameter.kind == "array" and isinstance(read, list)
    ):
        checked_object(
            {"value": read}, what=f"The parameter {parameter.name!r}", most_bytes=_MOST_BYTES, setting="a fixed bound"
        )
        if next(iter(references_in(read)), None) is None:
            return read
        raise InvalidInput(f"The parameter {parameter.name!r} holds a reference ($from): write values.")
    words = {
        "string": "a text",
        "number": "a number",
        "boolean": "true or false",
        "object": "a JSON object",
        "array": "a JSON list",
    }
    raise InvalidInput(f"The parameter {parameter.name!r} is {words[parameter.kind]}, not {str(given)[:100]!r}.")


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def blank(name: str) -> Design:
    """Return a design without steps."""
    return Design(plan={"id": name, "steps": []})


def read_design(given: Any) -> Design:
    """Return a design from JSON: one that was exported, or a bare plan. Its plan need not run. Raises `InvalidInput`."""
    if not isinstance(given, Mapping):
        raise InvalidInput("A template is a JSON object with a plan and its parameters, or a plan.")
    of_plan = given if "plan" not in given or "steps" in given else {}
    plan = of_plan or given["plan"]
    if not isinstance(plan, Mapping) or not isinstance(plan.get("steps", []), list):
        raise InvalidInput("A plan is a JSON object, such as {'id': 'report', 'steps': [...]}.")
    steps = [_step(one) for one in plan.get("steps", [])]
    if len(steps) > MOST_STEPS:
        raise InvalidInput(f"The plan has {len(steps):,} steps; at most {MOST_STEPS:,} are taken.")
    parameters = () if of_plan else _parameters(given.get("parameters", {}))
    summary = "" if of_plan else str(given.get("summary") or "")[:500]
    design = Design(plan={"id": "plan", **plan, "steps": steps}, parameters=parameters, summary=summary)
    checked_object(design.as_json(), what="The template", most_bytes=_MOST_BYTES, setting="a fixed bound")
    return design


def checked(design: Design) -> Design:
    """Return a design whose plan runs once its parameters are given. Raises `InvalidInput`, which says what is wrong."""
    names = [one.name for one in design.parameters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"Two parameters are called {twice!r}: give each its own name.")
    read_plan(design.plan)
    return design


def _step(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InvalidInput("Each step is a JSON object with an id.")
    return {_CAMEL.get(str(name), str(name)): value for name, value in given.items()}


_CAMEL = {"agent_id": "agentId", "retry_policy": "retryPolicy", "for_each": "forEach"}


def _parameters(schema: Any) -> tuple[Parameter, ...]:
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or len(properties) > MOST_PARAMETERS:
        raise InvalidInput(f"The parameters are a JSON Schema of at most {MOST_PARAMETERS} properties.")
    return tuple(_parameter(name, one) for name, one in properties.items())


def _parameter(name: Any, schema: Any) -> Parameter:
    kind = schema.get("type", "string") if isinstance(schema, Mapping) else None
    kind = "number" if kind == "integer" else kind
    if kind not in KINDS:
        raise InvalidInput(f"The parameter {str(name)[:100]!r} has no type that can be given: use {', '.join(KINDS)}.")
    return parameter(str(name), kind, schema.get("default"), str(schema.get("description") or ""))


def parameter(name: str, kind: Kind, default: Any, about: str = "") -> Parameter:
    """Return a parameter that is checked. Raises `InvalidInput`."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name[:100]!r} is no name of a parameter: use letters, digits and _, and begin with a letter.")  # fmt: skip
    found = Parameter(name=name, kind=kind, default=default, about=about[:500])
    return found if default is None else replace(found, default=value_of(found, default))


def digest(step: Mapping[str, Any]) -> str:
    """Return what a step is known by."""
    text = json.dumps(step, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def place_of(design: Design, place: int, seen: str) -> int:
    """Return where the step stands now that somebody saw at a place. Raises `StateChanged` if it is not there as they saw it."""
    if 0 <= place < len(design.steps) and digest(design.steps[place]) == seen:
        return place
    found = next((at for at, step in enumerate(design.steps) if digest(step) == seen), None)
    if found is None:
        raise StateChanged(_CHANGED)
    return found


def with_step(design: Design, step: Mapping[str, Any]) -> Design:
    """Return the design with one more step at the end. Raises `InvalidInput`."""
    if len(design.steps) >= MOST_STEPS:
        raise InvalidInput(f"The plan has {MOST_STEPS:,} steps: take some out first.")
    return _with(design, [*design.steps, dict(step)])


def changed(design: Design, place: int, step: Mapping[str, Any]) -> Design:
    """Return the design with another step at a place. Where its id is another one, the steps that name it do so by the new id."""
    old, new = str(design.steps[place].get("id", "")), str(step.get("id", ""))
    others = [one.get("id") for at, one in enumerate(design.steps) if at != place]
    if old == new or old in others or not new or new in others:
        return _with(design, [dict(step) if at == place else one for at, one in enumerate(design.steps)])
    steps = [dict(step) if at == place else _renamed(one, old, new) for at, one in enumerate(design.steps)]
    return _with(design, steps)


def without(design: Design, place: int) -> Design:
    """Return the design without a step; nothing waits for it any more. What names its output does so still, and is shown as wrong."""
    gone = design.steps[place].get("id")
    steps = [
        {**one, "dependencies": [other for other in one["dependencies"] if other != gone]} if gone in one.get("dependencies", ()) else one
        for at, one in enumerate(design.steps) if at != place
    ]  # fmt: skip
    return _with(design, steps)


def moved(design: Design, place: int, by: Literal[-1, 1]) -> Design:
    """Return the design with a step one place further up or down in the list."""
    steps, to = list(design.steps), place + by
    if 0 <= to < len(steps):
        steps[place], steps[to] = steps[to], steps[place]
    return _with(design, steps)


def fresh_id(design: Design, wanted: str = "step") -> str:
    """Return an id that no step has."""
    known = {one.get("id") for one in design.steps}
    return next(name for number in range(1, MOST_STEPS + 2) if (name := f"{wanted}_{number}") not in known)


def _with(design: Design, steps: Sequence[Mapping[str, Any]]) -> Design:
    made = replace(design, plan={**design.plan, "steps": [dict(one) for one in steps]})
    checked_object(made.as_json(), what="The template", most_bytes=_MOST_BYTES, setting="a fixed bound")
    return made


def _renamed(step: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    def path(text: str) -> str:
        return new + text[len(old) :] if text == old or text.startswith(f"{old}.") else text

    made = {name: _each_reference(value, path) for name, value in step.items() if name != "plan"}
    if "plan" in step:  # its references name its own steps
        made["plan"] = step["plan"]
    if isinstance(step.get("dependencies"), list):
        made["dependencies"] = [new if one == old else one for one in step["dependencies"]]
    return made


def _each_reference(part: Any, path: Callable[[str], str]) -> Any:
    if is_reference(part):
        return {**part, "$from": path(part["$from"])}
    if isinstance(part, Mapping):
        return {name: _each_reference(value, path) for name, value in part.items()}
    if isinstance(part, list):
        return [_each_reference(one, path) for one in part]
    return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is other in a later version: a step (or a setting of the plan, or a parameter), and each of its fields then and now."""

    what: str
    kind: Literal["new", "gone", "changed"]
    fields: Sequence[tuple[str, Any, Any]] = ()


def differences(before: Design, after: Design) -> list[Difference]:
    """Return what is other in the later one of two versions."""
    found: list[Difference] = []
    pairs: list[tuple[str, _Parts, _Parts]] = [
        ("plan", {"plan": _settings(before)}, {"plan": _settings(after)}),
        ("parameter", _parameters_of(before), _parameters_of(after)),
        ("step", _steps_of(before), _steps_of(after)),
    ]
    for noun, then, now in pairs:
        for name in {**then, **now}:
            old, new = then.get(name), now.get(name)
            what = name if noun == "plan" else f"{noun} {name}"
            if old is None or new is None:
                found.append(Difference(what=what, kind="new" if old is None else "gone"))
            elif old != new:
                fields = [(key, old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)]
                found.append(Difference(what=what, kind="changed", fields=fields))
    return found


_Parts = Mapping[str, Mapping[str, Any]]


def _parameters_of(design: Design) -> _Parts:
    return {one.name: {"type": one.kind, "default": one.default, "about": one.about} for one in design.parameters}


def _steps_of(design: Design) -> _Parts:
    return {str(one.get("id", at)): one for at, one in enumerate(design.steps)}


def _settings(design: Design) -> dict[str, Any]:
    return {**{name: value for name, value in design.plan.items() if name != "steps"}, "summary": design.summary}
