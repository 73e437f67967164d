"""Unusual runs and hours: found where they were planted, and not in steady times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from agent.analytics import anomalies
from agent.analytics.effect_model import fit
from agent.analytics.training import observations

START = datetime(2026, 1, 5, tzinfo=UTC)


def runs(slow_from: int | None = None) -> list[dict[str, Any]]:
    """Seven days of two agents, four runs an hour; from hour `slow_from` on one takes three times as long for six hours."""
    random = np.random.default_rng(9)
    made: list[dict[str, Any]] = []
    for hour in range(7 * 24):
        for place in range(8):
            late = slow_from is not None and place % 2 == 0 and slow_from <= hour < slow_from + 6
            at = START + timedelta(hours=hour, minutes=7 * place)
            made.append(
                {
                    "id": len(made), "agent_name": f"a{place % 2}", "task_type": f"t{place // 4}", "timestamp": at, "logged_at": at,
                    "execution_time": float(np.exp(random.normal(1 + place // 4, 0.3))) * (3 if late else 1), "success": True,
                }
            )  # fmt: skip
    return made[::-1]


def test_hours_in_which_an_agent_was_slow_are_one_episode_of_that_agent() -> None:
    made = runs(slow_from=130)
    (found,) = anomalies.episodes(made, fit(observations(made, "time"), "time"))
    assert (found["agent_name"], found["direction"]) == ("a0", "slower")
    began, ended = (datetime.fromisoformat(found[name]) for name in ("from", "to"))
    assert abs(began - (START + timedelta(hours=130))) <= timedelta(hours=3)
    assert abs(ended - (START + timedelta(hours=136))) <= timedelta(hours=3)
    assert 2 < found["factor"] < 4


def test_steady_times_have_no_episode_and_a_wild_run_is_listed_with_what_was_expected() -> None:
    made = runs()
    model = fit(observations(made, "time"), "time")
    assert anomalies.episodes(made, model) == []
    assert anomalies.unusual_runs(made, model, 2.0) == []
    made[10] = {**made[10], "execution_time": 400.0}
    (found,) = anomalies.unusual_runs(made, model, 2.0)
    assert found["run"] == made[10]["id"]
    assert found["expected"] < 20
