"""Large inputs of steps are stored once, however many runs have them: a definition names them by their digest. Pure.

    {"steps": [{"id": "a", "input": {... 1 MB ...}}]}  ->  {"steps": [{"id": "a"}], "$stored": {"0/0": digest}}, {digest: the input}

A plan that a caller sends has no `$stored`: it is no field of a plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

LARGE = 32_768
_STORED = "$stored"


def split(plan: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a plan's JSON without its large inputs, and these as JSON texts by their digests."""
    copy = json.loads(json.dumps(plan))
    places: dict[str, str] = {}
    values: dict[str, str] = {}
    for place, step in _steps(copy):
        text = json.dumps(step.get("input", {}), sort_keys=True)
        if len(text) > LARGE:
            digest = sha256(text.encode()).hexdigest()
            places[place], values[digest] = digest, text
            del step["input"]
    return ({**copy, _STORED: places} if places else copy), values


def digests_of(definition: Mapping[str, Any]) -> list[str]:
    """Return the digests of what a definition leaves out."""
    return list(definition.get(_STORED, {}).values())


def joined(definition: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan's JSON with its large inputs."""
    whole = {name: value for name, value in definition.items() if name != _STORED}
    places = definition.get(_STORED, {})
    for place, step in _steps(whole) if places else ():
        if place in places:
            step["input"] = values[places[place]]
    return whole


def _steps(plan: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the steps of a plan and its fallbacks with their places."""
    level, part = 0, plan
    while part:
        for at, step in enumerate(part["steps"]):
            yield f"{level}/{at}", step
        level, part = level + 1, part.get("fallbackPlan") or {}
