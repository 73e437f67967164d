"""`/api/memories/...`: figures, merging, quarantine, embedding, export and import of memories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.learning.memory import Memory
from agent.operations import memory_upkeep
from agent.operations.memory_upkeep import Consolidated, Imported

router = APIRouter(prefix="/api/memories", tags=["memories"], route_class=IdempotentRoute)
MemoryId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the memory.")]


@router.get("/stats", **needs("viewer"))
async def stats(runtime: Acting) -> dict[str, Any]:
    """Return how many memories there are, by kind, and what waits to be compared and embedded."""
    return await memory_upkeep.stats(runtime=runtime)


class UpkeepBudget(BaseModel):
    """How long it may take."""

    seconds: float = Field(30.0, ge=0, le=600)


@router.post("/dedupe", **needs("operator"))
async def dedupe(body: UpkeepBudget, runtime: Acting) -> Consolidated:
    """Merge memories that say the same, and delete those that were kept long enough."""
    return await memory_upkeep.dedupe(body.seconds, runtime=runtime)


class Embedded(BaseModel):
    """How many memories were embedded."""

    embedded: int


@router.post("/reembed", **needs("operator"))
async def reembed(runtime: Acting) -> Embedded:
    """Embed the memories that have no vector of the current model."""
    return Embedded(embedded=await memory_upkeep.reembed(runtime=runtime))


@router.get("/export", response_class=StreamingResponse, **needs("admin"))
async def export(runtime: Acting) -> StreamingResponse:
    """Return all memories as JSON lines. An answer whose last line has no `end` is not whole."""
    lines = memory_upkeep.export(runtime=runtime)
    first = await anext(lines)

    async def whole() -> AsyncIterator[str]:
        yield f"{first}\n"
        async for line in lines:
            yield f"{line}\n"

    return StreamingResponse(whole(), media_type="application/x-ndjson")


@router.post("/import", **needs("admin"))
async def import_memories(request: Request, runtime: Acting) -> Imported:
    """Store the memories of an export, all of them or none. The body is the export as it is."""
    return await memory_upkeep.import_text(await request.body(), runtime=runtime)


class WhyQuarantined(BaseModel):
    """Why nobody should rely on it."""

    reason: str = Field("", max_length=1_000)


@router.post("/{memory_id}/quarantine", **needs("operator"))
async def put_aside(memory_id: MemoryId, body: WhyQuarantined, runtime: Acting) -> list[Memory]:
    """Take a memory, and all that was concluded from it, out of use."""
    return await memory_upkeep.put_aside(memory_id, body.reason, runtime=runtime)


class Released(BaseModel):
    """How many memories are in use again."""

    released: int


@router.post("/{memory_id}/release", **needs("operator"))
async def take_back(memory_id: MemoryId, runtime: Acting) -> Released:
    """Put what was quarantined because of a memory into use again."""
    return Released(released=await memory_upkeep.take_back(memory_id, runtime=runtime))
