"""Plans of many agents: parallel where possible, ordered where needed, recorded step by step, taken over after a crash, replayed.

    from agent.orchestration import AgentOrchestrator, BaseAgent

`plan` and `dependencies` decide and are pure; `engine` runs one plan; `store` keeps its rows; `leases` says whose it is.
"""

from agent.orchestration.agents.base import BaseAgent, NonRetryable
from agent.orchestration.orchestrator import AgentOrchestrator
from agent.orchestration.plan import Plan, PlanStep, RetryPolicy, read_plan
from agent.orchestration.records import Cancellation, PlanResult, StepResult

__all__ = [
    "AgentOrchestrator", "BaseAgent", "Cancellation", "NonRetryable", "Plan", "PlanResult", "PlanStep", "RetryPolicy", "StepResult", "read_plan",
]  # fmt: skip
