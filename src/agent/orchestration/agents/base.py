"""What an agent of a plan is: an id, and actions. What it notices goes to whoever listens to the plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

from agent.breaker import Limits
from agent.circuits import SHARED

Report = Callable[[Mapping[str, Any]], Awaitable[None]]
# Who hears of insights in the step that runs.
REPORT: ContextVar[Report | None] = ContextVar("orchestration_report", default=None)


class BaseAgent(ABC):
    """An agent that a plan can name. Subclass it and write `execute`.

    After `limits.failures` failures in a row it is left alone for a time, in all processes. None: it is always tried.
    `actions` are what it does, as far as it says so: a step for which the plan names no agent goes to the one that does its action.
    """

    limits: Limits | None = SHARED
    actions: tuple[str, ...] = ()

    def __init__(self, agent_id: str, **config: Any) -> None:
        self.agent_id = agent_id
        self.config = config

    def get_agent_id(self) -> str:
        """Return the id that steps name."""
        return self.agent_id

    @abstractmethod
    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Do one action, and return what JSON can hold. `context` has plan_id, run_id, step_id, attempt and results (of the steps it waits for)."""

    async def report_insight(self, insight: Mapping[str, Any]) -> None:
        """Tell everybody who listens to `agent:insight` what this agent noticed, such as {"type": "struggling_detected"}."""
        report = REPORT.get()
        if report is not None:
            await report(insight)


class NonRetryable(Exception):
    """Raise it (or a subclass) in an agent when to try again would not help."""


@runtime_checkable
class Graph(Protocol):
    """A compiled graph of LangGraph, or what behaves like one."""

    async def ainvoke(self, input: Any, config: Any = None, /) -> Any: ...  # noqa: A002  # LangGraph's name


class GraphAgent(BaseAgent):
    """A graph as an agent: the step's input is the graph's, and its final state is the step's output."""

    def __init__(self, agent_id: str, graph: Graph) -> None:
        super().__init__(agent_id)
        self._graph = graph

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Run the graph on a thread of this step's own."""
        del action
        thread = f"{context.get('run_id')}:{context.get('step_id')}"
        return await self._graph.ainvoke(input, {"configurable": {"thread_id": thread}})
