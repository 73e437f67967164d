"""Who can do the steps of plans in this installation."""

from __future__ import annotations

from agent.integration.manager import integration_manager
from agent.orchestration import AgentOrchestrator
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime


def orchestrator(runtime: Runtime) -> AgentOrchestrator:
    """Return an orchestrator that knows what the workers know: the standard agents, and the integration agents unless they are switched off."""
    if runtime.settings.skip_integration_agents:
        return standard_orchestrator(runtime)
    return integration_manager.coordinator.orchestrator(runtime)
