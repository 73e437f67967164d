"""Defines the host functions that a created tool's code may call: built-in tools, under the same rules as for a model.

A tool lists the host functions that it calls as its capabilities, and a human approves them with the code. Every call goes
through the safe executor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.execution.created_tools.parameters import PARAMETERS
from agent.execution.tools.arguments import BUILT_IN, is_built_in
from agent.types import ToolResult

# The built-in tools that code may call, in this order.
_OFFERED = ("query_data", "execute_sql", "describe_schema", "search_memory", "send_email", "http_get")
# Those that are one SQL statement.
QUERIES = frozenset({"query_data", "execute_sql"})
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


def answer_of(function: str, result: ToolResult, *, most: int) -> Mapping[str, Any]:
    """Return a result as the code gets it: a `value`, or an `error` that is raised there; JSON of at most `most` characters.

    Code computes over what it gets, so it never gets a part of the rows of a read, or of a cell, as if that were all.
    """
    if not result.get("success"):
        return {"error": str(result.get("error") or result.get("status") or "it failed")[:4_000]}
    partial = bool(result.get("truncated") or result.get("cut_cells"))
    if partial and "approval_id" not in result:
        return {"error": _not_all(function, result)}
    left_out = {"columns", "rows", "truncated", "cut_cells"} if partial else set()  # the change itself is done
    fields = {name: value for name, value in result.items() if name not in _NOT_FOR_CODE | left_out}
    answer = {"value": result["data"] if set(fields) == {"data"} else fields}
    text = json.dumps(answer, default=str)
    if len(text) > most:
        return {"error": f"The answer of {function} is longer than {most} characters: ask for less."}
    whole: Mapping[str, Any] = json.loads(text)
    return whole


def _not_all(function: str, result: ToolResult) -> str:
    if result.get("truncated"):
        rows = len(result.get("rows") or ())
        return (
            f"{function} found more than the {rows} rows that fit: count, sum or group in SQL, or read pages with ORDER BY, "
            "LIMIT and a condition on the key."
        )
    return f"{function} found values that are too long to be given whole: select fewer, or a part of each, such as left(x, 500)."


def _stub(name: str) -> str:
    schema = BUILT_IN[name].model_json_schema()
    required = set(schema.get("required", ()))
    parameters = [
        f"{parameter}: {_TYPES.get(str(part.get('type')), 'Any')}{'' if parameter in required else ' = ...'}"
        for parameter, part in schema["properties"].items()
    ]
    parameters += [f"{PARAMETERS}: list[Any] = ..."] if name == "execute_sql" else []
    return f"def {name}(*, {', '.join(parameters)}) -> dict[str, Any]: ..."
