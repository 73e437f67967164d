"""The service of analytics: one object with what every surface offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import agent.analytics.models as models
import agent.analytics.predictions as predictions
import agent.analytics.reports as reports
import agent.analytics.runs as runs
import agent.analytics.similarity as similarity
import agent.analytics.totals as totals
import agent.analytics.upkeep as upkeep
from agent.analytics.submitted import submit
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime, current_runtime
from agent.sync import agents

_QUERIES = load_queries(__package__)
_PAGE = 1_000
_MOST_RECOMMENDED = 50
_MOST_DAYS = 366


class AnalyticsService:
    """Runs, figures, predictions and findings of agents. It works with `runtime`, or else with the current one."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime

    async def _acting(self) -> Runtime:
        return self._runtime or await current_runtime()

    # Runs and agents

    async def register_agent(
        self, name: str, *, capabilities: Any = None, agent_type: str | None = None, display_name: str | None = None
    ) -> dict[str, Any]:
        """Name an agent in the registry, or say more of one. Raises `InvalidInput` for a name that a path has."""
        runtime, name = await self._acting(), runs.agent_name(name)
        await agents.register(
            name, name=display_name, agent_type=agent_type, capabilities=capabilities, runtime=runtime
        )
        await agents.heartbeat(name, runtime=runtime)
        return await totals.status(name, runtime=runtime)

    async def log_run(self, run: Mapping[str, Any]) -> runs.Logged:
        """Store a run. The same task of the same agent is one run, however often it is sent."""
        return await runs.log([run], runtime=await self._acting())

    async def log_runs(self, many: Sequence[Mapping[str, Any]]) -> runs.Logged:
        """Store runs together: all of them, or none."""
        return await runs.log(many, runtime=await self._acting())

    async def submit_metrics(self, agent_name: str, metrics: Mapping[str, Any]) -> int:
        """Keep what somebody else measured of an agent, and return its number."""
        return await submit(agent_name, metrics, runtime=await self._acting())

    async def clear(self) -> int:
        """Delete every run of the tenant with all that was counted from them, and return how many."""
        return await runs.clear(runtime=await self._acting())

    async def export(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield every run, agent by agent, oldest first, some at a time."""
        runtime, after, after_id, name = await self._acting(), "-infinity", 0, ""
        while page := await runtime.all(
            _QUERIES["exported_runs"], agent_name=name, after=after, after_id=after_id, most=_PAGE
        ):
            yield page
            after, after_id, name = (page[-1][key] for key in ("logged_at", "id", "agent_name"))

    # Figures

    async def list_agents(self) -> list[dict[str, Any]]:
        """Return the registry, with each agent's runs and success rate."""
        return await totals.listed(runtime=await self._acting())

    async def agent_status(self, name: str) -> dict[str, Any]:
        """Return what an agent is, and whether it was heard of. Raises `NotFound`."""
        return await totals.status(name, runtime=await self._acting())

    async def agent_performance(self, name: str) -> dict[str, Any]:
        """Return an agent's figures: over all, by task type, by day. Raises `NotFound`."""
        return await totals.of_agent(name, runtime=await self._acting())

    async def performance(self) -> dict[str, Any]:
        """Return the figures over all, by agent, by task type, by day."""
        return await totals.of_everything(runtime=await self._acting())

    async def matrix(self) -> list[dict[str, Any]]:
        """Return the figures of each agent on each task type."""
        return await totals.matrix(runtime=await self._acting())

    async def trend(
        self, *, agent_name: str | None = None, task_type: str | None = None, days: int = 30
    ) -> dict[str, Any]:
        """Return what an agent, a task type or everything reached on each day, with the predicted band, the newest first."""
        if not 1 <= days <= _MOST_DAYS:
            raise InvalidInput(f"Ask for 1 to {_MOST_DAYS} days.")
        agent = None if agent_name is None else runs.agent_name(agent_name)
        task = None if task_type is None else runs.task_type(task_type)
        return await predictions.trend(agent, task, days=days, runtime=await self._acting())

    async def count_agents(self) -> int:
        """Return how many agents are registered."""
        row = await (await self._acting()).one(_QUERIES["count_agents"])
        return int(row["n"]) if row else 0

    # Predictions

    async def predict(self, agent_name: str, task_type: str) -> dict[str, Any]:
        """Predict success, time and cost of an agent on a task type."""
        return await predictions.predict(
            runs.agent_name(agent_name), runs.task_type(task_type), runtime=await self._acting()
        )

    async def recommend(self, task_type: str, *, explore: bool = False, most: int = 5) -> dict[str, Any]:
        """Recommend an agent for a task type. With `explore`, others are tried as often as they may be better, which is noted."""
        if not 1 <= most <= _MOST_RECOMMENDED:
            raise InvalidInput(f"Ask for 1 to {_MOST_RECOMMENDED} recommendations.")
        return await predictions.recommend(
            runs.task_type(task_type), explore=explore, most=most, runtime=await self._acting()
        )

    async def similar_agents(self, name: str, *, most: int = 10) -> list[dict[str, Any]]:
        """Return the agents nearest to one. Raises `NotFound`."""
        return await similarity.nearest(name, most=most, runtime=await self._acting())

    async def train(self) -> list[dict[str, Any]]:
        """Train a model of success, time and cost now, and return what became of each."""
        return await models.train_all(runtime=await self._acting())

    async def models(self) -> list[dict[str, Any]]:
        """Return every model with its card, newest first."""
        return await models.history(runtime=await self._acting())

    async def roll_back(self, model: str, version: str | None = None) -> dict[str, Any]:
        """Let an earlier version of a model predict again. Raises `NotFound`."""
        return await models.roll_back(model, version, runtime=await self._acting())

    # Findings

    async def patterns(self, *, fresh: bool = False) -> dict[str, Any]:
        """Return what was found in the newest runs; `fresh` looks again."""
        return await reports.patterns(fresh=fresh, runtime=await self._acting())

    async def upkeep(self) -> None:
        """Do now what the background does: count, measure, train, search, forget."""
        await upkeep.run_once(runtime=await self._acting())

    async def parts(self) -> dict[str, str]:
        """Return for each learning part whether it is at work: active, or disabled by a setting."""
        settings = (await self._acting()).settings
        enabled = {
            "pattern_recognition": settings.pattern_recognition_enabled,
            "performance_prediction": settings.predictions_enabled,
            "anomaly_detection": settings.anomaly_detection_enabled,
        }
        return {name: "active" if on else "disabled" for name, on in enabled.items()}

    async def last_training(self) -> dict[str, float | None]:
        """Return the accuracy on held-out runs of the model of success, and the seconds of the last training; None where none was."""
        runtime = await self._acting()
        model = await models.active("success", runtime=runtime)
        row = await runtime.one(_QUERIES["report"], name="training")
        return {
            "accuracy": model[1]["accuracy"] if model else None,
            "seconds": row["content"]["seconds"] if row else None,
        }
