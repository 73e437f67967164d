"""Tracks what agents do: each result becomes a run of the learning system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_system_client.client import LearningSystemClient

_MORE = ("error_message", "steps", "cost_usd", "tokens", "propensity")


class AgentPerformanceTracker:
    """Sends results of tasks to the learning system, and asks it which agent to take."""

    def __init__(self, learning_client: LearningSystemClient | None = None) -> None:
        self.learning_client = learning_client or LearningSystemClient()

    async def track_agent_performance(
        self, agent_name: str, task_data: Mapping[str, Any], result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Log the result of a task: `task_data` has `id` and `type`; `result` has `execution_time`, `success`, and more."""
        known = {name: result[name] for name in _MORE if name in result}
        return await self.learning_client.log_performance(
            {
                "agent_name": agent_name, "task_id": task_data.get("id"), "task_type": task_data.get("type"),
                "execution_time": result.get("execution_time"), "success": result.get("success", False),
                "resource_usage": result.get("resource_usage", {}), "timestamp": result.get("timestamp"), **known,
            }
        )  # fmt: skip

    async def get_agent_recommendations(self, task_type: str) -> dict[str, Any]:
        """Ask which agent to take for a task type."""
        return await self.learning_client.get_recommendations(task_type)
