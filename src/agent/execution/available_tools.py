"""Finds a runtime's tools: the built-in ones, and those that the agent created for this tenant and database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import psycopg

from agent.errors import AgentError, ConfigurationError, UnknownTool
from agent.execution.created_tools.create_new_tool import limits_for_model
from agent.execution.created_tools.runs import run_tool
from agent.execution.created_tools.store import CREATE, CreatedTool, created_tools
from agent.execution.execution_tools import Tool, tool_named, tool_specs
from agent.execution.tools import update_client_status
from agent.execution.tools.arguments import CREATED_NAME, is_built_in
from agent.execution.undo import undo
from agent.learning.auto_discover import auto_discovery
from agent.providers.mail import route_of
from agent.runtime import Runtime
from agent.types import ToolSpec


async def specs(*, with_created: bool = True, runtime: Runtime) -> list[ToolSpec]:
    """Return every tool as the model sees it; without `with_created` only the built-in ones."""
    created = await created_tools.active(runtime=runtime) if with_created else []
    built_in = [_with_limits(spec, runtime) for spec in tool_specs()]
    return [*built_in, *(_tool(version).spec for version in created if not is_built_in(version.name))]


def _with_limits(spec: ToolSpec, runtime: Runtime) -> ToolSpec:
    if spec.name != CREATE:
        return spec
    return replace(spec, description=f"{spec.description} {limits_for_model(runtime.settings)}")


async def usable(*, with_created: bool = True, runtime: Runtime) -> list[ToolSpec]:
    """Return the tools that can do something here and now, for a model's request: every one of them costs tokens.

    `find` knows the others too; they say themselves what is missing.
    """
    unusable = set()
    if not _can_mail(runtime):
        unusable.add("send_email")
    if not await undo.has_kept_rows(runtime=runtime):
        unusable.add(undo.UNDO)
    if not await _has_clients(runtime):
        unusable.add("update_client_status")
    return [spec for spec in await specs(with_created=with_created, runtime=runtime) if spec.name not in unusable]


def _can_mail(runtime: Runtime) -> bool:
    try:
        return route_of(runtime.settings) is not None
    except ConfigurationError:  # the tool says what is wrong with the settings
        return True


async def _has_clients(runtime: Runtime) -> bool:
    try:
        structure = await auto_discovery.current_structure(runtime=runtime)
    except (AgentError, psycopg.Error):  # the database is away: the tool says so
        return True
    return any(map(update_client_status.may_be_clients, structure.get("tables", [])))


async def find(name: str, *, runtime: Runtime) -> Tool:
    """Return the tool of that name; a built-in one comes first.

    Raises `UnknownTool`, or `ActionRefused` for a created tool that was changed since its approval.
    """
    if is_built_in(name):
        return tool_named(name)
    could_be = isinstance(name, str) and CREATED_NAME.fullmatch(name)
    created = await created_tools.named(name, runtime=runtime) if could_be else None
    if created is None:
        names = ", ".join(spec.name for spec in await specs(runtime=runtime))
        raise UnknownTool(f"There is no tool {str(name)[:100]!r}. The tools are: {names}.")
    return _tool(created)


def _tool(created: CreatedTool) -> Tool:
    return Tool(
        name=created.name, description=created.content.description, arguments=created.schema,
        run=partial(run_tool, created), pauses=bool(created.content.capabilities),
    )  # fmt: skip
