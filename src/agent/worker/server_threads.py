"""Goes on with the turns of threads that live in a LangGraph Server: their checkpoints are there, and so is what they wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, LangGraphError, NotFoundError

from agent.errors import ProviderUnavailable, ThreadBusy
from agent.runtime import Runtime

_SECONDS = 15.0
_GRAPH = "agent"


async def resume_on_server(thread_id: str, *, runtime: Runtime) -> bool:
    """Go on with the turn of a thread in the server, and return whether the thread lives there.

    What waits is named, and a server that can refuses to resume anything else. Raises `ThreadBusy` while another run works on
    the thread, `ProviderUnavailable` if the server does not answer: then nobody goes on with the turn.
    """
    # The server acts as its own process does, so it gets no turn of another tenant.
    if not runtime.settings.langgraph_api_url or runtime.tenant_id != runtime.settings.tenant_id:
        return False
    if not _is_of_server(thread_id):
        return False
    async with _connected(runtime) as client:
        return await _resume(client, thread_id)


def _is_of_server(thread_id: str) -> bool:
    """Return whether a thread can be one of the server's, which are named by UUIDs as they are written in full."""
    try:
        return str(UUID(thread_id)) == thread_id
    except ValueError:
        return False


@asynccontextmanager
async def _connected(runtime: Runtime) -> AsyncIterator[LangGraphClient]:
    settings = runtime.settings
    key = settings.langgraph_api_key.get_secret_value() if settings.langgraph_api_key else None
    client = get_client(url=settings.langgraph_api_url, api_key=key, timeout=_SECONDS)
    try:
        yield client
    except (LangGraphError, httpx.HTTPError) as error:
        raise ProviderUnavailable(
            f"The LangGraph Server of LANGGRAPH_API_URL does not answer as it should ({type(error).__name__}): look at it."
        ) from error
    finally:
        await client.aclose()


async def _resume(client: LangGraphClient, thread_id: str) -> bool:
    try:
        thread = await client.threads.get(thread_id)
    except NotFoundError:
        return False
    if thread["status"] == "busy":
        raise ThreadBusy(f"Another run works on thread {thread_id!r} in the LangGraph Server.")
    waiting = [interrupt["id"] for found in thread["interrupts"].values() for interrupt in found]
    graph = str((thread.get("metadata") or {}).get("graph_id") or _GRAPH)
    try:
        run = await client.runs.create(thread_id, graph, multitask_strategy="reject", **await _input(client, waiting))
    except ConflictError as error:
        raise ThreadBusy(f"Another run works on thread {thread_id!r} in the LangGraph Server.") from error
    await client.runs.join(thread_id, run["run_id"])
    return True


async def _input(client: LangGraphClient, waiting: list[str]) -> dict[str, Any]:
    """Return with what a run begins: an answer to each interrupt that waits; the decisions themselves are read from their rows."""
    if not waiting:
        return {"input": {"messages": []}}
    command: dict[str, Any] = {"command": {"resume": {name: {"type": "collect"} for name in waiting}}}
    info = await client.http.get("/info")
    strict = info.get("strict_resume") or (info.get("flags") or {}).get("strict_resume")
    return {**command, "strict_resume": True} if strict else command
