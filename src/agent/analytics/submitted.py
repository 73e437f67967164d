"""Keeps what others measured of an agent, beside what is counted from its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import agent.analytics.runs as runs
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.sync import agents

_QUERIES = load_queries(__package__)
_FIELDS = frozenset(
    {"response_time", "throughput", "resource_usage", "success_rate", "coordination_effectiveness", "task_type"}
)


async def submit(name: str, metrics: Mapping[str, Any], *, runtime: Runtime) -> int:
    """Store one set of measures, and return its number. Raises `InvalidInput`."""
    name = runs.agent_name(name)
    if unknown := metrics.keys() - _FIELDS:
        raise InvalidInput(f"Metrics have no field {str(min(unknown))[:100]!r}: use {', '.join(sorted(_FIELDS))}.")
    usage = metrics.get("resource_usage") or {}
    if not isinstance(usage, Mapping):
        raise InvalidInput('resource_usage must be an object such as {"cpu": 12.5, "memory": 300}.')
    rate, kind = _number(metrics, "success_rate"), metrics.get("task_type")
    if rate is not None and rate > 1:
        raise InvalidInput("success_rate must be a share from 0 to 1.")
    await agents.ensure([name], runtime=runtime)
    row = await runtime.one(
        _QUERIES["submit_metrics"], agent_name=name, task_type=None if kind is None else runs.task_type(kind),
        response_time=_number(metrics, "response_time"), throughput=_number(metrics, "throughput"), success_rate=rate,
        cpu=_number(usage, "cpu"), memory=_number(usage, "memory"), coordination=_number(metrics, "coordination_effectiveness", least=-1e9),
    )  # fmt: skip
    return int(row["id"]) if row else 0


def _number(given: Mapping[str, Any], name: str, *, least: float = 0.0) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < 1e9:
        raise InvalidInput(f"{name} must be a number from {least:g} to below 1e9, or null where it is not known.")
    return float(value)
