"""Every tool that there is for a runtime: the built-in ones, and those that the agent made for this tenant and database."""

from __future__ import annotations

from functools import partial

from agent.errors import UnknownTool
from agent.execution.created_tools.runs import run_tool
from agent.execution.created_tools.store import CreatedTool, created_tools
from agent.execution.execution_tools import Tool, tool_named, tool_specs
from agent.execution.tools.arguments import CREATED_NAME, is_built_in
from agent.runtime import Runtime
from agent.types import ToolSpec


async def specs(*, made_tools: bool = True, runtime: Runtime) -> list[ToolSpec]:
    """Every tool as the model sees it; without `made_tools` only the built-in ones."""
    made = await created_tools.active(runtime=runtime) if made_tools else []
    return [*tool_specs(), *(_tool(one).spec for one in made if not is_built_in(one.name))]


async def find(name: str, *, runtime: Runtime) -> Tool:
    """The tool of that name; a built-in one before any other. Raises `UnknownTool`, or `ActionRefused` for a changed one."""
    if is_built_in(name):
        return tool_named(name)
    could_be = isinstance(name, str) and CREATED_NAME.fullmatch(name)
    made = await created_tools.named(name, runtime=runtime) if could_be else None
    if made is None:
        names = ", ".join(spec.name for spec in await specs(runtime=runtime))
        raise UnknownTool(f"There is no tool {str(name)[:100]!r}. The tools are: {names}.")
    return _tool(made)


def _tool(made: CreatedTool) -> Tool:
    return Tool(
        name=made.name, description=made.content.description, arguments=made.schema, run=partial(run_tool, made),
        pauses=bool(made.content.capabilities),
    )  # fmt: skip
