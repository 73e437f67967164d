"""Recorded runs, and what is known of each before its outcome: the features that patterns are made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

from agent.db import load_queries
from agent.graph.parameters import WORKFLOW
from agent.optimization.agent_turn import outcome
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
MOST_RUNS = 20_000
SOURCES = ("execution_history", "simulation_results", "security_checks")
_SINGLE, _PAIRED, _SEQUENCES, _LEAST = 40, 14, 40, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run whose outcome is known. `parameters` were fixed before it began; `alerts` were open then."""

    run_id: str
    task: str
    task_type: str
    agent_name: str
    success: bool
    seconds: float | None
    cost_usd: float | None
    steps: Sequence[str]
    parameters: Mapping[str, Any]
    propensity: float | None
    at: datetime
    alerts: Sequence[str] = field(default=())


async def recorded(
    *, sources: Sequence[str] = ("execution_history",), workflow_type: str | None = None, runtime: Runtime
) -> list[Run]:
    """Return the newest runs of these sources in the order of their time; with the monitor's alerts if its source is named."""
    found: list[Run] = []
    if "execution_history" in sources:
        rows = await runtime.all(_QUERIES["recorded_runs"], task_type=workflow_type, most=MOST_RUNS)
        found += [_of_log(row) for row in rows]
        if workflow_type in (None, WORKFLOW):
            turns = await runtime.all(_QUERIES["recorded_turns"], database_id=runtime.database_id, most=MOST_RUNS)
            found += [one for row in turns if (one := _of_turn(row))]
    if "simulation_results" in sources:
        rows = await runtime.all(_QUERIES["simulated_runs"], most=MOST_RUNS)
        found += [one for row in rows if (one := _of_simulation(row)) and workflow_type in (None, one.task_type)]
    found.sort(key=lambda one: (one.at, one.run_id))
    if "security_checks" in sources:
        alerts = await runtime.all(_QUERIES["alert_times"])
        found = [_with_alerts(one, alerts) for one in found] if alerts else found
    return found


def _of_log(row: Mapping[str, Any]) -> Run:
    return Run(
        run_id=str(row["id"]), task=str(row["task_id"] or row["id"]), task_type=row["task_type"] or "", agent_name=row["agent_name"],
        success=row["success"], seconds=row["execution_time"], cost_usd=row["cost_usd"], steps=row["steps"] or (),
        parameters=row["parameters"] or {}, propensity=row["propensity"], at=row["timestamp"],
    )  # fmt: skip


def _of_turn(row: Mapping[str, Any]) -> Run | None:
    """Return a turn of the agent as a run; None where it is not known whether it was good. Time spent waiting for a human is no time."""
    good = outcome(row)
    if good is None:
        return None
    name = f"{row['thread_id']}/{row['turn']}"
    return Run(
        run_id=f"turn {name}", task=name, task_type=WORKFLOW, agent_name="agent", success=good,
        seconds=None if row["waited"] else row["seconds"], cost_usd=row["cost_usd"], steps=row["tools"] or (), parameters=row["parameters"],
        propensity=row["propensity"], at=row["started_at"],
    )  # fmt: skip


def _of_simulation(row: Mapping[str, Any]) -> Run | None:
    """Return a simulation's result as a run; None where it does not tell its outcome."""
    results = row["results"]
    if not isinstance(results, Mapping) or not isinstance(results.get("success"), bool):
        return None
    parameters = results.get("parameters")
    parameters = parameters if isinstance(parameters, Mapping) else {}
    return Run(
        run_id=f"simulation {row['simulation_id']}", task=row["simulation_id"], task_type=row["subject"][:200], agent_name="simulation",
        success=results["success"], seconds=_number(results.get("execution_time")), cost_usd=_number(results.get("cost_usd")), steps=(),
        parameters={str(name)[:200]: value for name, value in parameters.items() if isinstance(value, str | int | float | bool)},
        propensity=None, at=row["created_at"],
    )  # fmt: skip


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and 0 <= value < 1e9 else None


def _with_alerts(run: Run, alerts: Sequence[Mapping[str, Any]]) -> Run:
    open_then = {
        one["check_name"]
        for one in alerts
        if one["opened_at"] <= run.at and (one["resolved_at"] is None or run.at < one["resolved_at"])
    }
    return Run(**{name: getattr(run, name) for name in Run.__slots__} | {"alerts": tuple(sorted(open_then))})


def setting_event(name: str, value: Any) -> str:
    """Return the event that a run had a parameter with this value."""
    return f"{name}={json.dumps(value, ensure_ascii=False)}"


def single_events(run: Run) -> list[str]:
    """Return what is known of a run before its outcome: who, with which settings, its first step, and what was wrong then."""
    found = [f"agent {run.agent_name}", *(setting_event(*item) for item in sorted(run.parameters.items()))]
    if len(run.steps) > 1:
        found.append(f"begins with {run.steps[0]}")
    return found + [f"while {check} was open" for check in run.alerts]


def sequences(run: Run) -> list[str]:
    """Return which step followed on which, without the last step, which can be the outcome itself."""
    steps = run.steps[:-1]
    return [f"{one} > {other}" for one, other in pairwise(steps)]


def features(runs: Sequence[Run], depth: int) -> tuple[list[str], list[set[str]]]:
    """Return the events of one depth that are worth a look, most frequent first, and for each run those it has."""
    single = [single_events(one) for one in runs]
    if depth == 1:
        return _kept(single, _SINGLE)
    if depth == 2:
        _, sets = _kept(single, _PAIRED)
        return _kept([[" and ".join(pair) for pair in combinations(sorted(one), 2)] for one in sets], _SINGLE)
    return _kept([sequences(one) for one in runs], _SEQUENCES)


def _kept(events: Sequence[Sequence[str]], most: int) -> tuple[list[str], list[set[str]]]:
    counts = Counter(event for one in events for event in set(one))
    usable = [(count, event) for event, count in counts.items() if _LEAST <= count <= len(events) - _LEAST]
    names = [event for _, event in sorted(usable, key=lambda item: (-item[0], item[1]))[:most]]
    kept = set(names)
    return names, [kept.intersection(one) for one in events]
