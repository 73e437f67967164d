"""Trains models from runs, judges them on runs that they have not seen, and writes their cards. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, stdev
from typing import Any

import agent.analytics.boosting as boosting
from agent.analytics.effect_model import COVERAGE, LEAST_RUNS, Better, EffectModel, Observation, Target, fit
from agent.statistics.intervals import share_interval

_LEAST_AMOUNT = {"time": 1e-4, "cost": 1e-9}
_TESTED, _LEAST_UNSEEN = 0.2, 20
_BINS = 10


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, its card, and whether it is no worse than the one that predicts now. `reason` says why."""

    model: EffectModel
    card: dict[str, Any]
    accuracy: float
    promoted: bool
    reason: str


def observations(runs: Sequence[Mapping[str, Any]], target: Target) -> list[Observation]:
    """Return what runs say about a target, in the order in which they came; runs that do not say it are left out."""
    ordered = sorted(runs, key=lambda one: (one["logged_at"], one["id"]))
    found = [(one, value) for one in ordered if (value := _value(one, target)) is not None]
    return [Observation(one["agent_name"], one["task_type"] or "", value) for one, value in found]


def _value(run: Mapping[str, Any], target: Target) -> float | None:
    if target == "success":
        return None if run["success"] is None else float(run["success"])
    amount = run["execution_time" if target == "time" else "cost_usd"]
    return None if amount is None else math.log(max(amount, _LEAST_AMOUNT[target]))


def train(
    runs: Sequence[Mapping[str, Any]],
    target: Target,
    present: EffectModel | None,
    seen_until: datetime | None = None,
    *,
    seconds: float = math.inf,
) -> Trained | str:
    """Train a model of a target, newest run first, or return why not.

    It is judged on the newest fifth by a model of the older runs. Beside the `present` one it is judged on those of them that
    that one has not seen. The model that is kept has seen all of them. The richer one is tried within a quarter of `seconds`.
    """
    known = observations(runs, target)
    if len(known) < LEAST_RUNS:
        return f"At least {LEAST_RUNS} runs that tell it are needed; there are {len(known)}."
    tested = round(len(known) * _TESTED)
    if present is not None and seen_until is not None:
        unseen = len(observations([one for one in runs if one["logged_at"] > seen_until], target))
        if unseen < _LEAST_UNSEEN:
            return f"Only {unseen} new runs came since the present one was trained; {_LEAST_UNSEEN} are needed to judge them."
        tested = min(tested, unseen)
    split = len(known) - max(tested, 4)
    older, newest = known[:split], known[split:]
    plain = judged = fit(older, target)
    losses = [_loss(judged, one) for one in newest]
    better, richer = None, None
    if boosting.available():
        trial = _Trial(time.monotonic() + seconds / 4)
        rich = fit(older, target, better=trial)
        better, richer, judged, losses = _richer(judged, rich, losses, newest)
        if trial.late:
            better, richer, judged = None, "It takes too long for AGENT_TRAINING_BUDGET_SECONDS.", plain
            losses = [_loss(judged, one) for one in newest]
    card = _card(known, runs, newest, judged, target) | {"held_out_loss": _short(fmean(losses)), "richer_model": richer}
    if better:
        card["method"] = "gradient boosting over agents and task types, kept as a table of its predictions"
    promoted, reason = True, "It is the first one."
    if present is not None:
        promoted, reason = _no_worse(losses, [_loss(present, one) for one in newest])
    return Trained(fit(known, target, better=better), card, card["accuracy"], promoted, reason)


class _Trial:
    """Makes richer models until a moment; then it is late, and makes none."""

    def __init__(self, until: float) -> None:
        self._until, self.late = until, False

    def __call__(self, seen: Sequence[Observation], base: EffectModel) -> EffectModel | None:
        self.late = self.late or time.monotonic() > self._until
        return None if self.late else boosting.boosted(seen, base)


def _richer(
    plain: EffectModel, rich: EffectModel, losses: list[float], newest: Sequence[Observation]
) -> tuple[Better | None, str | None, EffectModel, list[float]]:
    """Return how to make the model that is kept, why, and it with its losses: the richer one only where it wins on held-out runs."""
    if rich.cells == plain.cells:
        return None, f"It needs {boosting.LEAST_RUNS} runs with different values.", plain, losses
    others = [_loss(rich, one) for one in newest]
    gains = [one - other for one, other in zip(losses, others, strict=True)]
    gain, error = fmean(gains), stdev(gains) / math.sqrt(len(gains))
    words = (
        f"loss {fmean(others):.4f}, the model of effects {fmean(losses):.4f} on the same {len(newest)} held-out runs"
    )
    if gain <= error:
        return None, f"It does not win: {words}.", plain, losses
    return boosting.boosted, f"It wins: {words}.", rich, others


def _no_worse(mine: Sequence[float], others: Sequence[float]) -> tuple[bool, str]:
    """Return whether losses are no higher than those of the present model, within a standard error of their difference."""
    differences = [one - other for one, other in zip(mine, others, strict=True)]
    worse = fmean(differences)
    error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    words = f"loss {fmean(mine):.4f}, the present one {fmean(others):.4f} on the same {len(mine)} runs"
    return worse <= error, f"It is {'no worse' if worse <= error else 'worse'}: {words}."


def _loss(model: EffectModel, one: Observation) -> float:
    """Return the Brier loss of an outcome, or the squared error of a logarithm."""
    predicted = model.predict(one.agent, one.task)
    expected = predicted.chance if model.target == "success" else predicted.linear
    return (one.value - expected) ** 2


def _card(
    known: Sequence[Observation],
    runs: Sequence[Mapping[str, Any]],
    newest: Sequence[Observation],
    judged: EffectModel,
    target: Target,
) -> dict[str, Any]:
    times: list[datetime] = sorted(one["timestamp"] for one in runs)
    card: dict[str, Any] = {
        "target": target, "runs": len(known), "agents": len({one.agent for one in known}), "task_types": len({one.task for one in known}),
        "data_from": times[0].isoformat(), "data_to": times[-1].isoformat(), "tested_on": len(newest),
        "method": "effects of agent, task type and their combination, each drawn to the mean by an estimated variance",
        "between": dict(zip(("agents", "task_types", "combinations"), map(_short, judged.between), strict=True)),
    }  # fmt: skip
    if target == "success":
        right = sum((judged.predict(one.agent, one.task).chance >= 0.5) == (one.value == 1.0) for one in newest)
        return card | {"accuracy": _short(right / len(newest)), "calibration": calibration(judged, newest)}
    inside = [_inside(judged, one) for one in newest if judged.offsets is not None]
    spread = [abs(one.value - judged.predict(one.agent, one.task).linear) for one in newest]
    return card | {
        "accuracy": _short(math.exp(-fmean(spread))), "coverage": _short(fmean(inside)) if inside else None, "aimed_coverage": COVERAGE,
    }  # fmt: skip


def _inside(model: EffectModel, one: Observation) -> float:
    interval = model.interval(model.predict(one.agent, one.task))
    return float(interval is not None and interval[0] <= math.exp(one.value) <= interval[1])


def calibration(model: EffectModel, known: Sequence[Observation]) -> list[dict[str, Any]]:
    """Return for each tenth of predicted probability how often it came true, with its interval and count."""
    bins: dict[int, list[tuple[float, float]]] = {}
    for one in known:
        chance = model.predict(one.agent, one.task).chance
        bins.setdefault(min(int(chance * _BINS), _BINS - 1), []).append((chance, one.value))
    plot = []
    for _, pairs in sorted(bins.items()):
        came = sum(value for _, value in pairs)
        interval = share_interval(came, len(pairs)) or (0.0, 1.0)
        plot.append(
            {
                "predicted": _short(fmean(chance for chance, _ in pairs)), "observed": _short(came / len(pairs)), "n": len(pairs),
                "interval": [_short(interval[0]), _short(interval[1])],
            }
        )  # fmt: skip
    return plot


def _short(value: float) -> float:
    return float(f"{value:.5g}")
