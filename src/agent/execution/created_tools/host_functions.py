"""What the code of a created tool may ask for: the agent's own tools by name, with the same rules as for a model.

A tool names in its capabilities what it calls; a human approves that with the code. Everything that it calls goes through the
safe executor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.execution.tools.arguments import BUILT_IN, is_built_in
from agent.types import ToolResult

# Of the built-in tools, in order. What is not built in is not offered.
_OFFERED = ("query_data", "execute_sql", "describe_schema", "search_memory", "send_email", "http_get")
_WITH_EFFECTS = {"execute_sql", "send_email", "http_get"}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
# What an answer says beside its value is for people and for the log.
_NOT_TOLD = {"success", "status", "approval_id", "execution_id"}


def offered() -> tuple[str, ...]:
    """The names of the host functions that there are."""
    return tuple(name for name in _OFFERED if is_built_in(name))


def is_harmless(capabilities: Iterable[str]) -> bool:
    """Whether a tool with these can only read."""
    return not _WITH_EFFECTS & set(capabilities)


def stubs(capabilities: Iterable[str]) -> str:
    """Their declarations, for the type checker."""
    lines = ["from typing import Any", *(_stub(name) for name in capabilities)]
    return "\n".join(lines) + "\n"


def answer_of(result: ToolResult) -> Mapping[str, Any]:
    """A result as the code gets it: its value, or an error that is raised there."""
    if not result.get("success"):
        return {"error": str(result.get("error") or result.get("status") or "it failed")[:4_000]}
    told = {name: value for name, value in result.items() if name not in _NOT_TOLD}
    return {"value": result["data"] if set(told) == {"data"} else told}


def _stub(name: str) -> str:
    schema = BUILT_IN[name].model_json_schema()
    required = set(schema.get("required", ()))
    parameters = [
        f"{one}: {_TYPES.get(str(part.get('type')), 'Any')}{'' if one in required else ' = ...'}"
        for one, part in schema["properties"].items()
    ]
    return f"def {name}(*, {', '.join(parameters)}) -> dict[str, Any]: ..."
