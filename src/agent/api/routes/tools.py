"""`/api/tools`: the tools that the agent created."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.execution.created_tools.store import CreatedTool, created_tools

router = APIRouter(prefix="/api/tools", tags=["tools"], route_class=IdempotentRoute)
Name = Annotated[str, Path(min_length=1, max_length=100, description="The tool's name.")]


class Version(BaseModel):
    """A version of a tool; null is the newest, or for a rollback the one before."""

    version: int | None = Field(None, ge=1, le=2**31 - 1)


@router.get("", **needs("viewer"))
async def list_tools(
    runtime: Acting, *, name: Annotated[str | None, Query(min_length=1, max_length=100)] = None
) -> list[CreatedTool]:
    """List every version of the created tools, or of one."""
    return await created_tools.versions(name, runtime=runtime)


@router.post("/{name}/disable", **needs("approver"))
async def disable_tool(name: Name, runtime: Acting) -> CreatedTool:
    """Put a tool out of use at once, in every process."""
    return await created_tools.disable(name, runtime=runtime)


@router.post("/{name}/enable", **needs("approver"))
async def enable_tool(name: Name, body: Version, runtime: Acting) -> CreatedTool:
    """Put a version of a tool into use again."""
    return await created_tools.activate(name, body.version, runtime=runtime)


@router.post("/{name}/rollback", **needs("approver"))
async def roll_back_tool(name: Name, body: Version, runtime: Acting) -> CreatedTool:
    """Go back to an earlier version, which was approved when it was made."""
    return await created_tools.rollback(name, body.version, runtime=runtime)
