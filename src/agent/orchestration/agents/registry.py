"""Which agents a process knows: objects that were registered, and kinds that are built from an id when a step needs one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.errors import InvalidInput, NotFound
from agent.orchestration.agents.base import BaseAgent, Graph, GraphAgent

Builder = Callable[[str], BaseAgent]


class Registry:
    """Agents by their ids."""

    def __init__(self) -> None:
        self._agents: dict[str, BaseAgent] = {}
        self._builders: dict[str, Builder] = {}
        self._kinds: dict[str, frozenset[str]] = {}

    def add(self, agent: BaseAgent | type[BaseAgent] | Graph, agent_id: str | None = None) -> BaseAgent:
        """Register an agent, a class of agents, or a graph of LangGraph, and return the agent. The last two need an id."""
        if isinstance(agent, BaseAgent):
            made = agent
        elif not agent_id:
            raise InvalidInput("Name the agent: register_agent(agent, agent_id='...').")
        elif isinstance(agent, type) and issubclass(agent, BaseAgent):
            made = agent(agent_id)
        elif isinstance(agent, Graph):
            made = GraphAgent(agent_id, agent)
        else:
            raise InvalidInput("An agent is a BaseAgent, a class of it, or a compiled graph of LangGraph.")
        name = agent_id or made.get_agent_id()
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
            raise InvalidInput(f"An agent's id is a text of 1 to 200 printable characters, not {str(name)[:100]!r}.")
        self._agents[name] = made
        return made

    def add_kind(self, prefix: str, builder: Builder, actions: Iterable[str] = ()) -> None:
        """Build every agent whose id begins with `prefix` when it is asked for. Such agents keep nothing between their steps."""
        self._builders[prefix] = builder
        self._kinds[prefix] = frozenset(actions)

    def get(self, agent_id: str) -> BaseAgent:
        """Return an agent. Raises `NotFound`."""
        found = self._agents.get(agent_id)
        if found is not None:
            return found
        for prefix, builder in self._builders.items():
            if agent_id.startswith(prefix):
                return builder(agent_id)
        raise NotFound(
            f"No agent {agent_id!r} is registered here: `await register_agent(...)` registers one, or name one that is."
        )

    def who_does(self, action: str) -> str | None:
        """Return the one agent that says it does an action, or the only agent that there is; None if that is not clear."""
        able = [name for name, one in self._agents.items() if action in one.actions]
        able = able or [prefix for prefix, actions in self._kinds.items() if action in actions]
        able = able or ([] if self._builders else list(self._agents))
        return able[0] if len(able) == 1 else None

    def knows(self, agent_id: str) -> bool:
        """Return whether a step of this agent can run here."""
        return agent_id in self._agents or any(agent_id.startswith(prefix) for prefix in self._builders)

    def remove(self, agent_id: str) -> None:
        """Forget an agent; one that is not there is forgotten already."""
        self._agents.pop(agent_id, None)
