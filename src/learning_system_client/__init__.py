"""A client of the analytics of agents: log runs, ask for figures, predictions and recommendations.

async with LearningSystemClient() as client:
    await client.log_performance({"agent_name": "director", "task_type": "planning", "execution_time": 1.2, "success": True})
"""

from learning_system_client.client import LearningSystemClient, LearningSystemError
from learning_system_client.tracker import AgentPerformanceTracker

__all__ = ["AgentPerformanceTracker", "LearningSystemClient", "LearningSystemError"]
