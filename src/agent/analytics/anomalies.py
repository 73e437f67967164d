"""Runs and times of an agent that are unlike their prediction: single runs, and episodes of hours that deviate. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.analytics.effect_model import EffectModel
from agent.statistics.anomalies import find_episodes

_MOST_LISTED, _EVIDENCE = 50, 10
_HOUR = 3_600
_LEAST = 0.1  # of a logarithm: an hour that deviates by less is not unusual


def _deviations(
    runs: Sequence[Mapping[str, Any]], model: EffectModel
) -> Iterator[tuple[Mapping[str, Any], float, float, float]]:
    """Yield each timed run with its predicted logarithm, its deviation from it, and the usual size of such deviations."""
    for run in runs:
        if run["execution_time"]:
            predicted = model.predict(run["agent_name"], run["task_type"] or "")
            spread = math.sqrt(predicted.noise + predicted.deviation**2)
            yield run, predicted.linear, math.log(run["execution_time"]) - predicted.linear, spread


def unusual_runs(runs: Sequence[Mapping[str, Any]], model: EffectModel, threshold: float) -> list[dict[str, Any]]:
    """Return the runs whose time is further from its prediction than 90 % of errors are, by the factor `threshold`."""
    if model.offsets is None:
        return []
    found: list[dict[str, Any]] = []
    for run, expected, off, spread in _deviations(runs, model):
        side = model.offsets[1] if off > 0 else model.offsets[0]
        score = off / spread / side if side * off > 0 else 0.0
        if score >= threshold:
            found.append(
                {
                    "run": run["id"], "agent_name": run["agent_name"], "task_type": run["task_type"], "execution_time": run["execution_time"],
                    "expected": round(math.exp(expected), 4), "score": round(score, 3), "timestamp": run["timestamp"].isoformat(),
                }
            )  # fmt: skip
    return sorted(found, key=lambda one: -one["score"])[:_MOST_LISTED]


def episodes(runs: Sequence[Mapping[str, Any]], model: EffectModel) -> list[dict[str, Any]]:
    """Return the hours in which an agent was slower or quicker than predicted; at least four days of it must be known."""
    by_agent: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for run, _, off, _ in _deviations(runs, model):
        hour = int(run["timestamp"].timestamp()) // _HOUR
        by_agent.setdefault(run["agent_name"], {}).setdefault(hour, []).append((run["id"], off))
    found: list[dict[str, Any]] = []
    for name, hours in sorted(by_agent.items()):
        order = sorted(hours)
        means = [sum(off for _, off in hours[hour]) / len(hours[hour]) for hour in order]
        for one in find_episodes([hour * float(_HOUR) for hour in order], means, least=_LEAST):
            inside = [run for hour in order[one.first : one.last + 1] for run, _ in hours[hour]]
            found.append(
                {
                    "agent_name": name, "direction": "slower" if one.direction == "up" else "quicker", "score": round(one.score, 3),
                    "factor": round(math.exp(one.value - one.expected), 3), "from": _text(order[one.first]), "to": _text(order[one.last] + 1),
                    "open": one.open, "runs": inside[:_EVIDENCE],
                }
            )  # fmt: skip
    return sorted(found, key=lambda one: -one["score"])[:_MOST_LISTED]


def _text(hour: int) -> str:
    return datetime.fromtimestamp(hour * _HOUR, UTC).isoformat()
