"""The richer model: kept only where it wins on runs that it has not seen, and stored as numbers that need no library to predict."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.analytics.boosting import boosted
from agent.analytics.effect_model import EffectModel, Observation, fit
from agent.analytics.training import Trained, train

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def runs(seed: int, count: int, chance: Callable[[int, int], float]) -> list[dict[str, Any]]:
    """Runs of 20 agents on 20 task types, newest first; their seconds are longer where they fail more."""
    choose = random.Random(seed)
    made = []
    for number in range(count):
        agent, task = choose.randrange(20), choose.randrange(20)
        rate, at = chance(agent, task), BEGAN + timedelta(minutes=number)
        made.append(
            {
                "id": number, "agent_name": f"a{agent}", "task_type": f"t{task}", "success": choose.random() < rate,
                "execution_time": choose.lognormvariate(2 - 2 * rate, 0.3), "cost_usd": None, "timestamp": at, "logged_at": at,
            }
        )  # fmt: skip
    return made[::-1]


def specialists(agent: int, task: int) -> float:
    """Half of the agents can do some task types only, which no sum of an agent's and a task's effect says."""
    return (0.95 if task < 8 else 0.1) if agent < 10 else 0.6


def sums(agent: int, task: int) -> float:
    return 1 / (1 + math.exp((task - agent) / 6))


def test_it_is_kept_where_it_wins_and_predicts_as_numbers_in_a_process_without_its_library() -> None:
    trained = train(runs(1, 2_500, specialists), "success", None)
    assert isinstance(trained, Trained)
    assert trained.card["richer_model"].startswith("It wins: loss")
    assert trained.card["method"].startswith("gradient boosting")
    model = EffectModel.from_json(trained.model.as_json())
    assert [model.predict("a1", f"t{task}").chance > 0.5 for task in (2, 15)] == [True, False]
    assert abs(model.predict("a15", "t2").chance - 0.6) < 0.15
    code = (
        "import json, sys; sys.modules['sklearn'] = None\n"
        "from agent.analytics.effect_model import EffectModel\n"
        "model = EffectModel.from_json(sys.stdin.read()); print(json.dumps(model.predict('a1', 't2').chance))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=trained.model.as_json(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == model.predict("a1", "t2").chance


def test_it_is_not_kept_where_effects_say_as_much_or_too_little_is_known() -> None:
    trained = train(runs(2, 2_000, sums), "success", None)
    assert isinstance(trained, Trained)
    assert trained.card["richer_model"].startswith("It does not win")
    assert trained.card["method"].startswith("effects of")
    late = train(runs(1, 2_500, specialists), "success", None, seconds=0.0)
    assert isinstance(late, Trained)
    assert "too long" in late.card["richer_model"]
    assert late.card["method"].startswith("effects of")
    few = train(runs(3, 300, specialists), "success", None)
    assert isinstance(few, Trained)
    assert "500 runs" in few.card["richer_model"]
    same = [Observation("a", "t", 1.0)] * 600
    assert boosted(same, fit(same, "success")) is None


def test_its_intervals_of_seconds_cover_new_runs() -> None:
    trained = train(runs(4, 2_500, specialists), "time", None)
    assert isinstance(trained, Trained)
    assert trained.card["richer_model"].startswith("It")
    inside = []
    for run in runs(5, 500, specialists):
        interval = trained.model.interval(trained.model.predict(run["agent_name"], run["task_type"]))
        assert interval is not None
        inside.append(interval[0] <= run["execution_time"] <= interval[1])
    assert 0.85 <= sum(inside) / len(inside) <= 0.95
