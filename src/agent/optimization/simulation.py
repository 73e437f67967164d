"""What a configuration would do, told from recorded runs that had its parameters; and what is missing where none tells it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from agent.optimization.history import Run
from agent.statistics.evidence_gate import paired_bound
from agent.statistics.intervals import share_interval

Metric = Literal["execution_time", "cost", "accuracy", "cost_effectiveness"]
METRICS: tuple[Metric, ...] = ("execution_time", "cost", "accuracy", "cost_effectiveness")
# Of these less is better.
SMALLER: frozenset[str] = frozenset({"execution_time", "cost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of runs: milliseconds, US dollars, the share of successes, and successes a dollar; None is not known."""

    runs: int
    values: Mapping[str, float | None]
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: str = ""


def figures(runs: Sequence[Run]) -> Figures:
    """Return the figures of runs with their intervals."""
    seconds = [one.seconds * 1000 for one in runs if one.seconds is not None]
    costs = [one.cost_usd for one in runs if one.cost_usd is not None]
    good = sum(one.success for one in runs)
    accuracy = good / len(runs) if runs else None
    cost = fmean(costs) if costs else None
    values = {"execution_time": fmean(seconds) if seconds else None, "cost": cost, "accuracy": accuracy}
    values["cost_effectiveness"] = accuracy / cost if accuracy is not None and cost else None
    intervals: dict[str, Sequence[float]] = {}
    if share := share_interval(good, len(runs)):
        intervals["accuracy"] = share
    for name, one in (("execution_time", seconds), ("cost", costs)):
        if len(one) >= 10:
            bound = paired_bound(one, 0.95)
            intervals[name] = (bound.lower, bound.upper)
    return Figures(runs=len(runs), values=values, intervals=intervals)


def simulated(config: Mapping[str, Any], runs: Sequence[Run]) -> Figures:
    """Return the figures of the runs that had a configuration's parameters, as far as runs tell parameters at all."""
    if not runs:
        return _missing("There are no recorded runs of this workflow type: log some with `task_type` and `parameters`.")
    told = {name for one in runs for name in one.parameters}
    compared = sorted(told & config.keys())
    if not compared:
        names = ", ".join(sorted(config)) or "any parameter"
        return _missing(f"None of the {len(runs)} recorded runs tells {names}: log runs with their `parameters`.")
    same = [one for one in runs if all(one.parameters.get(name) == config[name] for name in compared)]
    if not same:
        return _missing(f"No run had {', '.join(f'{name}={config[name]!r}' for name in compared)}: try some with it.")
    return figures(same)


def _missing(reason: str) -> Figures:
    return Figures(runs=0, values={"execution_time": None, "cost": None, "accuracy": None}, missing=reason)


def neighbours(config: Mapping[str, Any], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the configurations that differ from one in one parameter, with a value that runs have had."""
    seen: dict[str, set[Any]] = {}
    for one in runs:
        for name, value in one.parameters.items():
            seen.setdefault(name, set()).add(value)
    made = [
        {**config, name: value} for name, values in sorted(seen.items()) for value in sorted(values, key=repr)
        if config.get(name) != value or name not in config
    ]  # fmt: skip
    return made[:200]


def gain(metric: str, before: float | None, after: float | None) -> float | None:
    """Return by which share a figure became better; None where one of them is not known."""
    if before is None or after is None or not before:
        return None
    change = (after - before) / abs(before)
    return -change if metric in SMALLER else change
