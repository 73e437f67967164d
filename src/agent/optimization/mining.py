"""Mining: which events of runs go with success, compared inside of the same type of task, and seen again on later tasks. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.optimization.history import Run, features, setting_event
from agent.statistics.lifts import Lift, later_tasks, lifts

LEAST_RUNS = 60
_RUNS_NAMED = 20


def findings(runs: Sequence[Run], depth: int) -> list[dict[str, Any]]:
    """Return what was found at one depth: 1 single events, 2 pairs, 3 sequences of steps; the most certain first."""
    if len(runs) < LEAST_RUNS:
        return []
    names, sets = features(runs, depth)
    if not names:
        return []
    kinds = {kind: place for place, kind in enumerate(sorted({one.task_type for one in runs}))}
    found = lifts(
        np.array([[float(name in one) for name in names] for one in sets]),
        outcomes=np.array([float(one.success) for one in runs]),
        strata=np.array([kinds[one.task_type] for one in runs]),
        later=later_tasks([one.task for one in runs]),
    )
    made = [_finding(names[one.feature], one, runs, sets, depth) for one in found if one.found]
    return sorted(made, key=lambda one: (-one["confidence_score"], one["pattern_key"]))


def _finding(
    name: str, lift: Lift, runs: Sequence[Run], sets: Sequence[set[str]], depth: int
) -> dict[str, Any]:  # fmt: skip
    having = [run for run, one in zip(runs, sets, strict=True) if name in one]
    kinds = {run.task_type for run in having}
    events = name.split(" and ") if depth == 2 else [name]
    share = sum(run.success for run in having) / len(having)
    return {
        "pattern_key": f"{depth}:{name}"[:500], "pattern_category": "high_success_workflow", "workflow_type": kinds.pop() if len(kinds) == 1 else "",
        "description": f"Runs with {name} succeed {lift.lift:+.0%} more often than others of the same type ({share:.0%} of {len(having)}).",
        "events": events, "parameters": _parameters(events, having), "confidence_score": round(lift.confidence, 4),
        "lift": lift.lift, "lift_error": lift.error, "p_value": lift.p_value, "false_discovery_rate": lift.false_rate,
        "replication": lift.replication, "runs_with": lift.n_with, "runs_without": lift.n_without,
        "evidence": {"runs": [run.run_id for run in having[-_RUNS_NAMED:]], "depth": depth},
    }  # fmt: skip


def _parameters(events: Sequence[str], having: Sequence[Run]) -> Mapping[str, Any]:
    """Return the settings that the events name, with their values as the runs had them."""
    return {
        name: value
        for name, value in (having[-1].parameters if having else {}).items()
        if setting_event(name, value) in events
    }


def as_json(value: Any) -> str:
    """Return JSON for a column."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
