"""The integration layer: agents that join the backend, the frontend and Roblox Studio.

    from agent.integration import integration_manager

    await integration_manager.initialize()

`base` says what an agent is, `registry` lists them, `manager` starts them; each agent has a folder of its own.
"""

from agent.integration.base import BaseIntegrationAgent
from agent.integration.events import IntegrationEvent
from agent.integration.manager import IntegrationAgentsManager, integration_manager

__all__ = ["BaseIntegrationAgent", "IntegrationAgentsManager", "IntegrationEvent", "integration_manager"]
