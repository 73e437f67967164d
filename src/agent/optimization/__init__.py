"""The agent improves its own configuration from evidence: it proposes, tests, asks, applies, and takes back."""

from agent.optimization.agent_turn import AGENT_TURN
from agent.optimization.service import AutoConfigGenerationService, SelfLearningOrchestrationService
from agent.optimization.workflows import Case, Parameter, Replayed, Workflow, register

__all__ = [
    "AGENT_TURN",
    "AutoConfigGenerationService",
    "Case",
    "Parameter",
    "Replayed",
    "SelfLearningOrchestrationService",
    "Workflow",
    "register",
]
