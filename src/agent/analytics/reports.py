"""Looks for patterns in the newest runs, and keeps what it finds: one search serves everybody who asks until it is old.

What is read is bounded, so that a search takes as long with a million runs as with ten thousand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import agent.analytics.anomalies as anomalies
import agent.analytics.coordination as coordination
import agent.analytics.drift as drift
import agent.analytics.failures as failures
import agent.analytics.insights as insights
import agent.analytics.models as models
import agent.analytics.totals as totals
from agent.analytics.effect_model import EffectModel
from agent.analytics.figures import Totals, as_json, figures_of
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_MOST_READ = 5_000
_FEW = 2_000  # runs: a search of so few is quick, so that every new run counts at once
_LEAST_RUNS = 5
_MOST_LISTED = 50


async def patterns(*, fresh: bool = False, runtime: Runtime) -> dict[str, Any]:
    """Return what was found: coordination, failures, drift, performance, resources, insights; with when and from how many runs."""
    settings = runtime.settings
    if not settings.pattern_recognition_enabled:
        raise InvalidInput("Patterns are not looked for here: set PATTERN_RECOGNITION_ENABLED=true.")
    await totals.fold(runtime=runtime)
    known = await runtime.one(_QUERIES["report"], name="patterns")
    runs = (await totals.counts(runtime=runtime))["runs"]
    if known is not None and not fresh:
        unchanged = known["runs"] == runs and runs >= _FEW
        if unchanged or (runs >= _FEW and known["age"] < settings.pattern_seconds):
            return _report(known)
    return await search(runs=runs, runtime=runtime)


async def search(*, runs: int, runtime: Runtime) -> dict[str, Any]:
    """Look for patterns in the newest runs, keep what was found, and return it."""
    read = await models.sample(runtime=runtime, most=_MOST_READ)
    cells = await totals.rows("cell", runtime=runtime)
    success = await models.active("success", runtime=runtime) if runtime.settings.predictions_enabled else None
    slow = await models.active("time", runtime=runtime) if runtime.settings.anomaly_detection_enabled else None
    began = time.monotonic()
    content = await asyncio.to_thread(
        found_in,
        read,
        cells,
        success[0] if success else None,
        slow[0] if slow else None,
        runtime.settings.anomaly_threshold,
    )
    content["seconds"] = round(time.monotonic() - began, 3)
    await runtime.execute(_QUERIES["save_report"], name="patterns", content=as_json(content), runs=runs)
    kept = await runtime.one(_QUERIES["report"], name="patterns")
    return _report(kept) if kept else content


def found_in(
    runs: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]], success: EffectModel | None, slow: EffectModel | None,
    threshold: float,
) -> dict[str, Any]:  # fmt: skip
    """Return everything that can be found in runs (newest first) and totals. Pure."""
    tasks = coordination.tasks_of(runs)
    pairs = coordination.pairs_that_do_better(tasks)
    sequences = coordination.sequences_that_do_better(tasks)
    failed, changed = failures.clusters(runs), drift.drifts(runs)
    episodes = anomalies.episodes(runs, slow) if slow else []
    count = max(len(runs), 1)
    told = [
        *insights.of_failures(failed, count), *insights.of_drift(changed, count), *insights.of_pairs(pairs, count), *insights.of_sequences(sequences, count),
        *insights.of_choices(success, cells, max(sum(row["runs"] for row in cells), 1)), *insights.of_missing(cells, count), *insights.of_episodes(episodes, count),
    ]  # fmt: skip
    return {
        "collaboration": pairs, "sequences": sequences, "performance": _performance(cells), "resources": _resources(cells), "failures": failed["clusters"],
        "failure_summary": failed["sentence"], "drift": changed, "anomalies": anomalies.unusual_runs(runs, slow, threshold) if slow else [],
        "episodes": episodes,
        "insights": insights.ordered(told), "runs_read": len(runs), "shared_tasks": len(tasks),
    }  # fmt: skip


def _performance(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each task type the agent that succeeds most often, surely counted (by the lower end of its interval)."""
    best: dict[str, dict[str, Any]] = {}
    for row in cells:
        figures = figures_of(Totals().add(row))
        if figures.outcomes_known < _LEAST_RUNS or figures.success_interval is None:
            continue
        known = best.get(row["task_type"])
        if known is None or figures.success_interval[0] > known["success_interval"][0]:
            best[row["task_type"]] = {
                "task_type": row["task_type"] or None, "best_agent": row["agent_name"], "success_rate": figures.success_rate,
                "success_interval": list(figures.success_interval), "avg_execution_time": figures.avg_execution_time, "n": figures.outcomes_known,
            }  # fmt: skip
    return [best[task] for task in sorted(best)]


def _resources(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what each agent uses on each task type, the most expensive first, where it was measured."""
    found = []
    for row in cells:
        figures = figures_of(Totals().add(row))
        used = {
            "cpu": figures.resource_cpu,
            "memory": figures.resource_memory,
            "tokens": figures.avg_tokens,
            "cost_usd": figures.cost_usd,
        }
        if any(value is not None for value in used.values()):
            found.append(
                {"agent_name": row["agent_name"], "task_type": row["task_type"] or None, **used, "n": figures.runs}
            )
    return sorted(found, key=lambda one: (-(one["cpu"] or 0), -(one["memory"] or 0)))[:_MOST_LISTED]


def _report(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row["content"], "runs": row["runs"], "computed_at": row["computed_at"].isoformat()}
