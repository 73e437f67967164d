"""Fills the parameters of a template in. Pure.

`{topic}` in a text stands for a parameter. A text that is one parameter becomes its value, of whatever type; other braces stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PARAMETER = re.compile(r"\{(\w+)\}")


def filled(part: Any, values: Mapping[str, Any]) -> Any:
    """Return a part of a plan with its parameters."""
    if isinstance(part, Mapping):
        return {key: filled(value, values) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [filled(one, values) for one in part]
    if not isinstance(part, str):
        return part
    whole = _PARAMETER.fullmatch(part)
    if whole and whole[1] in values:
        return values[whole[1]]
    return _PARAMETER.sub(lambda found: str(values.get(found[1], found[0])), part)


def parameters_in(part: Any) -> Iterator[str]:
    """Yield the names in braces, each as often as it is there."""
    if isinstance(part, Mapping):
        for value in part.values():
            yield from parameters_in(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from parameters_in(value)
    elif isinstance(part, str):
        yield from _PARAMETER.findall(part)
