"""Offer the executor's tools as LangChain tools, for agents and graphs of your own.

Each call goes through the safe executor: a read runs, a risky action waits for a human (up to AGENT_APPROVAL_TIMEOUT).
"""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from agent.errors import AgentError
from agent.execution import available_tools
from agent.execution.execution_tools import tool_specs
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, current_runtime
from agent.types import ToolResult, ToolSpec


def langchain_tools(*, runtime: Runtime | None = None) -> list[BaseTool]:
    """Return a LangChain tool for each built-in tool. Every result is a `ToolResult` dictionary, also that of a failure."""
    return [_tool(spec, runtime) for spec in tool_specs()]


async def all_langchain_tools(*, runtime: Runtime | None = None) -> list[BaseTool]:
    """Return `langchain_tools` and a LangChain tool for each tool that the agent has created so far."""
    runtime = runtime or await current_runtime()
    return [_tool(spec, runtime) for spec in await available_tools.specs(runtime=runtime)]


def _tool(spec: ToolSpec, runtime: Runtime | None) -> BaseTool:
    async def execute(**arguments: Any) -> ToolResult:
        try:
            return await safe_executor.execute(spec.name, arguments, by_model=True, runtime=runtime)
        except AgentError as error:
            return {"success": False, "status": "failed", "error": str(error)}

    return StructuredTool(
        name=spec.name, description=spec.description, args_schema=dict(spec.parameters), coroutine=execute
    )
