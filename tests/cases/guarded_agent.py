"""An agent of somebody else's with a tool that writes a file; test_safe_execution.py runs it here and in a process that dies.

usage: python guarded_agent.py HOME DATABASE_URL SECRET FILE before|after
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.types import Command

from agent.execution.outside_effects import Happened
from agent.graph.safe_execution import SafeExecutionMiddleware
from agent.runtime import open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.scripted_model import ScriptedChatModel, call

THREAD: Any = {"configurable": {"thread_id": "default/files"}}


def writing_tool(dies: str = "") -> BaseTool:
    """A tool that adds a line to a file; it kills its process before or after that."""

    @tool
    async def write_file(path: str, line: str) -> str:
        """Add a line to a file."""
        if dies == "before":
            os._exit(9)
        with Path(path).open("a") as file:
            file.write(line + "\n")
        if dies == "after":
            os._exit(9)
        return f"Wrote {line}"

    return write_file


async def happened(arguments: Mapping[str, Any]) -> Happened:
    file = Path(arguments["path"])
    return "done" if file.exists() and arguments["line"] in file.read_text().splitlines() else "not-done"


def agent_of(
    checkpointer: Any, path: str, *, guard: SafeExecutionMiddleware, beside: Sequence[Any] = (), first: bool = False,
    tools: Sequence[BaseTool] = (),
) -> Any:  # fmt: skip
    """An agent that writes one line, with our middleware before or after others."""
    model = ScriptedChatModel(script=[[call("write_file", path=path, line="hello")], "Done."], repeat_last=True)
    middleware = [guard, *beside] if first else [*beside, guard]
    return create_agent(model, tools=[*tools] or [writing_tool()], middleware=middleware, checkpointer=checkpointer)


@asynccontextmanager
async def saver(url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """LangGraph's own checkpointer."""
    async with AsyncPostgresSaver.from_conn_string(url) as opened:
        await opened.setup()
        yield opened


async def main() -> None:
    home, url, secret, path, dies = sys.argv[1:]
    runtime = await open_runtime(Settings(_env_file=None, home=home, database_url=url, secret=secret, user="tester"))
    with use_runtime(runtime):
        async with saver(url) as checkpointer:
            await run(checkpointer, path, dies)


async def run(checkpointer: Any, path: str, dies: str) -> None:
    guard = SafeExecutionMiddleware(seconds=0.5)
    agent = agent_of(checkpointer, path, guard=guard, tools=[writing_tool(dies)])
    await agent.ainvoke({"messages": [("user", "Write it")]}, THREAD, durability="sync")
    await agent.ainvoke(Command(resume={"type": "approve"}), THREAD, durability="sync")


if __name__ == "__main__":
    asyncio.run(main())
