"""Optuna searches for parameters: it begins with what recorded runs showed, and tries each of its proposals on a few cases.

The cases that take part in the search are burnt, so that others confirm what it found. It is an extra: `pip install 'learning-agent[optimize]'`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from uuid import uuid4

import agent.optimization.sessions as sessions
from agent.concurrency import gather_or_cancel
from agent.errors import BudgetExceeded, ConfigurationError, InvalidInput
from agent.optimization.cases import burn, fresh_cases
from agent.optimization.history import Run, recorded
from agent.optimization.workflows import Case, Parameter, Replayed, Workflow, registered
from agent.runtime import Runtime

LEAST_RUNS = 5  # of a configuration, to begin with it
_CASES_A_TRIAL, _AT_ONCE, _DRAWN_BY = 12, 4, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A configuration, the share of its runs that were good, what one costs, and from how many runs that is known."""

    parameters: Mapping[str, Any]
    good: float
    cost_usd: float
    runs: int


def known_configurations(runs: Sequence[Run], names: Sequence[str]) -> list[Tried]:
    """Return what recorded runs showed of each configuration of these parameters. Pure."""
    groups: dict[str, list[Run]] = {}
    for one in runs:
        if all(name in one.parameters for name in names):
            groups.setdefault(json.dumps([one.parameters[name] for name in names]), []).append(one)
    return [
        Tried(
            parameters=dict(zip(names, json.loads(key), strict=True)), good=fmean(one.success for one in group),
            cost_usd=fmean(costs) if (costs := [one.cost_usd for one in group if one.cost_usd is not None]) else 0.0, runs=len(group),
        )
        for key, group in sorted(groups.items())
        if len(group) >= LEAST_RUNS
    ]  # fmt: skip


def searchable(workflow: Workflow, names: Sequence[str] | None) -> dict[str, Parameter]:
    """Return the parameters to search: those named, or all with bounds or choices. Raises `InvalidInput`."""
    found = {
        name: one
        for name, one in workflow.parameters.items()
        if one.choices or one.kind == "boolean" or (one.low is not None and one.high is not None)
    }
    if names is None:
        return found
    if unknown := sorted(set(names) - found.keys()):
        raise InvalidInput(f"{unknown[0]!r} cannot be searched: use some of {', '.join(sorted(found))}.")
    return {name: found[name] for name in names}


async def search(
    workflow_type: str, *, names: Sequence[str] | None, trials: int, max_cost: float | None, seed: int, runtime: Runtime
) -> Tried | None:
    """Return the best configuration that a search found, or None where nothing was better than what is in force.

    Raises `InvalidInput`, `ConfigurationError` without the extra, and `BudgetExceeded` if not even one trial fits.
    """
    workflow = registered(workflow_type)
    if workflow is None:
        raise InvalidInput(
            f"Nobody registered the workflow {workflow_type!r}, so it is not known what could be changed."
        )
    space = searchable(workflow, names)
    current = await workflow.current(runtime)
    known = known_configurations(await recorded(workflow_type=workflow_type, runtime=runtime), sorted(space))
    study = _study(space, known, current, max_cost=max_cost, seed=seed)
    tried: list[Tried] = []
    async with sessions.working(await sessions.active(runtime), runtime=runtime) as work:
        for _ in range(trials):
            trial = study.ask(_distributions(space))
            cases = (await fresh_cases(workflow, runtime=runtime))[:_CASES_A_TRIAL]
            if len(cases) < _CASES_A_TRIAL:
                break
            try:
                one = await _try(workflow, cases, current, trial.params, work=work, runtime=runtime)
            except BudgetExceeded:
                if not tried:
                    raise
                break
            if max_cost is not None:
                trial.set_constraint("max_cost", one.cost_usd - max_cost)
            study.tell(trial, one.good)
            tried.append(one)
    return best_of([*known, *tried], {name: current.get(name) for name in space}, max_cost=max_cost)


def best_of(tried: Sequence[Tried], current: Mapping[str, Any], *, max_cost: float | None) -> Tried | None:
    """Return the configuration that did best within its cost; None for the one in force. Pure.

    What few runs showed is drawn to the mean of all: of many that are tried, one always looks splendid.
    """
    usable = [one for one in tried if (max_cost is None or one.cost_usd <= max_cost) and one.runs]
    if not usable:
        return None
    mean = sum(one.good * one.runs for one in usable) / sum(one.runs for one in usable)
    best = max(usable, key=lambda one: (one.good * one.runs + mean * _DRAWN_BY) / (one.runs + _DRAWN_BY))
    return None if all(current.get(name) == value for name, value in best.parameters.items()) else best


async def _try(
    workflow: Workflow, cases: Sequence[Case], current: Mapping[str, Any], parameters: Mapping[str, Any], *, work: sessions.Work, runtime: Runtime
) -> Tried:  # fmt: skip
    async def replayed(case: Case) -> Replayed:
        async with work.spending(workflow.price(runtime)) as part:
            done = await workflow.replay(case, {**current, **parameters}, runtime)
            part.usd += done.cost_usd
        return done

    done: list[Replayed] = []
    for place in range(0, len(cases), _AT_ONCE):
        done += await gather_or_cancel(*(replayed(case) for case in cases[place : place + _AT_ONCE]))
    await burn(workflow.name, [case.case_id for case in cases], by=str(uuid4()), runtime=runtime)
    judged = [one for one in done if one.success is not None]
    good = fmean(bool(one.success) for one in judged) if judged else 0.0
    return Tried(parameters=dict(parameters), good=good, cost_usd=fmean(one.cost_usd for one in done), runs=len(judged))


def _study(
    space: Mapping[str, Parameter],
    known: Sequence[Tried],
    current: Mapping[str, Any],
    *,
    max_cost: float | None,
    seed: int,
) -> Any:
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4))
    distributions = _distributions(space)
    for one in known:
        if any(space[name].problem(value) for name, value in one.parameters.items()):
            continue  # such a value is not allowed any more
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(one.parameters), distributions=distributions, value=one.good,
                constraints=None if max_cost is None else {"max_cost": one.cost_usd - max_cost},
            )
        )  # fmt: skip
    now = {name: current[name] for name in space if name in current and not space[name].problem(current[name])}
    if now and not known:
        study.enqueue_trial(now)
    return study


def _distributions(space: Mapping[str, Parameter]) -> dict[str, Any]:
    made = _optuna().distributions
    found: dict[str, Any] = {}
    for name, one in sorted(space.items()):
        if one.choices or one.kind == "boolean":
            found[name] = made.CategoricalDistribution(tuple(one.choices) or (False, True))
        else:
            low, high = one.low or 0, one.high or 0
            wide = low > 0 and high / low >= 20
            found[name] = (
                made.IntDistribution(int(low), int(high), log=wide)
                if one.kind == "integer"
                else made.FloatDistribution(low, high, log=wide)
            )
    return found


def _optuna() -> Any:
    try:
        import optuna  # start-up: it is an extra, and slow
    except ImportError:
        raise ConfigurationError("A search needs Optuna: pip install 'learning-agent[optimize]'.") from None
    return optuna
