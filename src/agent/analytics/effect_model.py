"""A trained model as data: effects of agents, tasks and their combinations, read from JSON and never run. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from agent.statistics.conformal import conformal_offsets
from agent.statistics.effects import Cells, Effects, fit_effects
from agent.statistics.intervals import Z90

Target = Literal["success", "time", "cost"]
TARGETS: tuple[Target, ...] = ("success", "time", "cost")
LEAST_RUNS = 20
_MOST_LEVELS = 1_000  # of agents, and of task types, that have effects of their own: those with the most runs
_FOLDS = 5
COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of a run: 1.0 or 0.0 for success, the logarithm of seconds or of cost."""

    agent: str
    task: str
    value: float


@dataclass(frozen=True, slots=True)
class Predicted:
    """A prediction on the model's own scale (log odds, or logarithm), with its standard deviation, and from how many runs."""

    linear: float
    deviation: float
    noise: float
    n: int

    @property
    def chance(self) -> float:
        """Return the probability of success: its mean over what is not known (MacKay's approximation)."""
        return _chance(self.linear / math.sqrt(1 + math.pi * self.deviation**2 / 8))

    @property
    def chance_interval(self) -> tuple[float, float]:
        """Return what the probability is within, with 90 %."""
        half = Z90 * self.deviation
        return _chance(self.linear - half), _chance(self.linear + half)


@dataclass(frozen=True, slots=True)
class EffectModel:
    """The numbers of one model. `cells` holds for each combination that was seen its prediction, variance and count."""

    target: Target
    mean: float
    mean_variance: float
    between: tuple[float, float, float]
    noise: float
    agents: Mapping[str, tuple[float, float, int]]
    tasks: Mapping[str, tuple[float, float, int]]
    cells: Mapping[tuple[str, str], tuple[float, float, int]]
    offsets: tuple[float, float] | None = None

    def predict(self, agent: str, task: str, like: Mapping[str, float] | None = None) -> Predicted:
        """Return the prediction for an agent on a task type; of one that was never seen only the mean is known.

        `like` names agents that are similar to one that was never seen: it is expected to do as they do, as far as they are alike.
        """
        seen = self.cells.get((agent, task))
        if seen is not None:
            return Predicted(seen[0], math.sqrt(seen[1]), self.noise, seen[2])
        one = self.agents.get(agent) or self._borrowed(like or {})
        other = self.tasks.get(task, (0.0, self.between[1], 0))
        variance = self.mean_variance + one[1] + other[1] + self.between[2]
        return Predicted(self.mean + one[0] + other[0], math.sqrt(variance), self.noise, 0)

    def _borrowed(self, like: Mapping[str, float]) -> tuple[float, float, int]:
        """Return the effect that agents which are similar to an unknown one let expect, and its variance."""
        known = [(share, *self.agents[name][:2]) for name, share in like.items() if share > 0 and name in self.agents]
        weight = sum(share for share, _, _ in known)
        if not weight:
            return 0.0, self.between[0], 0
        alike = weight / len(known)
        effect = alike * sum(share * effect for share, effect, _ in known) / weight
        variance = sum(share * variance for share, _, variance in known) / weight
        return effect, alike**2 * variance + (1 - alike**2) * self.between[0], 0

    def interval(self, predicted: Predicted) -> tuple[float, float] | None:
        """Return the interval of a new value, on the scale of amounts; None where too little is known of the errors."""
        if self.offsets is None:
            return None
        spread = math.sqrt(predicted.noise + predicted.deviation**2)
        low, high = (_amount(predicted.linear + offset * spread) for offset in self.offsets)
        return low, high

    def as_json(self) -> str:
        """Return the model as JSON."""
        plain = {
            "target": self.target, "mean": self.mean, "mean_variance": self.mean_variance, "between": self.between, "noise": self.noise,
            "offsets": self.offsets, "agents": self.agents, "tasks": self.tasks,
            "cells": [[*names, *values] for names, values in self.cells.items()],
        }  # fmt: skip
        return json.dumps(plain, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the model in a text that `as_json` made. Raises `ValueError` for another text."""
        try:
            plain = json.loads(text)
            between, offsets = plain["between"], plain["offsets"]
            return cls(
                target=plain["target"], mean=float(plain["mean"]), mean_variance=float(plain["mean_variance"]),
                between=(float(between[0]), float(between[1]), float(between[2])), noise=float(plain["noise"]),
                agents=_effects(plain["agents"]), tasks=_effects(plain["tasks"]),
                cells={(str(a), str(t)): (float(x), float(v), int(n)) for a, t, x, v, n in plain["cells"]},
                offsets=None if offsets is None else (float(offsets[0]), float(offsets[1])),
            )  # fmt: skip
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError("That is no model of this program.") from error


Better = Callable[[Sequence[Observation], "EffectModel"], "EffectModel | None"]


def fit(observations: Sequence[Observation], target: Target, *, better: Better | None = None) -> EffectModel:
    """Fit a model; one of time or cost also learns how far its predictions are off (cross-conformal).

    `better` makes another model of the same values from it, or returns None.
    """
    model = _fitted(observations, target, better)
    if target == "success":
        return model
    offsets = conformal_offsets(_unseen_errors(observations, target, better), COVERAGE)
    return EffectModel(**{name: getattr(model, name) for name in EffectModel.__slots__} | {"offsets": offsets})


def _unseen_errors(observations: Sequence[Observation], target: Target, better: Better | None) -> list[float]:
    """Return the errors of each value, in deviations, by a model that has not seen it."""
    order = np.random.default_rng(11).permutation(len(observations))
    errors: list[float] = []
    for fold in range(_FOLDS):
        left_out = {int(place) for place in order[fold::_FOLDS]}
        seen = [one for place, one in enumerate(observations) if place not in left_out]
        if not seen:
            continue
        model = _fitted(seen, target, better)
        for place in sorted(left_out):
            one = observations[place]
            predicted = model.predict(one.agent, one.task)
            errors.append((one.value - predicted.linear) / math.sqrt(predicted.noise + predicted.deviation**2))
    return errors


def _fitted(observations: Sequence[Observation], target: Target, better: Better | None) -> EffectModel:
    model = _of_effects(observations, target)
    return (better(observations, model) if better else None) or model


def _of_effects(observations: Sequence[Observation], target: Target) -> EffectModel:
    agents, tasks = _levels([one.agent for one in observations]), _levels([one.task for one in observations])
    kept = [one for one in observations if one.agent in agents and one.task in tasks]
    sums: dict[tuple[int, int], list[float]] = {}
    for one in kept:
        cell = sums.setdefault((agents[one.agent], tasks[one.task]), [0.0, 0.0, 0.0])
        cell[0] += 1
        cell[1] += one.value
        cell[2] += one.value * one.value
    places, values = np.array(list(sums), dtype=np.int64), np.array(list(sums.values()))
    scatter = float(np.sum(values[:, 2] - values[:, 1] ** 2 / values[:, 0]))
    cells = Cells(places[:, 0], places[:, 1], values[:, 0], values[:, 1], max(scatter, 0.0))
    effects = fit_effects(
        cells, levels=(len(agents), len(tasks)), family="logistic" if target == "success" else "normal"
    )
    return _model(target, effects, cells, list(agents), list(tasks))


def _model(target: Target, effects: Effects, cells: Cells, agents: list[str], tasks: list[str]) -> EffectModel:
    counts = [np.bincount(place, cells.n, len(names)) for place, names in ((cells.one, agents), (cells.other, tasks))]
    numbers = zip(cells.one, cells.other, effects.linear, effects.linear_variance, cells.n, strict=True)
    return EffectModel(
        target=target, mean=effects.mean, mean_variance=effects.mean_variance, between=effects.between,
        noise=0.0 if target == "success" else effects.noise,
        agents=_named(agents, effects.one, effects.one_variance, counts[0]),
        tasks=_named(tasks, effects.other, effects.other_variance, counts[1]),
        cells={(agents[a], tasks[t]): (float(x), float(v), int(n)) for a, t, x, v, n in numbers},
    )  # fmt: skip


def _named(names: list[str], effects: Any, variances: Any, counts: Any) -> dict[str, tuple[float, float, int]]:
    return {name: (float(e), float(v), int(n)) for name, e, v, n in zip(names, effects, variances, counts, strict=True)}


def _levels(names: Sequence[str]) -> dict[str, int]:
    """Return a number for each name, at most so many: those that come most often."""
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    most = sorted(counted, key=lambda name: (-counted[name], name))[:_MOST_LEVELS]
    return {name: place for place, name in enumerate(sorted(most))}


def _effects(plain: Mapping[str, Any]) -> dict[str, tuple[float, float, int]]:
    return {str(name): (float(e), float(v), int(n)) for name, (e, v, n) in plain.items()}


def _chance(linear: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, linear))))


def _amount(linear: float) -> float:
    return math.exp(max(-30.0, min(30.0, linear)))
