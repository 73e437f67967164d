"""A richer model (extra `ml`): gradient boosting over agents and task types, kept as a table of its predictions. Pure.

The trees are never stored: what they predict for each agent and task type takes the place of the cells of a model of effects. So a
stored model stays numbers in JSON, and a process without scikit-learn predicts with it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice, product
from math import log

import numpy as np

from agent.analytics.effect_model import EffectModel, Observation

LEAST_RUNS = 500
_MOST_CELLS = 20_000
_ROUNDS, _LEAVES, _LEAST_IN_LEAF, _RATE = 120, 15, 20, 0.08
_MOST_CATEGORIES = (
    250  # of the library, which takes 255; those with the fewest runs are told apart by their effects only
)
_SURE = 0.001


def available() -> bool:
    """Return whether the extra is installed."""
    return find_spec("sklearn") is not None


def boosted(seen: Sequence[Observation], base: EffectModel) -> EffectModel | None:
    """Return `base`, fitted to the same values, with the predictions of trees in its cells; None where there are too few values."""
    values = np.array([one.value for one in seen])
    if len(seen) < LEAST_RUNS or float(values.min()) == float(values.max()):
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    kind = HistGradientBoostingClassifier if base.target == "success" else HistGradientBoostingRegressor
    trees = kind(
        max_iter=_ROUNDS, max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAST_IN_LEAF, learning_rate=_RATE, categorical_features=[0, 1],
        early_stopping=False, random_state=3,
    )  # fmt: skip
    numbered = [_numbered(base.agents), _numbered(base.tasks)]
    features = _features([(one.agent, one.task) for one in seen], base, numbered)
    with threadpool_limits(1):  # its threads wait by spinning, which is slow on a busy machine and takes it from others
        trees.fit(features, values)
    every = list(base.cells)
    if len(base.agents) * len(base.tasks) <= _MOST_CELLS:
        every = list(product(base.agents, base.tasks))
    every = list(islice(every, _MOST_CELLS))
    features = _features(every, base, numbered)
    if base.target == "success":
        linear = [log(p / (1 - p)) for p in np.clip(trees.predict_proba(features)[:, 1], _SURE, 1 - _SURE)]
    else:
        linear = list(trees.predict(features))
    known = [base.predict(*pair) for pair in every]
    cells = {
        pair: (float(value), one.deviation**2, one.n) for pair, value, one in zip(every, linear, known, strict=True)
    }
    return replace(base, cells=cells)


def _numbered(effects: object) -> dict[str, int]:
    """Return a number for each name: those with the most runs have one of their own."""
    assert isinstance(effects, dict)  # noqa: S101  # made by `fit`
    most = sorted(effects, key=lambda name: (-effects[name][2], name))[:_MOST_CATEGORIES]
    return {name: place for place, name in enumerate(most)}


def _features(
    pairs: Sequence[tuple[str, str]], base: EffectModel, numbered: Sequence[dict[str, int]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return for each pair its numbers as categories, and the effects of its agent and task type."""
    nothing = (0.0, 0.0, 0)
    agents, tasks = numbered
    return np.array([
        (agents.get(agent, np.nan), tasks.get(task, np.nan), base.agents.get(agent, nothing)[0], base.tasks.get(task, nothing)[0])
        for agent, task in pairs
    ], dtype=np.float64)  # fmt: skip
