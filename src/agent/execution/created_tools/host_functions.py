"""Defines the host functions that a created tool's code may call: built-in tools, under the same rules as for a model.

A tool lists the host functions that it calls as its capabilities, and a human approves them with the code. Every call goes
through the safe executor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.execution.tools.arguments import BUILT_IN, is_built_in
from agent.types import ToolResult

# The built-in tools that code may call, in this order.
_OFFERED = ("query_data", "execute_sql", "describe_schema", "search_memory", "send_email", "http_get")
_WITH_EFFECTS = {"execute_sql", "send_email", "http_get"}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
# Fields of a result that are for people and for the log, and not for the code.
_NOT_FOR_CODE = {"success", "status", "approval_id", "execution_id"}


def offered() -> tuple[str, ...]:
    """Return the names of the host functions."""
    return tuple(name for name in _OFFERED if is_built_in(name))


def is_harmless(capabilities: Iterable[str]) -> bool:
    """Return whether a tool with these capabilities can only read."""
    return not _WITH_EFFECTS & set(capabilities)


def stubs(capabilities: Iterable[str]) -> str:
    """Return the declarations of these host functions, for the type checker."""
    lines = ["from typing import Any", *(_stub(name) for name in capabilities)]
    return "\n".join(lines) + "\n"


def answer_of(result: ToolResult) -> Mapping[str, Any]:
    """Return a result as the code gets it: a `value`, or an `error` that is raised there."""
    if not result.get("success"):
        return {"error": str(result.get("error") or result.get("status") or "it failed")[:4_000]}
    fields = {name: value for name, value in result.items() if name not in _NOT_FOR_CODE}
    return {"value": result["data"] if set(fields) == {"data"} else fields}


def _stub(name: str) -> str:
    schema = BUILT_IN[name].model_json_schema()
    required = set(schema.get("required", ()))
    parameters = [
        f"{parameter}: {_TYPES.get(str(part.get('type')), 'Any')}{'' if parameter in required else ' = ...'}"
        for parameter, part in schema["properties"].items()
    ]
    return f"def {name}(*, {', '.join(parameters)}) -> dict[str, Any]: ..."
