"""`/api/memories`: search, add, read and forget what the agent remembers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.errors import InvalidInput
from agent.learning.memory import Memory, agent_memory
from agent.operations import erasure, memories
from agent.operations.erasure import Erasure
from agent.types import MemoryKind

router = APIRouter(prefix="/api/memories", tags=["memories"], route_class=IdempotentRoute)
MemoryId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the memory.")]


class NewFact(BaseModel):
    """Something that you say is so."""

    content: str = Field(min_length=1, max_length=10_000)
    subject: str | None = Field(None, max_length=500, description="What it is about, such as a table's name.")


@router.get("", **needs("viewer"))
async def list_memories(
    runtime: Acting,
    *,
    query: Annotated[
        str | None, Query(min_length=1, max_length=4_000, description="Search; the best come first.")
    ] = None,
    kind: MemoryKind | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Memory]:
    """Search memories by meaning and words, or list the newest ones."""
    if query is not None:
        found = await memories.search(query, limit, kinds=[kind] if kind else None, runtime=runtime)
        return Page(items=found, next=None)
    newest = await memories.recent(kind, limit + 1, before=number_in(cursor), runtime=runtime)
    return page_of(newest, limit=limit, key=lambda memory: memory.id)


@router.post("", status_code=201, **needs("operator"))
async def add_memory(body: NewFact, runtime: Acting) -> Memory:
    """Teach the agent a fact. It counts as said by a human."""
    return await agent_memory.save(body.content, subject=body.subject, trust="human", runtime=runtime)


class ToErase(BaseModel):
    """A person, with other names, addresses and numbers, or a conversation. Give one of the two."""

    person: str | None = Field(None, min_length=1, max_length=200)
    also: list[str] = Field([], max_length=49)
    thread_id: str | None = Field(None, min_length=1, max_length=200)
    dry_run: bool = Field(default=False, description="Say what would be erased, and erase nothing.")


@router.post("/erase", **needs("admin"))
async def erase(body: ToErase, runtime: Acting) -> Erasure:
    """Erase a person or a conversation from everything that the agent keeps, for good."""
    if (body.person is None) == (body.thread_id is None):
        raise InvalidInput("Give either a person or a thread_id.")
    if body.thread_id is not None:
        return await erasure.erase_thread(body.thread_id, dry_run=body.dry_run, runtime=runtime)
    return await erasure.erase_person(str(body.person), also=body.also, dry_run=body.dry_run, runtime=runtime)


@router.get("/{memory_id}", **needs("viewer"))
async def get_memory(memory_id: MemoryId, runtime: Acting) -> Memory:
    """Return one memory."""
    return await memories.get(memory_id, runtime=runtime)


class Forgotten(BaseModel):
    """What was forgotten: the memory, what says the same, and what was concluded from it."""

    memory: Memory
    say_the_same: list[Memory]
    concluded: list[Memory]


@router.delete("/{memory_id}", **needs("operator"))
async def forget_memory(memory_id: MemoryId, runtime: Acting) -> Forgotten:
    """Forget a memory for good, with what says the same and what was concluded from it."""
    gone = await memories.forget(memory_id, runtime=runtime)
    return Forgotten(memory=gone.memory, say_the_same=list(gone.say_the_same), concluded=list(gone.concluded))


@router.post("/{memory_id}/restore", **needs("operator"))
async def restore_memory(memory_id: MemoryId, runtime: Acting) -> Memory:
    """Make a memory valid again whose place a newer one took."""
    return await memories.restore(memory_id, runtime=runtime)
