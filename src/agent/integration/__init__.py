"""The integration layer: agents that join the backend, the frontend and Roblox Studio.

    from agent.integration import integration_manager

    await integration_manager.initialize()

`base` says what an agent is, `registry` lists them, `manager` starts them; each agent has a folder of its own. `coordinator` runs
workflows, of which `workflows` has one file each.
"""

from agent.integration.base import BaseIntegrationAgent
from agent.integration.coordinator import IntegrationCoordinator, WorkflowRun
from agent.integration.events import IntegrationEvent
from agent.integration.manager import IntegrationAgentsManager, integration_manager
from agent.integration.workflow import Task, Workflow

__all__ = [
    "BaseIntegrationAgent", "IntegrationAgentsManager", "IntegrationCoordinator", "IntegrationEvent", "Task", "Workflow", "WorkflowRun",
    "integration_manager",
]  # fmt: skip
