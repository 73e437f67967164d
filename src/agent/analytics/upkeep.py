"""What the background does for a tenant: takes over own executions, counts, measures, trains, searches, embeds, and forgets."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import agent.analytics.coordination as coordination
import agent.analytics.models as models
import agent.analytics.reports as reports
import agent.analytics.runs as runs
import agent.analytics.similarity as similarity
import agent.analytics.totals as totals
from agent.analytics.figures import as_json
from agent.db import load_queries
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_OWN = UUID("0d4f6b7c-52ac-4f2f-8b77-6c27d7a2f3b1")  # executions of the agent itself become runs of this name space
OWN_NAME = "learning-agent"
_EMBED_SECONDS = 600.0


async def run_once(*, runtime: Runtime) -> None:
    """Do what is due. It may run in several processes, and again after a crash."""
    settings = runtime.settings
    await runtime.one(_QUERIES["keep_partitions"], days=settings.metrics_retention_days)
    if settings.performance_tracking_enabled:
        await take_over_own_executions(runtime=runtime)
    await totals.fold(runtime=runtime)
    await runtime.execute(_QUERIES["expired_measures"], days=settings.metrics_retention_days)
    await runtime.execute(_QUERIES["expired_recommendations"], days=settings.metrics_retention_days)
    count = (await totals.counts(runtime=runtime))["runs"]
    if not count:
        return
    await models.train_if_due(runtime=runtime)
    found: dict[str, Any] = {}
    if settings.pattern_recognition_enabled:
        known = await runtime.one(_QUERIES["report"], name="patterns")
        due = known is None or (known["runs"] != count and known["age"] >= settings.pattern_seconds)
        found = await reports.search(runs=count, runtime=runtime) if due else dict(known["content"]) if known else {}
    if settings.performance_tracking_enabled:
        scores = coordination.scores(found.get("collaboration", []))
        await runtime.execute(_QUERIES["measure"], seconds=settings.tracking_seconds, scores=as_json(scores))
    embedded = await runtime.one(_QUERIES["report"], name="embeddings")
    if embedded is None or (embedded["runs"] != count and embedded["age"] >= _EMBED_SECONDS):
        done = await similarity.embed_all(runtime=runtime)
        await runtime.execute(_QUERIES["save_report"], name="embeddings", content=as_json({"agents": done}), runs=count)


async def take_over_own_executions(*, runtime: Runtime) -> int:
    """Store finished executions of this agent as runs, up to the first one that still runs. Each is stored once."""
    taken = 0
    while True:
        mark = await runtime.one(_QUERIES["own_mark"])
        rows = await runtime.all(_QUERIES["own_executions"], after=mark["own_id"] if mark else 0)
        if not rows:
            return taken
        await runs.log([_as_run(row, runtime.tenant_id) for row in rows], runtime=runtime)
        await runtime.execute(_QUERIES["set_own_mark"], own_id=rows[-1]["id"])
        taken += len(rows)


def _as_run(row: dict[str, Any], tenant_id: str) -> dict[str, Any]:
    outcome = {"succeeded": True, "failed": False}.get(row["status"])  # what nobody allowed is no failure of the agent
    return {
        "agent_name": OWN_NAME, "task_id": uuid5(_OWN, f"{tenant_id}/{row['id']}"), "task_type": row["action"][:200],
        "execution_time": None if row["duration_ms"] is None else max(row["duration_ms"], 0.0) / 1000, "success": outcome,
        "tokens": row["tokens"] or None, "cost_usd": row["cost_usd"], "timestamp": row["created_at"],
    }  # fmt: skip
