"""Findings as sentences: what was found, from which runs, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.analytics.effect_model import EffectModel

_LEAST_RUNS, _CLEARLY = 10, 0.1
_MOST = 20


def insight(kind: str, sentence: str, action: str, *, evidence: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """Return an insight. `weight` says how much it matters, as a share of the runs that are concerned."""
    return {"kind": kind, "insight": sentence, "action": action, "evidence": dict(evidence), "weight": round(weight, 4)}


def of_failures(found: Mapping[str, Any], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each large group of failures."""
    made = []
    for one in found["clusters"][:5]:
        if one["failures"] < 5:
            continue
        where = f"{one['task_type'] or 'tasks without a type'}"
        how = f" after {one['steps']}" if one["steps"] else ""
        what = f" with {one['error']!r}" if one["error"] else ""
        made.append(
            insight(
                "failures", f"{one['failures']} of {found['failures']} failures are {where}{how}{what}: {one['rate']:.0%} of such tasks fail.",
                f"Look at runs {', '.join(map(str, one['runs'][:3]))}, and mend what they share.",
                evidence={"runs": one["runs"], "failures": one["failures"], "rate_interval": one["rate_interval"]}, weight=one["failures"] / runs,
            )
        )  # fmt: skip
    return made


def of_drift(found: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each change in how an agent works."""
    made = []
    for one in found[:10]:
        name, since = one["agent_name"], one["since"][:10]
        if one["measure"] == "steps":
            sentence = f"{name} uses {one['step']!r} in {one['after']:.0%} of its steps since {since}, before in {one['before']:.0%}."
        elif one["measure"] == "success":
            sentence = f"{name} succeeds {abs(one['change']):.0%} {'more' if one['change'] > 0 else 'less'} often since {since}."
        else:
            sentence = (
                f"{name} takes {one['factor']:g} times the {one['measure']} since {since}, task types being equal."
            )
        made.append(
            insight(
                "drift", sentence, f"Compare runs {', '.join(map(str, one['runs'][-3:]))} with older ones of {name}: what was changed then?",
                evidence={"runs": one["runs"], "p_value": one["p_value"], "false_discovery_rate": one["false_discovery_rate"]},
                weight=len(one["runs"]) / runs,
            )
        )  # fmt: skip
    return made


def of_pairs(found: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each pair that does better together."""
    return [
        insight(
            "coordination",
            f"{' and '.join(one['agents'])} succeed {one['effect']:+.0%} more often together than their tasks and they themselves let "
            f"expect, in {one['tasks']} tasks.",
            f"Let them work together on such tasks; runs {', '.join(map(str, one['runs'][:3]))} show how.",
            evidence={key: one[key] for key in ("runs", "effect", "tasks", "p_value", "false_discovery_rate")}, weight=one["tasks"] / runs,
        )
        for one in found[:5]
    ]  # fmt: skip


def of_sequences(found: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each order of agents that does better than others of the same agents."""
    return [
        insight(
            "coordination",
            f"{' before '.join(one['sequence'])} succeeds {one['effect']:+.0%} more often than in other orders, in {one['tasks']} tasks against "
            f"{one['other_orders']}.",
            f"Let them work in this order; runs {', '.join(map(str, one['runs'][:3]))} show how.",
            evidence={key: one[key] for key in ("runs", "effect", "tasks", "other_orders", "p_value", "false_discovery_rate")},
            weight=one["tasks"] / runs,
        )
        for one in found[:5]
    ]  # fmt: skip


def of_choices(model: EffectModel | None, cells: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each task type that is given to an agent although another one clearly does it better."""
    if model is None:
        return []
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for row in cells:
        by_task.setdefault(row["task_type"], []).append(row)
    made = []
    for task, rows in sorted(by_task.items()):
        busy = [row["agent_name"] for row in rows if row["known"] >= _LEAST_RUNS]
        if len(busy) < 2:
            continue
        ranked = sorted(busy, key=lambda name: model.predict(name, task).chance, reverse=True)
        best, worst = model.predict(ranked[0], task), model.predict(ranked[-1], task)
        if best.chance_interval[0] > worst.chance_interval[1] and best.chance - worst.chance >= _CLEARLY:
            given = sum(row["runs"] for row in rows if row["agent_name"] == ranked[-1])
            made.append(
                insight(
                    "choice", f"{ranked[0]} succeeds in {best.chance:.0%} of {task or 'tasks without a type'}, {ranked[-1]} in {worst.chance:.0%}.",
                    f"Give {task or 'such tasks'} to {ranked[0]}: {given} runs went to {ranked[-1]}.",
                    evidence={"best": best.chance_interval, "worst": worst.chance_interval, "runs_of_best": best.n, "runs_of_worst": worst.n},
                    weight=given * (best.chance - worst.chance) / runs,
                )
            )  # fmt: skip
    return made


def of_episodes(found: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each time in which an agent was slower or quicker than predicted."""
    return [
        insight(
            "episode",
            f"{one['agent_name']} was {one['direction']} than predicted from {one['from'][:16]} to {one['to'][:16]}: {one['factor']:g} times the time.",
            f"See what else happened then; runs {', '.join(map(str, one['runs'][:3]))} are of it.",
            evidence={key: one[key] for key in ("runs", "score", "from", "to", "open")}, weight=len(one["runs"]) / runs,
        )
        for one in found[:5]
    ]  # fmt: skip


def of_missing(cells: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return an insight for each agent that does not tell how its runs ended."""
    sums: dict[str, list[int]] = {}
    for row in cells:
        own = sums.setdefault(row["agent_name"], [0, 0])
        own[0] += row["runs"]
        own[1] += row["known"]
    return [
        insight(
            "missing outcomes", f"{name} told the outcome of {known} of {count} runs: its success rate is about those alone.",
            f"Let {name} send `success` with the same task_id when a run has ended.",
            evidence={"runs": count, "known": known}, weight=(count - known) / runs,
        )
        for name, (count, known) in sorted(sums.items()) if count >= _LEAST_RUNS and known < 0.8 * count
    ]  # fmt: skip


def ordered(insights: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the insights that matter most first."""
    return sorted(insights, key=lambda one: -one["weight"])[:_MOST]
