"""Which agents do better together, or in one order, than their tasks and themselves let expect. Pure.

Agents that ran the same task worked together. Whether their tasks succeed is compared with what the tasks' types and the members
themselves let expect; the difference is tested by exchanging what remains inside of the task types, for many pairs at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.statistics.multiple_testing import benjamini_hochberg
from agent.statistics.permutation import Contrast, compared, together

_LEAST_TASKS, _MOST_MEMBERS, _MOST_IN_ORDER, _MOST_PAIRS = 8, 12, 6, 500
FALSE_SHARE = 0.05  # of the findings may be false


def tasks_of(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tasks that several agents ran: their members in order of time, whether all succeeded, and the runs' numbers."""
    by_task: dict[Any, list[Mapping[str, Any]]] = {}
    for run in runs:
        if run["task_id"] is not None and run["success"] is not None:
            by_task.setdefault(run["task_id"], []).append(run)
    found = []
    for task, members in by_task.items():
        ordered = sorted(members, key=lambda run: (run["timestamp"], run["id"]))
        found.append(
            {
                "task_id": str(task), "task_type": ordered[0]["task_type"] or "", "agents": [run["agent_name"] for run in ordered],
                "success": all(run["success"] for run in ordered), "runs": [run["id"] for run in ordered],
            }
        )  # fmt: skip
    return found


def pairs_that_do_better(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the pairs whose tasks succeed more often than expected, the most certain first, with effect, n and evidence."""
    shared = [task for task in tasks if 2 <= len(set(task["agents"])) <= _MOST_MEMBERS]
    names = sorted({name for task in shared for name in task["agents"]})
    number = {name: place for place, name in enumerate(names)}
    counted: dict[tuple[int, int], int] = {}
    for task in shared:
        for pair in combinations(sorted({number[name] for name in task["agents"]}), 2):
            counted[pair] = counted.get(pair, 0) + 1
    pairs = sorted((pair for pair, n in counted.items() if n >= _LEAST_TASKS), key=lambda pair: (-counted[pair], pair))
    pairs = pairs[:_MOST_PAIRS]
    if not pairs:
        return []
    strata, outcomes, members = _arrays(shared, number)
    tested = together(members, outcomes=outcomes, strata=strata, pairs=pairs)
    rates = benjamini_hochberg([one.p_value for one in tested])
    found = [
        {
            "agents": sorted(names[one] for one in pair), "effect": round(test.effect, 4), "tasks": test.n, "p_value": float(f"{test.p_value:.3g}"),
            "false_discovery_rate": float(f"{rate:.3g}"), "order": _order([names[one] for one in pair], shared),
            "runs": [run for task in shared if set(pair) <= {number[name] for name in task["agents"]} for run in task["runs"]][:10],
        }
        for pair, test, rate in zip(pairs, tested, rates, strict=True) if rate <= FALSE_SHARE and test.effect > 0
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one["false_discovery_rate"], -one["effect"]))


def sequences_that_do_better(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return orders of two or three agents whose tasks succeed more often than those of the same agents in other orders.

    An agent's place is that of its first run. So neither who is in a team nor what it was given can be taken for its order.
    Orders of two and of three are families of their own: at most 5 % of the findings in each may be false.
    """
    shared = [
        {**task, "agents": list(dict.fromkeys(task["agents"]))}
        for task in tasks
        if 2 <= len(set(task["agents"])) <= _MOST_IN_ORDER
    ]
    if not shared:
        return []
    found = [one for size in (2, 3) for one in _orders_that_do_better(shared, size)]
    return sorted(found, key=lambda one: (one["false_discovery_rate"], -one["effect"]))


def _orders_that_do_better(tasks: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    places: dict[frozenset[str], list[int]] = {}
    orders: dict[tuple[str, ...], set[int]] = {}
    for place, task in enumerate(tasks):
        for order in combinations(task["agents"], size):
            places.setdefault(frozenset(order), []).append(place)
            orders.setdefault(order, set()).add(place)
    chosen = [
        order for order, own in sorted(orders.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        if len(own) >= _LEAST_TASKS and len(places[frozenset(order)]) - len(own) >= _LEAST_TASKS
    ][:_MOST_PAIRS]  # fmt: skip
    contrasts = []
    for order in chosen:
        groups = np.array(places[frozenset(order)], dtype=np.int64)
        contrasts.append(Contrast(groups, np.array([int(group) in orders[order] for group in groups])))
    number = {name: place for place, name in enumerate(sorted({name for task in tasks for name in task["agents"]}))}
    strata, outcomes, members = _arrays(tasks, number)
    tested = compared(members, outcomes=outcomes, strata=strata, contrasts=contrasts)
    rates = benjamini_hochberg([one.p_value for one in tested])
    return [
        {
            "sequence": list(order), "effect": round(test.effect, 4), "tasks": test.n, "other_orders": len(places[frozenset(order)]) - test.n,
            "success_rate": round(float(outcomes[sorted(orders[order])].mean()), 4), "p_value": float(f"{test.p_value:.3g}"),
            "false_discovery_rate": float(f"{rate:.3g}"), "runs": [run for place in sorted(orders[order]) for run in tasks[place]["runs"]][:10],
        }
        for order, test, rate in zip(chosen, tested, rates, strict=True) if rate <= FALSE_SHARE and test.effect > 0
    ]  # fmt: skip


def _arrays(
    tasks: Sequence[Mapping[str, Any]], number: Mapping[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[frozenset[int]]]:
    """Return the number of each task's type, its outcome, and the numbers of its agents."""
    kinds = {kind: place for place, kind in enumerate(sorted({task["task_type"] for task in tasks}))}
    strata = np.array([kinds[task["task_type"]] for task in tasks], dtype=np.int64)
    outcomes = np.array([float(task["success"]) for task in tasks])
    return strata, outcomes, [frozenset(number[name] for name in task["agents"]) for task in tasks]


def _order(pair: list[str], tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how often which of a pair came first, and how often the task then succeeded."""
    found: dict[str, list[bool]] = {}
    for task in tasks:
        places = [task["agents"].index(name) for name in pair if name in task["agents"]]
        if len(places) == 2:
            first, second = sorted(pair, key=task["agents"].index)
            found.setdefault(f"{first} then {second}", []).append(bool(task["success"]))
    return {
        order: {"tasks": len(known), "success_rate": round(sum(known) / len(known), 4)}
        for order, known in sorted(found.items())
    }


def scores(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return each agent's coordination score: its best finding's effect."""
    best: dict[str, float] = {}
    for one in found:
        for name in one["agents"]:
            best[name] = max(best.get(name, 0.0), one["effect"])
    return best
