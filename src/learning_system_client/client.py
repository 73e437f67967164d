"""Calls the REST endpoints of the analytics, one method each. It needs httpx only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast
from urllib.parse import quote

import httpx


class LearningSystemError(Exception):
    """The learning system refused a request: its sentence says what to do. `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class LearningSystemClient:
    """The learning system at `base_url`. `api_key` is needed unless it is served on this machine."""

    def __init__(
        self, base_url: str = "http://localhost:8080", *, api_key: str | None = None, timeout: float = 30.0
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.base_url = base_url.rstrip("/")
        self.client = httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def get_health(self) -> dict[str, Any]:
        """Return `status`, `database`, `agents_registered`, `ml_models`; also when the service says that it is unhealthy."""
        return await self._object("GET", "/health")

    async def get_status(self) -> dict[str, Any]:
        """Return what the service does, with its requests of the last minute."""
        return await self._object("GET", "/status")

    async def get_metrics(self) -> dict[str, Any]:
        """Return the figures of the service's process."""
        return await self._object("GET", "/metrics")

    async def list_agents(self) -> dict[str, Any]:
        """Return `agents` and `total`."""
        return await self._object("GET", "/agents/list")

    async def register_agent(self, agent_data: Mapping[str, Any]) -> dict[str, Any]:
        """Register an agent: `agent_name`, and where known `capabilities`, `agent_type`, `display_name`."""
        return await self._object("POST", "/agents/register", dict(agent_data))

    async def get_agent_status(self, agent_name: str) -> dict[str, Any]:
        """Return what an agent is, and whether it was heard of."""
        return await self._object("GET", f"/agents/{_part(agent_name)}/status")

    async def get_agent_performance(self, agent_name: str) -> dict[str, Any]:
        """Return an agent's figures."""
        return await self._object("GET", f"/agents/{_part(agent_name)}/performance")

    async def get_similar_agents(self, agent_name: str) -> dict[str, Any]:
        """Return the agents that are most like one."""
        return await self._object("GET", f"/agents/{_part(agent_name)}/similar")

    async def log_performance(self, performance_data: Mapping[str, Any]) -> dict[str, Any]:
        """Log a run. Sent twice with the same `task_id`, it counts once."""
        return await self._object("POST", "/analytics/executions", _run(performance_data))

    async def log_many(self, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Log runs together: all of them, or none."""
        return await self._object("POST", "/analytics/executions/batch", {"runs": [_run(one) for one in runs]})

    async def submit_metrics(self, agent_name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Submit what you measured of an agent."""
        return await self._object("POST", f"/agents/{_part(agent_name)}/metrics", dict(metrics))

    async def get_performance_metrics(self) -> dict[str, Any]:
        """Return the figures over all, by agent, by task type, by day."""
        return await self._object("GET", "/analytics/performance")

    async def get_coordination_patterns(self) -> dict[str, Any]:
        """Return the agents that do better together than expected."""
        return await self._object("GET", "/analytics/coordination")

    async def get_learning_insights(self) -> dict[str, Any]:
        """Return what was found, as sentences with evidence."""
        return await self._object("GET", "/analytics/insights")

    async def get_patterns(self) -> dict[str, Any]:
        """Return `collaboration`, `performance`, `resources`, `failures`, and more that was found."""
        return await self._object("GET", "/analytics/patterns")

    async def predict_performance(self, agent_name: str, task_type: str) -> dict[str, Any]:
        """Return `execution_time`, `success_rate`, `confidence`, `resources`; null with a `reason` where too little is known."""
        return await self._object("POST", "/analytics/predictions", {"agent_name": agent_name, "task_type": task_type})

    async def get_recommendations(self, task_type: str, *, explore: bool = False) -> dict[str, Any]:
        """Return `recommended`, and `recommendations` with reasons."""
        return await self._object("POST", "/analytics/recommendations", {"task_type": task_type, "explore": explore})

    async def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = await self.client.request(method, path, json=body)
        if response.is_error:
            raise LearningSystemError(_sentence(response), status=response.status_code)
        return cast("dict[str, Any]", response.json())


def _part(name: str) -> str:
    return quote(name, safe="")


def _run(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as JSON has it: what is not known is left out, times and ids are texts."""
    plain = {name: value for name, value in data.items() if value is not None}
    for name in ("timestamp", "task_id"):
        if name in plain and not isinstance(plain[name], str | int | float):
            plain[name] = plain[name].isoformat() if hasattr(plain[name], "isoformat") else str(plain[name])
    return plain


def _sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The learning system answered with status {response.status_code}: {response.text[:200]}"
