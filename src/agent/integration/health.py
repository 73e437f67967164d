"""How integration agents are: each agent by its connections, and all of them together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Health = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionHealth:
    """How a connection is: its circuit, and, where it was called, what was wrong."""

    circuit: str
    error: str | None = None

    @property
    def status(self) -> Health:
        """Return the connection's health."""
        return "healthy" if self.error is None and self.circuit == "closed" else "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHealth:
    """How an agent is. `error` says why it did not start."""

    error: str | None = None
    connections: Mapping[str, ConnectionHealth] = field(default_factory=dict)

    @property
    def status(self) -> Health:
        """Return the agent's health: without one of its connections it does less, without its start nothing."""
        if self.error is not None:
            return "unhealthy"
        return "healthy" if all(one.status == "healthy" for one in self.connections.values()) else "degraded"


def overall(found: Iterable[AgentHealth]) -> Health:
    """Return the health of all agents: all of them are unhealthy only if each is."""
    states = [one.status for one in found]
    if states and all(one == "unhealthy" for one in states):
        return "unhealthy"
    return "healthy" if all(one == "healthy" for one in states) else "degraded"
