"""Configurations: merged from patterns, tested on recorded runs or the workflow's own replay, improved step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import agent.optimization.patterns as patterns
import agent.optimization.sessions as sessions
from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.optimization.cases import burn, fresh_cases
from agent.optimization.history import Run, recorded
from agent.optimization.ids import key_of, not_there
from agent.optimization.merging import merged
from agent.optimization.mining import as_json
from agent.optimization.records import BestConfig, ConfigTest, GeneratedConfig
from agent.optimization.simulation import METRICS, SMALLER, Figures, figures, gain, neighbours, simulated
from agent.optimization.workflows import Workflow, registered
from agent.runtime import Runtime
from agent.sync.payloads import checked_name, json_text

_QUERIES = load_queries(__package__)
_OPTIONS = frozenset({"min_success_rate", "max_cost", "preferred_patterns", "max_patterns"})
_REPLAYED, _MOST_INPUT = 10, 100_000


async def generate(workflow_type: str, options: Mapping[str, Any], *, runtime: Runtime) -> GeneratedConfig:
    """Merge the patterns of a workflow type into a configuration, and keep it."""
    checked_name(workflow_type, what="workflow_type")
    checked = _checked(options)
    known = await patterns.every(workflow_type=workflow_type, runtime=runtime)
    preferred = [str(one) for one in checked.get("preferred_patterns", ())]
    if missing := set(preferred) - {one.pattern_id for one in known}:
        raise NotFound(f"There is no pattern {min(missing)!r} for {workflow_type!r}.")
    workflow = registered(workflow_type)
    usable = [one for one in known if workflow is None or not workflow.problems_here(one.parameters, runtime)]
    found = merged(usable, preferred=preferred, most=checked.get("max_patterns"))
    return await _save(
        workflow_type, found.config, runtime=runtime, source_patterns=[one.pattern_id for one in found.patterns],
        conflicts=list(found.conflicts), options=checked, confidence_score=found.confidence,
    )  # fmt: skip


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - _OPTIONS:
        raise InvalidInput(f"There is no option {str(min(unknown))[:100]!r}: use {', '.join(sorted(_OPTIONS))}.")
    _number(given, "min_success_rate", 1.0)
    _number(given, "max_cost", 1e9)
    most = given.get("max_patterns")
    if most is not None and (type(most) is not int or not 1 <= most <= 100):
        raise InvalidInput("max_patterns must be a whole number from 1 to 100.")
    wanted = given.get("preferred_patterns", [])
    if not isinstance(wanted, list | tuple) or len(wanted) > 100:
        raise InvalidInput("preferred_patterns must be a list of at most 100 ids of patterns.")
    return given | ({"preferred_patterns": [str(key_of(one, "pattern")) for one in wanted]} if wanted else {})


def _number(given: Mapping[str, Any], name: str, most: float) -> None:
    value = given.get(name)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (plain and math.isfinite(value) and 0 <= value <= most):
        raise InvalidInput(f"{name} must be a number from 0 to {most:g}.")


async def _save(
    workflow_type: str, config: Mapping[str, Any], *, runtime: Runtime, source_patterns: Sequence[str] = (),
    conflicts: Sequence[Mapping[str, Any]] = (), options: Mapping[str, Any], confidence_score: float = 0.0, improves: str | None = None,
) -> GeneratedConfig:  # fmt: skip
    row = await runtime.one(
        _QUERIES["save_config"], workflow_type=workflow_type, config=as_json(dict(config)), source_patterns=list(source_patterns),
        conflicts=as_json(list(conflicts)), options=as_json(dict(options)), confidence=confidence_score, improves=improves, by=runtime.user,
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return GeneratedConfig.from_row(row)


async def get(config_id: str, *, runtime: Runtime) -> GeneratedConfig:
    """Return a configuration. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["config"], config_id=key_of(config_id, "configuration"))
    if row is None:
        raise not_there(config_id, "configuration")
    return GeneratedConfig.from_row(row)


async def every(*, workflow_type: str | None = None, runtime: Runtime) -> list[GeneratedConfig]:
    """Return the newest configurations."""
    rows = await runtime.all(_QUERIES["configs"], workflow_type=workflow_type)
    return [GeneratedConfig.from_row(row) for row in rows]


async def test(config_id: str, test_input: Mapping[str, Any], *, runtime: Runtime) -> ConfigTest:
    """Test a configuration: by the workflow's own replay of some cases, or by the recorded runs that had its parameters."""
    config = await get(config_id, runtime=runtime)
    text = json_text(dict(test_input), what="The test's input")
    if len(text) > _MOST_INPUT:
        raise InvalidInput(f"The test's input may have at most {_MOST_INPUT:,} characters.")
    workflow = registered(config.workflow_type)
    if workflow is None:
        runs = await recorded(workflow_type=config.workflow_type, runtime=runtime)
        found, simulator = simulated(config.generated_config, runs), "recorded runs"
    else:
        found, simulator = await _replayed(workflow, config, runtime), "replay"
    success, reason = _judged(found, config.options)
    values = {"metrics": as_json(dict(found.values)), "intervals": as_json(dict(found.intervals)), "test_input": text}
    row = await runtime.one(
        _QUERIES["save_config_test"], config_id=key_of(config_id, "configuration"), success=success, reason=reason,
        simulator=simulator, runs=found.runs, **values,
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return ConfigTest.from_row(row)


async def _replayed(workflow: Workflow, config: GeneratedConfig, runtime: Runtime) -> Figures:
    """Replay some cases with a configuration. They are burnt: a configuration that was seen on them is not confirmed by them."""
    if problems := workflow.problems_here(config.generated_config, runtime):
        return replace(simulated({}, []), missing=f"It cannot run: {'; '.join(problems)}.")
    cases = (await fresh_cases(workflow, runtime=runtime))[:_REPLAYED]
    session, current = await sessions.active(runtime), await workflow.current(runtime)
    done: list[Run] = []
    async with sessions.working(session, runtime=runtime) as work:
        await burn(workflow.name, [one.case_id for one in cases], by=config.config_id, runtime=runtime)
        for case in cases:
            async with work.spending(workflow.price(runtime)) as part:
                one = await workflow.replay(case, {**current, **config.generated_config}, runtime)
                part.usd += one.cost_usd
            if one.success is not None:
                done.append(Run(
                    run_id=case.case_id, task=case.case_id, task_type=workflow.name, agent_name="", success=one.success, seconds=one.seconds,
                    cost_usd=one.cost_usd, steps=(), parameters={}, propensity=None, at=config.created_at,
                ))  # fmt: skip
    return figures(done) if done else replace(simulated({}, []), missing="No recorded case could be replayed.")


def _judged(found: Figures, options: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether figures keep what was asked for, and why. A share counts by its lower bound."""
    if found.missing:
        return False, found.missing
    least, most = options.get("min_success_rate"), options.get("max_cost")
    accuracy, cost = found.values["accuracy"], found.values["cost"]
    lower = found.intervals.get("accuracy", (0.0,))[0]
    if least is not None and lower < least:
        return (
            False,
            f"{accuracy:.0%} of {found.runs} runs succeeded, surely only {lower:.0%}; {least:.0%} was asked for.",
        )
    if most is not None and cost is None:
        return False, f"None of the {found.runs} runs tells its cost, of which at most {most:g} was asked for."
    if most is not None and cost is not None and cost > most:
        return False, f"A run costs {cost:g} US dollars; at most {most:g} was asked for."
    if least is None and not lower > 0.5:
        return False, f"{accuracy:.0%} of {found.runs} runs succeeded, surely only {lower:.0%}."
    return True, f"{accuracy:.0%} of {found.runs} runs succeeded, surely {lower:.0%}."


async def improve(config_id: str, goal: Mapping[str, Any], *, runtime: Runtime) -> GeneratedConfig:
    """Change one parameter after the other to what recorded runs did better with, until the goal is reached.

    What comes out is a proposal that was chosen from many: test it before you believe it.
    """
    config = await get(config_id, runtime=runtime)
    metric, wanted, most = _goal(goal)
    runs = await recorded(workflow_type=config.workflow_type, runtime=runtime)
    now, first = dict(config.generated_config), simulated(config.generated_config, runs)
    reached = first.values.get(metric)
    for _ in range(most):
        better = _best(neighbours(now, runs), metric, reached, runs)
        if better is None:
            break
        now, reached = better
        if (gain(metric, first.values.get(metric), reached) or 0.0) >= wanted:
            break
    change = gain(metric, first.values.get(metric), reached)
    reason = first.missing if now == config.generated_config and first.missing else _improved(metric, change, wanted)
    made = await _save(
        config.workflow_type, now, runtime=runtime, source_patterns=config.source_patterns, options=config.options,
        confidence_score=config.confidence_score, improves=config.config_id,
    )  # fmt: skip
    return replace(made, reason=reason)


def _goal(goal: Mapping[str, Any]) -> tuple[str, float, int]:
    given = {name: value for name, value in goal.items() if value is not None}
    if unknown := given.keys() - {"target_metric", "improvement_goal", "max_iterations"}:
        raise InvalidInput(f"There is no option {str(min(unknown))[:100]!r} of an improvement.")
    metric, most = given.get("target_metric", "accuracy"), given.get("max_iterations", 5)
    if metric not in METRICS:
        raise InvalidInput(f"target_metric must be one of {', '.join(METRICS)}.")
    _number(given, "improvement_goal", 100.0)
    if type(most) is not int or not 1 <= most <= 50:
        raise InvalidInput("max_iterations must be a whole number from 1 to 50.")
    return metric, float(given.get("improvement_goal", 0.1)), most


def _best(
    candidates: Sequence[Mapping[str, Any]], metric: str, reached: float | None, runs: Sequence[Run]
) -> tuple[dict[str, Any], float] | None:
    """Return the candidate with the best figure from at least ten runs, if it is better than what was reached."""
    found: list[tuple[float, dict[str, Any]]] = []
    for one in candidates:
        shown = simulated(one, runs)
        value = shown.values.get(metric)
        if value is not None and shown.runs >= 10:
            found.append((value, dict(one)))
    if not found:
        return None
    value, config = (min if metric in SMALLER else max)(found, key=lambda one: one[0])
    better = reached is None or (value < reached if metric in SMALLER else value > reached)
    return (config, value) if better else None


def _improved(metric: str, change: float | None, wanted: float) -> str:
    if not change:
        return f"No recorded run did better in {metric}."
    word = "reached" if change >= wanted else f"short of {wanted:.0%}"
    return f"In recorded runs {metric} is {change:.0%} better with it ({word}). It was chosen from many: test it."


async def best(workflow_type: str, options: Mapping[str, Any], *, runtime: Runtime) -> BestConfig | None:
    """Return the tested configuration with the best figure; None where none has so many tests."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - {"metric", "min_tests"}:
        raise InvalidInput(f"There is no option {str(min(unknown))[:100]!r}: use metric and min_tests.")
    metric, least = given.get("metric", "accuracy"), given.get("min_tests", 1)
    if metric not in METRICS or type(least) is not int or not 1 <= least <= 10_000:
        raise InvalidInput(f"metric must be one of {', '.join(METRICS)}, and min_tests a whole number from 1 on.")
    row = await runtime.one(
        _QUERIES["best_config"], workflow_type=checked_name(workflow_type, what="workflow_type"), metric=metric,
        least=least, smaller=metric in SMALLER,
    )  # fmt: skip
    if row is None:
        return None
    config = await get(str(row["config_id"]), runtime=runtime)
    return BestConfig(config=config, metric=metric, value=row["value"], interval=row["interval"], tests=row["tests"])


async def statistics(*, runtime: Runtime) -> dict[str, Any]:
    """Return how many configurations and tests there are."""
    return dict(await runtime.one(_QUERIES["config_statistics"]) or {})
