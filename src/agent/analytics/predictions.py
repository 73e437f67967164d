"""Predicts how an agent will do on a task type, and recommends one: with intervals, reasons and logged propensities."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

import agent.analytics.models as models
import agent.analytics.similarity as similarity
import agent.analytics.totals as totals
import agent.analytics.trends as trends
from agent.analytics.effect_model import LEAST_RUNS, TARGETS, EffectModel, Predicted, Target
from agent.analytics.figures import Totals, figures_of, grouped
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.sync import agents

_QUERIES = load_queries(__package__)
_DRAWS = 4_000
_MOST_CANDIDATES = 50
_MOST_DRAWN, _MOST_UNSEEN = 500, 50
_NOT_ENOUGH = "not enough data"
Models = dict[Target, tuple[EffectModel, dict[str, Any]]]


async def present_models(*, runtime: Runtime) -> Models:
    """Return the models that predict now. The first ones are trained here, when there is enough to learn from."""
    if not runtime.settings.predictions_enabled:
        return {}
    found: Models = {}
    for target in TARGETS:
        model = await models.active(target, runtime=runtime)
        if model is not None:
            found[target] = model
    if not found:
        await totals.fold(runtime=runtime)
        trained = await runtime.one(_QUERIES["report"], name="training")
        known = (await totals.counts(runtime=runtime))["runs"]
        if known >= LEAST_RUNS and (trained is None or trained["runs"] < known):
            await models.train_all(runtime=runtime)
            for target in TARGETS:
                if model := await models.active(target, runtime=runtime):
                    found[target] = model
    return found


async def predict(agent: str, task: str, *, runtime: Runtime) -> dict[str, Any]:
    """Predict success, time and cost of an agent on a task type. What cannot be said is null, with a sentence why."""
    await totals.fold(runtime=runtime)
    known = await present_models(runtime=runtime)
    return await _prediction(agent, task, known, runtime=runtime)


async def _prediction(agent: str, task: str, known: Models, *, runtime: Runtime) -> dict[str, Any]:
    of_agent = await totals.rows("cell", agent_name=agent, runtime=runtime)
    of_task = await totals.rows("cell", task_type=task, runtime=runtime)
    pair = [row for row in of_agent if row["task_type"] == task]
    basis = {"pair": _runs(pair), "agent": _runs(of_agent), "task_type": _runs(of_task)}
    # Of an agent without any run, those that are most like it tell something.
    like = {} if basis["agent"] else await similarity.like(agent, runtime=runtime)
    answer: dict[str, Any] = {"agent_name": agent, "task_type": task, **_success(known, agent, task, like, runtime)}
    for target, name in (("time", "execution_time"), ("cost", "cost_usd")):
        model = known.get(target)  # type: ignore[call-overload]  # both are targets
        answer |= _amount(model[0] if model else None, name, (agent, task), like)
    missing = [name for name in ("success_rate", "execution_time") if answer[name] is None]
    reason = _reason(missing, runtime) if missing else None
    if not missing and not basis["pair"]:
        reason = "The agent has no runs of this task type: this is what its other runs and other agents let expect."
    return answer | {
        "status": _NOT_ENOUGH if missing else "ok", "reason": reason, "resources": _resources(pair or of_agent or of_task), "based_on": basis,
        "similar_agents": like, "models": {name: {"version": row["version"], "trained_on": row["trained_on"]} for name, (_, row) in known.items()},
    }  # fmt: skip


def _reason(missing: list[str], runtime: Runtime) -> str:
    if not runtime.settings.predictions_enabled:
        return "Predictions are switched off (AGENT_PREDICTIONS_ENABLED)."
    what = " and ".join(missing)
    return f"Not enough data: {LEAST_RUNS} runs that tell {what} are needed over all agents."


def _success(known: Models, agent: str, task: str, like: dict[str, float], runtime: Runtime) -> dict[str, Any]:
    if "success" not in known:
        return {"success_rate": None, "success_interval": None, "confidence": None, "reliable": False}
    predicted = known["success"][0].predict(agent, task, like)
    low, high = predicted.chance_interval
    confidence = 1 - (high - low)
    return {
        "success_rate": _short(predicted.chance), "success_interval": [_short(low), _short(high)], "confidence": _short(confidence),
        "reliable": confidence >= runtime.settings.prediction_confidence,
    }  # fmt: skip


def _amount(model: EffectModel | None, name: str, pair: tuple[str, str], like: dict[str, float]) -> dict[str, Any]:
    if model is None:
        return {name: None, f"{name}_interval": None}
    predicted = model.predict(*pair, like)
    interval = model.interval(predicted)
    middle = math.exp(max(-30.0, min(30.0, predicted.linear)))
    return {name: _short(middle), f"{name}_interval": None if interval is None else [_short(one) for one in interval]}


def _resources(rows: list[dict[str, Any]]) -> dict[str, Any]:
    figures = figures_of(grouped(rows, lambda _: None).get(None, Totals()))
    return {
        "cpu": figures.resource_cpu,
        "memory": figures.resource_memory,
        "tokens": figures.avg_tokens,
        "runs": figures.runs,
    }


def _runs(rows: list[dict[str, Any]]) -> int:
    return sum(row["runs"] for row in rows)


async def trend(agent: str | None, task: str | None, *, days: int, runtime: Runtime) -> dict[str, Any]:
    """Return what an agent, a task type or everything reached on each day, beside the band that the present models expect.

    Raises `NotFound` for an agent that is not known, `InvalidInput` for an agent and a task type: totals by day know one of them.
    """
    if agent and task:
        raise InvalidInput("Name an agent or a task type: what both reached together is not counted by day.")
    await totals.fold(runtime=runtime)
    cells = await totals.rows("cell", agent_name=agent, task_type=task, runtime=runtime)
    if agent and not cells:
        await agents.require([agent], runtime=runtime)
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    level: totals.Level = "agent" if agent else "task"
    rows = await totals.rows(level, agent_name=agent, task_type=task, since=since, runtime=runtime)
    known = await present_models(runtime=runtime)
    success, slow = known.get("success"), known.get("time")
    found = await asyncio.to_thread(trends.by_day, rows, cells, success and success[0], slow and slow[0])
    return {
        "agent_name": agent, "task_type": task, "days": found,
        "models": {name: {"version": row["version"], "trained_on": row["trained_on"]} for name, (_, row) in known.items()},
    }  # fmt: skip


async def recommend(task: str, *, explore: bool, most: int, runtime: Runtime) -> dict[str, Any]:
    """Recommend an agent for a task type: with reasons, and with the probability that each candidate is the best one.

    With `explore` the agent is drawn by these probabilities (Thompson sampling), so that others are tried as often as they may be
    better; what was drawn is noted. Without it, it is the one that probably succeeds most often.
    """
    await totals.fold(runtime=runtime)
    known = await present_models(runtime=runtime)
    names = await _candidates(task, runtime=runtime)
    if "success" not in known or not names:
        reason = (
            _reason(["success_rate"], runtime) if names else "No agent is registered: POST /agents/register names one."
        )
        return {"task_type": task, "status": _NOT_ENOUGH, "reason": reason, "recommended": None, "recommendations": []}
    model = known["success"][0]
    names = most_promising({name: model.predict(name, task) for name in names})
    predicted = {}
    unseen = [name for name in names if name not in model.agents][:_MOST_UNSEEN]
    for name in names:
        like = await similarity.like(name, runtime=runtime) if name in unseen else {}
        predicted[name] = model.predict(name, task, like)
    shares = best_shares(predicted)
    ranked = sorted(names, key=lambda name: (-predicted[name].chance, name))
    chosen = str(np.random.default_rng().choice(names, p=[shares[name] for name in names])) if explore else ranked[0]
    noted = await _note(task, chosen, shares, explored=chosen != ranked[0], runtime=runtime) if explore else None
    shown = ranked[:most] if chosen in ranked[:most] else [*ranked[: most - 1], chosen]
    entries = [await _entry(name, task, shares[name], known, runtime=runtime) for name in shown]
    return {
        "task_type": task, "status": "ok", "reason": None, "recommended": chosen, "propensity": shares[chosen] if explore else 1.0,
        "explored": chosen != ranked[0], "recommendation_id": noted, "recommendations": entries,
    }  # fmt: skip


async def _candidates(task: str, *, runtime: Runtime) -> list[str]:
    """Return the agents to choose from: those with runs of the task type, and the registered ones that say they can do it."""
    ran = [row["agent_name"] for row in await totals.rows("cell", task_type=task, runtime=runtime)]
    listed = await totals.registry(runtime=runtime)
    able = [one.agent_id for one in listed if isinstance(one.capabilities, list) and task in one.capabilities]
    names = sorted({*ran, *able})
    return names or sorted({row["agent_name"] for row in await totals.rows("cell", runtime=runtime)})


def most_promising(predicted: dict[str, Predicted]) -> list[str]:
    """Return the agents that may be the best one, by name: with very many, those whose prediction may be the highest."""
    ranked = sorted(predicted, key=lambda name: (-predicted[name].linear - 2 * predicted[name].deviation, name))
    return sorted(ranked[:_MOST_DRAWN])


def best_shares(predicted: dict[str, Predicted]) -> dict[str, float]:
    """Return how probable it is that each agent is the best one; none is impossible, so that every effect can be estimated."""
    names = list(predicted)
    random = np.random.default_rng(5)
    linear = np.array([predicted[name].linear for name in names])
    deviation = np.array([predicted[name].deviation for name in names])
    best = np.argmax(linear + deviation * random.standard_normal((_DRAWS, len(names))), axis=1)
    shares = (np.bincount(best, minlength=len(names)) + 0.5) / (_DRAWS + 0.5 * len(names))
    shares = shares / shares.sum()
    return {name: float(share) for name, share in zip(names, shares, strict=True)}


async def _note(task: str, chosen: str, shares: dict[str, float], *, explored: bool, runtime: Runtime) -> int:
    most = dict(sorted(shares.items(), key=lambda pair: -pair[1])[:_MOST_CANDIDATES]) | {chosen: shares[chosen]}
    row = await runtime.one(
        _QUERIES["save_recommendation"], task_type=task, agent_name=chosen, propensity=shares[chosen],
        propensities=json.dumps(most), explored=explored,
    )  # fmt: skip
    return int(row["id"]) if row else 0


async def _entry(name: str, task: str, share: float, known: Models, *, runtime: Runtime) -> dict[str, Any]:
    found = await _prediction(name, task, known, runtime=runtime)
    low, high = found["success_interval"]
    own, everything = found["based_on"]["pair"], found["based_on"]["agent"]
    reasons = [
        f"It probably succeeds in {found['success_rate']:.0%} of such tasks ({low:.0%} to {high:.0%}).",
        f"That is from {own} runs of this type and {everything} in all.",
        f"With {share:.0%} probability it is the best of the candidates.",
    ]
    if found["execution_time"] is not None:
        reasons.append(f"Half of such runs take less than {found['execution_time']:.3g} s.")
    if not own:
        reasons.append("It has not run this task type yet.")
    names = (
        "success_rate",
        "success_interval",
        "execution_time",
        "execution_time_interval",
        "cost_usd",
        "confidence",
        "based_on",
    )
    return {
        "agent_name": name,
        "probability_best": _short(share),
        **{key: found[key] for key in names},
        "reasons": reasons,
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
