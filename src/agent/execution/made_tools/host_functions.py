"""What the code of a created tool may ask for: the agent's own tools by name, with the same rules as for a model.

A tool names in its capabilities what it calls; a human approves that with the code. Everything that it calls goes through the
safe executor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.types import ToolResult, ToolSpec

# Of the built-in tools, in order. What is not built in is not offered.
_OFFERED = ("query_data", "execute_sql", "describe_schema", "search_memory", "send_email", "http_get")
_WITH_EFFECTS = {"execute_sql", "send_email", "http_get"}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
# What an answer says beside its value is for people and for the log.
_NOT_TOLD = {"success", "status", "approval_id", "execution_id"}


def offered() -> tuple[str, ...]:
    """The names of the host functions that there are."""
    return tuple(name for name in _OFFERED if is_built_in(name))


def is_built_in(name: str) -> bool:
    """Whether a tool or host function of that name comes with the agent."""
    from agent.execution import execution_tools  # which has create_new_tool, which asks here

    return execution_tools.is_built_in(name)


def is_harmless(capabilities: Iterable[str]) -> bool:
    """Whether a tool with these can only read."""
    return not _WITH_EFFECTS & set(capabilities)


def stubs(capabilities: Iterable[str]) -> str:
    """Their declarations, for the type checker."""
    from agent.execution.execution_tools import tool_named

    lines = ["from typing import Any", *(_stub(tool_named(name).spec) for name in capabilities)]
    return "\n".join(lines) + "\n"


def answer_of(result: ToolResult) -> Mapping[str, Any]:
    """A result as the code gets it: its value, or an error that is raised there."""
    if not result.get("success"):
        return {"error": str(result.get("error") or result.get("status") or "it failed")[:4_000]}
    told = {name: value for name, value in result.items() if name not in _NOT_TOLD}
    return {"value": result["data"] if set(told) == {"data"} else told}


def _stub(tool: ToolSpec) -> str:
    schema = tool.parameters
    required = set(schema.get("required", ()))
    parameters = [
        f"{name}: {_TYPES.get(str(part.get('type')), 'Any')}{'' if name in required else ' = ...'}"
        for name, part in schema["properties"].items()
    ]
    return f"def {tool.name}(*, {', '.join(parameters)}) -> dict[str, Any]: ..."
