"""A world of agents and task types: each pair has a true probability of success and a true distribution of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

AGENTS, TASKS = 50, 40


@dataclass(frozen=True)
class World:
    """The truth: logits and mean logarithms of seconds by agent and task type."""

    logits: np.ndarray
    logs: np.ndarray
    noise: float

    @property
    def chances(self) -> np.ndarray:
        return 1 / (1 + np.exp(-self.logits))


def world(seed: int) -> World:
    """Agents differ, tasks differ more, and some agents are better at some tasks than both let expect."""
    random = np.random.default_rng(seed)
    skill, hard = random.normal(0, 0.8, (AGENTS, 1)), random.normal(0, 0.9, (1, TASKS))
    own = random.normal(0, 0.25, (AGENTS, TASKS))
    slow, long = random.normal(0, 0.4, (AGENTS, 1)), random.normal(0, 0.8, (1, TASKS))
    return World(1.0 + skill - hard + own, 1.0 + slow + long + random.normal(0, 0.2, (AGENTS, TASKS)), 0.5)


def runs(truth: World, count: int, seed: int) -> list[dict[str, Any]]:
    """Runs as they are read for a training, newest first."""
    random = np.random.default_rng(seed)
    agents, tasks = random.integers(0, AGENTS, count), random.integers(0, TASKS, count)
    return [made(truth, int(a), int(t), n, random) for n, (a, t) in enumerate(zip(agents, tasks, strict=True))][::-1]


def made(truth: World, agent: int, task: int, number: int, random: np.random.Generator) -> dict[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "id": number, "agent_name": f"agent-{agent}", "task_type": f"task-{task}", "task_id": UUID(int=number + 1), "timestamp": at, "logged_at": at,
        "success": bool(random.random() < truth.chances[agent, task]),
        "execution_time": float(np.exp(random.normal(truth.logs[agent, task], truth.noise))), "cost_usd": None, "tokens": None,
        "error_message": None, "steps": None, "resource_usage": None,
    }  # fmt: skip


def teams(seed: int, *, count: int, planted: float) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """Runs of tasks that twelve agents share in 24 pairs, sometimes with a third; one pair succeeds `planted` more often together."""
    random = np.random.default_rng(seed)
    skill, hard = random.normal(0, 0.06, 12), random.uniform(0.35, 0.65, 8)
    every = [(a, b) for a in range(12) for b in range(a + 1, 12)]
    pairs = [every[n] for n in random.choice(len(every), 24, replace=False)]
    found: list[dict[str, Any]] = []
    for task in range(count):
        team = [int(one) for one in pairs[int(random.integers(0, len(pairs)))]]
        if random.random() < 0.25:
            team.append(int(random.choice([one for one in range(12) if one not in team])))
        kind = int(random.integers(0, 8))
        chance = hard[kind] + skill[team].mean() + (planted if set(pairs[0]) <= set(team) else 0.0)
        good = bool(random.random() < chance)
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=task)
        for place, agent in enumerate(team):
            last = place == len(team) - 1
            found.append(
                {
                    "id": len(found), "agent_name": f"agent-{agent}", "task_type": f"task-{kind}", "task_id": UUID(int=task + 1),
                    "timestamp": at + timedelta(seconds=place), "success": good or not last,
                }
            )  # fmt: skip
    return found, frozenset(f"agent-{one}" for one in pairs[0])


def ordered_teams(seed: int, *, count: int, planted: float) -> list[dict[str, Any]]:
    """Tasks of two or three of six agents in any order; agent-0 before agent-1 succeeds `planted` more often.

    Who leads gets the easy tasks mostly, which makes his orders look good.
    """
    random = np.random.default_rng(seed)
    skill = random.normal(0, 0.08, 6)
    found: list[dict[str, Any]] = []
    for task in range(count):
        team = [int(one) for one in random.permutation(6)[: int(random.integers(2, 4))]]
        helped = 0 in team and 1 in team and team.index(0) < team.index(1)
        easy = bool(random.random() < (0.75 if team[0] < 3 else 0.25))
        chance = (0.6 if easy else 0.35) + skill[team].mean() + (planted if helped else 0.0)
        found.append(
            {
                "task_id": str(UUID(int=task + 1)), "task_type": "easy" if easy else "hard", "agents": [f"agent-{one}" for one in team],
                "success": bool(random.random() < chance), "runs": [10 * task + place for place in range(len(team))],
            }
        )  # fmt: skip
    return found
