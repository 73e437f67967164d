"""`/console/memory`: what the agent remembers: found and why, from where, what replaced it; and forgetting it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from agent.api.pages import number_in
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.learning.memory import agent_memory
from agent.operations import memories, memory_upkeep
from agent.types import MemoryKind

router = APIRouter(prefix=f"{ROOT}/memory", route_class=ConsoleRoute)
_PER_PAGE = 25
_KINDS: tuple[MemoryKind, ...] = ("fact", "skill", "pattern", "feedback", "interaction", "schema")
MemoryId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("", dependencies=needs("viewer"))
async def search(
    request: Request, visit: Visitor, query: Annotated[str, Query(max_length=4_000)] = "", kind: Annotated[str, Query(max_length=20)] = "",
    cursor: Annotated[str | None, Query(max_length=30)] = None,
) -> Response:  # fmt: skip
    """Search memories, or show the newest. The form sends an empty kind for all of them."""
    chosen: MemoryKind | None = next((one for one in _KINDS if one == kind), None)
    if query.strip():
        kinds = [chosen] if chosen else None
        found, more = await memories.search(query, _PER_PAGE, kinds=kinds, runtime=visit.runtime), None
    else:
        newest = await memories.recent(chosen, _PER_PAGE + 1, before=number_in(cursor or None), runtime=visit.runtime)
        found, more = newest[:_PER_PAGE], str(newest[_PER_PAGE - 1].id) if len(newest) > _PER_PAGE else None
    best = max((memory.score or 0.0 for memory in found), default=0.0)
    return await page(
        request, visit, "memories.html", found=found, query=query, kind=chosen, kinds=_KINDS, next=more, best=best
    )


@router.post("", dependencies=needs("operator"))
async def teach(request: Request, visit: Visitor, form: Form) -> Response:
    """Teach the agent a fact."""
    memory = await agent_memory.save(
        form.get("content", ""), subject=form.get("subject") or None, trust="human", runtime=visit.runtime
    )
    return done(request, form, f"Memory {memory.id} is stored.")


@router.get("/{memory_id}", dependencies=needs("viewer"))
async def show(request: Request, memory_id: MemoryId, visit: Visitor) -> Response:
    """Show one memory with its provenance and its history."""
    memory = await memories.get(memory_id, runtime=visit.runtime)
    history = await memories.history(memory_id, runtime=visit.runtime)
    return await page(request, visit, "memory.html", memory=memory, history=history)


@router.get("/{memory_id}/forget", dependencies=needs("operator"))
async def before_forgetting(request: Request, memory_id: MemoryId, visit: Visitor) -> Response:
    """Show what would go. Nothing goes by looking."""
    goes = await memories.what_goes(memory_id, runtime=visit.runtime)
    return await page(request, visit, "forget.html", goes=goes)


@router.post("/{memory_id}/forget", dependencies=needs("operator"))
async def forget(request: Request, memory_id: MemoryId, visit: Visitor, form: Form) -> Response:
    """Forget a memory for good, with what says the same and what was concluded from it."""
    gone = await memories.forget(memory_id, runtime=visit.runtime)
    numbers = ", ".join(map(str, gone.ids))
    return done(request, form, f"Forgotten for good: {numbers}.", to=f"{ROOT}/memory")


@router.post("/{memory_id}/restore", dependencies=needs("operator"))
async def restore(request: Request, memory_id: MemoryId, visit: Visitor, form: Form) -> Response:
    """Make a memory valid again whose place a newer one took."""
    await memories.restore(memory_id, runtime=visit.runtime)
    return done(request, form, f"Memory {memory_id} is valid again.")


@router.post("/{memory_id}/quarantine", dependencies=needs("operator"))
async def put_aside(request: Request, memory_id: MemoryId, visit: Visitor, form: Form) -> Response:
    """Take a memory, and what was concluded from it, out of use."""
    aside = await memory_upkeep.put_aside(memory_id, form.get("reason", "")[:1_000], runtime=visit.runtime)
    return done(request, form, f"Out of use: {', '.join(str(memory.id) for memory in aside)}.")


@router.post("/{memory_id}/release", dependencies=needs("operator"))
async def release(request: Request, memory_id: MemoryId, visit: Visitor, form: Form) -> Response:
    """Use again what was put aside because of a memory."""
    count = await memory_upkeep.take_back(memory_id, runtime=visit.runtime)
    return done(request, form, f"In use again: {count}.")
