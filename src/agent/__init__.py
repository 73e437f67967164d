"""An agent that learns a Postgres application by itself and asks a human before anything risky.

cli         `agent ...`                               chat, status    turns as events; how everything is set up
graph       the LangGraph application                 nodes, decisions, state, checkpoints   what it is made of
middleware, tools   the same for other people's agents                prompts         what the model reads
execution   assess, preview, run, record              approval        ask a human
threads     conversations: turns and tool calls       learning        discover, remember, search
runtime     puts everything together                  providers       models and embeddings
db          server, logins, pools, migrations         settings        the only reader of the environment
errors, types, logs, storable, tokens                 shared by all
demo        the demonstration application             testing         fakes that ship with the product
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent import chat as chat
    from agent import errors as errors
    from agent.approval.human_approval import Approval as Approval
    from agent.approval.human_approval import human_approval_queue as human_approval_queue
    from agent.approval.people import people as people
    from agent.execution.permissions.scope import Always as Always
    from agent.execution.safe_executor import safe_executor as safe_executor
    from agent.graph.langchain_tools import all_langchain_tools as all_langchain_tools
    from agent.graph.langchain_tools import langchain_tools as langchain_tools
    from agent.graph.middleware import KnowledgeMiddleware as KnowledgeMiddleware
    from agent.graph.safe_execution import SafeExecutionMiddleware as SafeExecutionMiddleware
    from agent.learning.auto_discover import auto_discovery as auto_discovery
    from agent.learning.memory import agent_memory as agent_memory
    from agent.learning.semantic_search import semantic_search as semantic_search
    from agent.operations import approvals as approvals
    from agent.runtime import Runtime as Runtime
    from agent.runtime import current_runtime as current_runtime
    from agent.runtime import open_runtime as open_runtime
    from agent.runtime import use_runtime as use_runtime
    from agent.settings import Settings as Settings

__version__ = "0.1.0"

# The public names, and the modules that hold them. A module is imported when its name is used first.
_PLACES = {
    "Always": "agent.execution.permissions.scope",
    "Approval": "agent.approval.human_approval",
    "KnowledgeMiddleware": "agent.graph.middleware",
    "Runtime": "agent.runtime",
    "SafeExecutionMiddleware": "agent.graph.safe_execution",
    "Settings": "agent.settings",
    "agent_memory": "agent.learning.memory",
    "all_langchain_tools": "agent.graph.langchain_tools",
    "approvals": "agent.operations",
    "auto_discovery": "agent.learning.auto_discover",
    "current_runtime": "agent.runtime",
    "human_approval_queue": "agent.approval.human_approval",
    "langchain_tools": "agent.graph.langchain_tools",
    "open_runtime": "agent.runtime",
    "people": "agent.approval.people",
    "safe_executor": "agent.execution.safe_executor",
    "semantic_search": "agent.learning.semantic_search",
    "use_runtime": "agent.runtime",
}
_MODULES = ("chat", "errors")

__all__ = [*_MODULES, *_PLACES]  # noqa: PLE0604  # each is a string


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"agent.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'agent' has no attribute {name!r}")
    module = import_module(_PLACES[name])
    return getattr(module, name) if hasattr(module, name) else import_module(f"{_PLACES[name]}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
