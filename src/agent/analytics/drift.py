"""What changed in how agents work, although they may still succeed: success, time, cost, tokens, and the mix of steps. Pure.

The newest third of an agent's runs is compared with the two thirds before, one test for each measure; all tests of all agents share
one false discovery rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.statistics.multiple_testing import benjamini_hochberg

_LEAST_RUNS = 30
_FALSE_SHARE = 0.05
_LEAST_CHANGE = 0.15  # of a logarithm or a share: smaller changes are no news, however certain
_MEASURES = (("execution_time", "time"), ("cost_usd", "cost"), ("tokens", "tokens"))
_EVIDENCE = 10


def drifts(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what changed, the most certain first. `runs` are newest first."""
    by_agent: dict[str, list[Mapping[str, Any]]] = {}
    for run in reversed(runs):
        by_agent.setdefault(run["agent_name"], []).append(run)
    found = [one for name, own in sorted(by_agent.items()) if len(own) >= _LEAST_RUNS for one in _of_agent(name, own)]
    rates = benjamini_hochberg([one["p_value"] for one in found])
    kept = [
        one | {"false_discovery_rate": float(f"{rate:.3g}"), "p_value": float(f"{one['p_value']:.3g}")}
        for one, rate in zip(found, rates, strict=True)
        if rate <= _FALSE_SHARE and abs(one["change"]) >= _LEAST_CHANGE
    ]
    return sorted(kept, key=lambda one: one["false_discovery_rate"])


def _of_agent(name: str, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    split = len(runs) * 2 // 3
    before, after = runs[:split], runs[split:]
    evidence = {
        "agent_name": name,
        "since": after[0]["timestamp"].isoformat(),
        "runs": [run["id"] for run in after[-_EVIDENCE:]],
    }
    found = []
    for field, measure in _MEASURES:
        old, new = (_residuals(part, field, runs) for part in (before, after))
        if len(old) >= 10 and len(new) >= 10:
            change, p = _shift(old, new)
            found.append(
                {
                    **evidence,
                    "measure": measure,
                    "change": round(change, 4),
                    "factor": round(math.exp(change), 3),
                    "p_value": p,
                }
            )
    old_rate, new_rate = (
        [float(run["success"]) for run in part if run["success"] is not None] for part in (before, after)
    )
    if len(old_rate) >= 10 and len(new_rate) >= 10:
        change, p = _shift(old_rate, new_rate)
        found.append({**evidence, "measure": "success", "change": round(change, 4), "factor": None, "p_value": p})
    mix = _mix(before, after)
    if mix is not None:
        found.append({**evidence, **mix})
    return found


def _residuals(runs: Sequence[Mapping[str, Any]], field: str, all_runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the logarithms of a measure less the mean of their task type, so that another mix of tasks is no drift."""
    sums: dict[str, list[float]] = {}
    for run in all_runs:
        if run[field]:
            sums.setdefault(run["task_type"] or "", []).append(math.log(run[field]))
    means = {kind: sum(values) / len(values) for kind, values in sums.items()}
    return [math.log(run[field]) - means[run["task_type"] or ""] for run in runs if run[field]]


def _shift(old: Sequence[float], new: Sequence[float]) -> tuple[float, float]:
    """Return the difference of two means and its two-sided p-value (Welch, normal tail)."""
    one, other = np.array(old), np.array(new)
    change = float(other.mean() - one.mean())
    error = math.sqrt(float(one.var(ddof=1)) / len(one) + float(other.var(ddof=1)) / len(other)) or 1e-9
    return change, max(math.erfc(abs(change) / error / math.sqrt(2)), 1e-15)


def _mix(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the step whose share changed most (a two-sample test of shares for it, corrected for the number of steps)."""
    counts = [_counted(part) for part in (before, after)]
    totals = [sum(one.values()) for one in counts]
    if min(totals) < 20:
        return None
    names = sorted(set(counts[0]) | set(counts[1]))
    shares = [{name: one.get(name, 0) / total for name in names} for one, total in zip(counts, totals, strict=True)]
    most = max(names, key=lambda name: abs(shares[1][name] - shares[0][name]))
    old, new = shares[0][most], shares[1][most]
    pooled = (counts[0].get(most, 0) + counts[1].get(most, 0)) / sum(totals)
    error = math.sqrt(pooled * (1 - pooled) * (1 / totals[0] + 1 / totals[1])) or 1e-9
    p = max(min(1.0, len(names) * math.erfc(abs(new - old) / error / math.sqrt(2))), 1e-15)
    return {
        "measure": "steps",
        "step": most,
        "change": round(new - old, 4),
        "before": round(old, 4),
        "after": round(new, 4),
        "p_value": p,
    }


def _counted(runs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for run in runs:
        for step in run["steps"] or []:
            found[step] = found.get(step, 0) + 1
    return found
