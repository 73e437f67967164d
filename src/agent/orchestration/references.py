"""Inputs that name what earlier steps gave, and conditions on it. Pure.

    {"learner": "ana", "correct": {"$from": "activity.correct"}}      when: {"$from": "activity.struggling", "equals": true}

A path is a step's id and the fields or places inside its output, with dots between them. Which step it names decides the longest id
that fits. A step waits for every step that it names. A path through nothing leads to nothing (null): so a step can name what one of two
branches gave, and a condition on a step that was skipped does not hold. `$input` names the plan's own input, `$item` and `$index` the element of a list that
a step is done for, and its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from agent.errors import InvalidInput

_FROM = "$from"
INPUT, ITEM, INDEX = "$input", "$item", "$index"
NO_STEPS = (INPUT, ITEM, INDEX)


def is_reference(value: Any) -> bool:
    """Return whether a part of an input stands for what a step gave."""
    return isinstance(value, Mapping) and isinstance(value.get(_FROM), str) and set(value) <= {_FROM, "equals"}


def references_in(value: Any) -> Iterator[str]:
    """Yield the paths that an input names."""
    left = [value]
    while left:
        part = left.pop()
        if is_reference(part):
            yield part[_FROM]
        elif isinstance(part, Mapping):
            left.extend(part.values())
        elif isinstance(part, list | tuple):
            left.extend(part)


def step_named(path: str, steps: Collection[str]) -> str:
    """Return the step that a path names. Raises `InvalidInput`."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        if name in steps:
            return name
    raise InvalidInput(f"The reference {path[:200]!r} names no step of the plan: begin it with a step's id.")


def filled(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Return an input with what its references stand for. Raises `InvalidInput` for a field or place that is not there."""
    if is_reference(value):
        return _found(value[_FROM], outputs)
    if isinstance(value, Mapping):
        return {key: filled(part, outputs) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [filled(part, outputs) for part in value]
    return value


def holds(condition: Mapping[str, Any] | None, outputs: Mapping[str, Any]) -> bool:
    """Return whether a step is to run: what its condition names equals the value given, or is true if none is given."""
    if condition is None:
        return True
    found = _found(condition[_FROM], outputs)
    return bool(found == condition["equals"]) if "equals" in condition else bool(found)


def _found(path: str, outputs: Mapping[str, Any]) -> Any:
    name = step_named(path, outputs)
    value = outputs[name]
    for part in path[len(name) :].split(".")[1:]:
        if value is None:
            return None
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise InvalidInput(f"The reference {path[:200]!r} leads to nothing: {name!r} gave no {part[:100]!r}.")
    return value
