"""Models of success, time and cost: trained in the background, kept as versions, promoted only when no worse, rolled back by hand."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import structlog

import agent.analytics.totals as totals
from agent.analytics.effect_model import LEAST_RUNS, TARGETS, EffectModel, Target
from agent.analytics.training import Trained, train
from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.errors import InvalidInput, NotFound
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)
_MOST_SAMPLED, _LEAST_EACH = 20_000, 50
_MODELS: Cache[dict[str, tuple[int, EffectModel, dict[str, Any]]]] = Cache()
_log = structlog.get_logger(__name__)


async def sample(*, runtime: Runtime, most: int = _MOST_SAMPLED) -> list[dict[str, Any]]:
    """Return the newest runs, newest first; no agent has more than its share of them."""
    cells = await totals.rows("cell", runtime=runtime)
    each = max(_LEAST_EACH, 4 * most // max(len({row["agent_name"] for row in cells}), 4))
    return await runtime.all(_QUERIES["recent_runs"], each=each, most=most)


async def active(target: Target, *, runtime: Runtime) -> tuple[EffectModel, dict[str, Any]] | None:
    """Return the model that predicts a target, with its row; None where there is none, or none that can be read."""
    row = await runtime.one(_QUERIES["active_model"], name=target)
    if row is None:
        return None
    kept = _MODELS.get(runtime, runtime.tenant_id) or _MODELS.put(runtime, {}, runtime.tenant_id)
    known = kept.get(target)
    if known is None or known[0] != row["id"]:
        try:
            model = EffectModel.from_json(row.pop("model_data") or "")
        except ValueError:
            _log.warning("model_unreadable", model=target, version=row["version"])
            return None
        known = kept[target] = (row["id"], model, row)
    return known[1], known[2]


async def train_all(*, runtime: Runtime) -> list[dict[str, Any]]:
    """Train a model of each target, and return what became of it. Raises `InvalidInput` where predictions are switched off."""
    if not runtime.settings.predictions_enabled:
        raise InvalidInput("Predictions are switched off: set AGENT_PREDICTIONS_ENABLED=true.")
    await totals.fold(runtime=runtime)
    began = time.monotonic()
    runs = await sample(runtime=runtime)
    trained = [await _train(target, runs, runtime=runtime) for target in TARGETS]
    content = json.dumps({"seconds": round(time.monotonic() - began, 3), "runs_read": len(runs)})
    known = (await totals.counts(runtime=runtime))["runs"]
    await runtime.execute(_QUERIES["save_report"], name="training", content=content, runs=known)
    return trained


async def train_if_due(*, runtime: Runtime) -> None:
    """Train where the last training is old enough, and enough runs came since."""
    settings = runtime.settings
    if not settings.predictions_enabled:
        return
    known = (await totals.counts(runtime=runtime))["runs"]
    last = await runtime.one(_QUERIES["report"], name="training")
    if known < LEAST_RUNS:
        return
    if last is None or (
        last["age"] >= settings.model_update_seconds and abs(known - last["runs"]) >= settings.model_batch_size
    ):
        await train_all(runtime=runtime)


async def _train(target: Target, runs: list[dict[str, Any]], *, runtime: Runtime) -> dict[str, Any]:
    present = await active(target, runtime=runtime)
    began = time.monotonic()
    try:
        async with asyncio.timeout(runtime.settings.training_budget_seconds):
            model, row = present if present else (None, {})
            budget = runtime.settings.training_budget_seconds
            trained = await asyncio.to_thread(train, runs, target, model, row.get("trained_on"), seconds=budget)
    except TimeoutError:
        _log.warning("training_too_slow", model=target, runs=len(runs))
        return {
            "model": target,
            "status": "over budget",
            "reason": "It took longer than AGENT_TRAINING_BUDGET_SECONDS.",
        }
    seconds = time.monotonic() - began
    if isinstance(trained, str):
        status = "skipped" if present else "not enough data"
        return {"model": target, "status": status, "version": None, "reason": trained}
    return await _keep(target, trained, seconds, runtime=runtime)


async def _keep(target: Target, trained: Trained, seconds: float, *, runtime: Runtime) -> dict[str, Any]:
    card = trained.card | {"reason": trained.reason, "training_seconds": round(seconds, 3)}
    status = "active" if trained.promoted else "refused"
    own = {"tenant_id": runtime.tenant_id, "name": target}
    async with runtime.transaction() as conn:
        alone = await fetch_one(conn, _QUERIES["lock_models"], own)
        if not (alone and alone["alone"]):
            return {"model": target, "status": "skipped", "reason": "Another process trains it at this moment."}
        if trained.promoted:
            await conn.execute(_QUERIES["retire_models"], own)
        saved = await fetch_one(
            conn, _QUERIES["save_model"],
            {
                **own, "kind": "crossed effects", "accuracy": trained.accuracy, "data": trained.model.as_json(), "status": status,
                "card": json.dumps(card), "hyperparameters": json.dumps({"between": trained.model.between, "noise": trained.model.noise}),
            },
        )  # fmt: skip
        await conn.execute(_QUERIES["forget_models"], own)
    version = saved["version"] if saved else None
    return {"model": target, "status": status, "version": version, "reason": trained.reason, "card": card}


async def history(*, runtime: Runtime) -> list[dict[str, Any]]:
    """Return every model with its card, newest first."""
    return await runtime.all(_QUERIES["model_history"])


async def roll_back(name: str, version: str | None = None, *, runtime: Runtime) -> dict[str, Any]:
    """Let an earlier version predict again: `version`, or the one before the present one. Raises `NotFound`."""
    if name not in TARGETS:
        raise NotFound(f"There is no model {name[:100]!r}: use one of {', '.join(TARGETS)}.")
    own = {"tenant_id": runtime.tenant_id, "name": name}
    async with runtime.transaction() as conn:
        if version is None:
            earlier = await fetch_one(conn, _QUERIES["earlier_model"], own)
            version = earlier["version"] if earlier else None
        missing = NotFound(f"There is no such version of {name!r} to go back to: `agent analytics models` lists them.")
        if version is None:
            raise missing
        await conn.execute(_QUERIES["retire_models"], own)
        if await fetch_one(conn, _QUERIES["activate_model"], own | {"version": version}) is None:
            raise missing
    return {"model": name, "version": version, "status": "active"}
