"""What failures have in common: they are grouped by task type, the last step, and the error without its numbers and names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.statistics.intervals import share_interval

_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+(?:\.\d+)?", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SPACE = re.compile(r"\s+")
_MOST_ERROR = 120
_EXPLAINED = 0.8
_EVIDENCE = 10


def signature(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a failure has in common with others: task type, last steps, kind of error."""
    steps = run["steps"] or []
    error = _NUMBERS.sub("#", _QUOTED.sub("'...'", (run["error_message"] or "").split("\n")[0]))
    return run["task_type"] or "", " > ".join(steps[-2:]), _SPACE.sub(" ", error).strip()[:_MOST_ERROR]


def clusters(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the groups of failures, the largest first, and how many of them explain most failures."""
    failed = [run for run in runs if run["success"] is False]
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in failed:
        groups.setdefault(signature(run), []).append(run)
    ordered = sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    attempts: dict[str, int] = {}
    for run in runs:
        if run["success"] is not None:
            attempts[run["task_type"] or ""] = attempts.get(run["task_type"] or "", 0) + 1
    found, covered, enough = [], 0, 0
    for key, group in ordered:
        if covered < _EXPLAINED * len(failed):
            enough += 1
        covered += len(group)
        found.append(_cluster(key, group, failed=len(failed), attempts=attempts[key[0]]))
    explained = sum(one["failures"] for one in found[:enough])
    sentence = (
        f"{enough} pattern{'s explain' if enough != 1 else ' explains'} {explained / len(failed):.0%} of {len(failed)} failures."
        if failed else None
    )  # fmt: skip
    return {"clusters": found[:50], "failures": len(failed), "sentence": sentence}


def _cluster(
    key: tuple[str, str, str], group: Sequence[Mapping[str, Any]], *, failed: int, attempts: int
) -> dict[str, Any]:
    agents: dict[str, int] = {}
    for run in group:
        agents[run["agent_name"]] = agents.get(run["agent_name"], 0) + 1
    interval = share_interval(len(group), attempts) or (0.0, 1.0)
    return {
        "task_type": key[0] or None, "steps": key[1] or None, "error": key[2] or None, "failures": len(group),
        "share_of_failures": round(len(group) / failed, 4), "rate": round(len(group) / attempts, 4),
        "rate_interval": [round(interval[0], 4), round(interval[1], 4)], "agents": dict(sorted(agents.items(), key=lambda pair: (-pair[1], pair[0]))[:10]),
        "runs": [run["id"] for run in group[:_EVIDENCE]],
    }  # fmt: skip
