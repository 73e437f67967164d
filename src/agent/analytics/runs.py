"""Runs: one agent on one task. Checks what is sent, and stores one or many of them, each once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import psycopg

from agent.db import load_queries
from agent.errors import InvalidInput
from agent.privacy.masking import without_secrets
from agent.runtime import Runtime
from agent.sync import agents
from agent.sync.payloads import checked_name, json_text
from agent.text.storable import storable

_QUERIES = load_queries(__package__)
MOST_RUNS = 10_000
_MOST_STEPS, _MOST_ERROR, _MOST_USAGE, _MOST_PARAMETERS = 200, 4_000, 20_000, 50
_USUAL, _MOST_USED = frozenset({"cpu", "memory"}), 1e15
_AHEAD = timedelta(minutes=5)
_MOST_AMOUNT = 1e9
_TASKS = UUID("5f0ed1c4-6d0b-4b62-9d4c-0f6c1b7f8a21")  # ids of tasks that are no UUIDs become UUIDs of this name space
_NOT_NAMES = frozenset({"list", "register"})  # they are words of the API's paths
FIELDS = frozenset({
    "agent_name", "task_id", "task_type", "execution_time", "success", "error_message", "resource_usage", "steps", "cost_usd", "tokens",
    "propensity", "parameters", "timestamp",
})  # fmt: skip
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


class Run(NamedTuple):
    """A run as it is stored; a tuple, because there are many. `task_ref` is the caller's own id of the task, where that is no UUID."""

    agent_name: str
    task_id: str | None
    task_ref: str | None
    task_type: str | None
    execution_time: float | None
    success: bool | None
    error_message: str | None
    resource_usage: Mapping[str, Any] | None
    steps: list[str] | None
    cost_usd: float | None
    tokens: int | None
    propensity: float | None
    parameters: Mapping[str, Any] | None
    timestamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What became of runs: new ones, ones whose outcome was added, and ones that were there already."""

    stored: int
    completed: int
    duplicates: int


def agent_name(value: Any) -> str:
    """Return the name of an agent. Raises `InvalidInput`."""
    name = _name(value, "agent_name")
    if name in _NOT_NAMES:
        raise InvalidInput(
            f"An agent cannot be called {name!r}, which is a word of the API's paths: choose another name."
        )
    return name


def task_type(value: Any) -> str:
    """Return the type of a task. Raises `InvalidInput`."""
    return _name(value, "task_type")


@lru_cache(maxsize=4_096)
def _known_name(value: str, what: str) -> str:
    return checked_name(value, what=what)


def _name(value: Any, what: str) -> str:
    """Return a name that was checked; the same ones come again and again."""
    return _known_name(value, what) if type(value) is str else checked_name(value, what=what)


def checked(given: Mapping[str, Any], *, now: datetime) -> Run:
    """Return the run in what a caller sent. Nothing is changed to fit; what cannot be is refused. Raises `InvalidInput`."""
    if unknown := given.keys() - FIELDS:
        raise InvalidInput(f"A run has no field {str(min(unknown))[:100]!r}: use {', '.join(sorted(FIELDS))}.")
    task_id, task_ref = _task(given.get("task_id"))
    success, kind, error = given.get("success"), given.get("task_type"), given.get("error_message")
    if success is not None and not isinstance(success, bool):
        raise InvalidInput("success must be true, false, or null while it is not known.")
    tokens = _amount(given, "tokens")
    if error is not None and not isinstance(error, str):
        raise InvalidInput("error_message must be a text.")
    return Run(
        agent_name=agent_name(given.get("agent_name")), task_id=task_id, task_ref=task_ref,
        task_type=None if kind is None else task_type(kind), execution_time=_amount(given, "execution_time"), success=success,
        error_message=storable(without_secrets(error))[:_MOST_ERROR] if error else None, resource_usage=_usage(given.get("resource_usage")),
        steps=_steps(given.get("steps")), cost_usd=_amount(given, "cost_usd"), tokens=None if tokens is None else round(tokens),
        propensity=_propensity(given), parameters=_parameters(given.get("parameters")),
        timestamp=_time(given.get("timestamp"), now).isoformat(),
    )  # fmt: skip


def _task(value: Any) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if type(value) is str and _UUID.match(value):
        return value.lower(), None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, UUID):
        return str(value), None
    text = checked_name(value, what="task_id")
    return str(uuid5(_TASKS, text)), text


def _amount(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < _MOST_AMOUNT:
        raise InvalidInput(
            f"{name} must be a number from 0 to below {_MOST_AMOUNT:,.0f}, or null where it is not known."
        )
    return float(value)


def _propensity(given: Mapping[str, Any]) -> float | None:
    value = _amount(given, "propensity")
    if value is not None and not 0 < value <= 1:
        raise InvalidInput("propensity must be above 0 and at most 1: send the one that came with the recommendation.")
    return value


def _usage(value: Any) -> Mapping[str, Any] | None:
    if value is None or value == {}:
        return None
    if (
        type(value) is dict
        and value.keys() <= _USUAL
        and all(type(one) is int or type(one) is float for one in value.values())
    ):
        if not all(abs(one) < _MOST_USED for one in value.values()):
            raise InvalidInput(f"resource_usage must hold numbers below {_MOST_USED:g}.")
        return value
    if not isinstance(value, Mapping):
        raise InvalidInput('resource_usage must be an object such as {"cpu": 12.5, "memory": 300}.')
    text = json_text(dict(value), what="resource_usage")
    if len(text) > _MOST_USAGE:
        raise InvalidInput(f"resource_usage has {len(text):,} characters; at most {_MOST_USAGE:,} are taken.")
    return value


def _parameters(value: Any) -> Mapping[str, Any] | None:
    if value is None or value == {}:
        return None
    plain = isinstance(value, dict) and all(isinstance(one, str | int | float | bool) for one in value.values())
    if not isinstance(value, dict) or not plain or len(value) > _MOST_PARAMETERS:
        raise InvalidInput(
            f"parameters must be an object of at most {_MOST_PARAMETERS} texts, numbers and truth values: "
            "the settings of the run that were fixed before it began."
        )
    for name in value:
        _name(name, "A parameter's name")
    if len(json_text(value, what="parameters")) > _MOST_USAGE:
        raise InvalidInput(f"parameters may have at most {_MOST_USAGE:,} characters.")
    return value


def _steps(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) > _MOST_STEPS:
        raise InvalidInput(f"steps must be a list of at most {_MOST_STEPS} names of tools or steps, in their order.")
    return [_name(one, "A step") for one in value]


def _time(value: Any, now: datetime) -> datetime:
    if value is None:
        return now
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput("timestamp must be a time of ISO 8601, such as 2026-01-01T00:00:00Z.") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            raise InvalidInput("timestamp must be seconds since 1970, or a time of ISO 8601.") from None
    if not isinstance(value, datetime):
        raise InvalidInput("timestamp must be a time of ISO 8601, or be left out.")
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not 1970 <= moment.year < 9999 or moment > now + _AHEAD:
        raise InvalidInput(f"timestamp {moment.isoformat()} is in the future, or before 1970: set the agent's clock.")
    return moment


async def log(given: Sequence[Mapping[str, Any]], *, runtime: Runtime) -> Logged:
    """Store runs: all of them, or none. A run that is known gets what it lacks, such as its outcome; else it changes nothing."""
    if not runtime.settings.performance_tracking_enabled:
        raise InvalidInput("Runs are not taken here: set PERFORMANCE_TRACKING_ENABLED=true.")
    if not 0 < len(given) <= MOST_RUNS:
        raise InvalidInput(f"Send 1 to {MOST_RUNS:,} runs together.")
    now = datetime.now(UTC)
    runs = [checked(one, now=now) for one in given]
    await agents.ensure(sorted({one.agent_name for one in runs}), runtime=runtime)
    first: dict[Any, Run] = {}
    for one in runs:
        key = (one.task_id, one.agent_name) if one.task_id else object()
        first[key] = _joined(first[key], one) if key in first else one
    for _ in range(5):  # another process may store the same run at the same time: then it is there at the next try
        try:
            stored, completed = await _store(list(first.values()), runtime=runtime)
        except psycopg.errors.UniqueViolation:
            continue
        return Logged(stored=stored, completed=completed, duplicates=len(runs) - stored - completed)
    raise InvalidInput("The same runs are being sent by others at this moment: send them again.")


def _joined(earlier: Run, later: Run) -> Run:
    """Return the earlier one of two messages about one run, with what it lacks."""
    return Run._make(other if one is None else one for one, other in zip(earlier, later, strict=True))


async def _store(runs: list[Run], *, runtime: Runtime) -> tuple[int, int]:
    plain = [{name: value for name, value in zip(Run._fields, one, strict=True) if value is not None} for one in runs]
    text = json.dumps(plain, allow_nan=False)
    row = await runtime.one(_QUERIES["log_runs"], runs=text)
    stored = row["stored"] if row else 0
    # A crash between the two statements loses nothing: who got no answer sends the runs again.
    completed = 0 if stored == len(runs) else await runtime.execute(_QUERIES["complete_runs"], runs=text)
    return stored, completed


async def clear(*, runtime: Runtime) -> int:
    """Delete the tenant's runs, with all that was counted from them, its measures and embeddings. Returns how many runs."""
    async with runtime.transaction() as conn:
        gone = (await conn.execute(_QUERIES["clear_runs"], {"tenant_id": runtime.tenant_id})).rowcount
        for name in ("clear_changes", "clear_rollups", "clear_measures", "clear_embeddings", "clear_reports"):
            await conn.execute(_QUERIES[name], {"tenant_id": runtime.tenant_id})
    return gone
