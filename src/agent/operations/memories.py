"""Read memories as a person may see them. They hold questions and answers, so every surface reads them here.

The agent itself recalls memories through `agent.learning`, unmasked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.approval.eligibility import Membership
from agent.approval.people import people
from agent.learning.memory import Memory, agent_memory, forgetting
from agent.learning.memory.consolidation import wordings
from agent.learning.memory.forgetting import Forgotten
from agent.learning.semantic_search import semantic_search
from agent.privacy.masking import MASK, is_plain_name, masked_value, without_secrets
from agent.runtime import Runtime
from agent.types import MemoryKind

_RELATIONS = {
    ("replaces", False): "took the place of", ("replaces", True): "replaced by",
    ("corrects", False): "corrects", ("corrects", True): "corrected by",
    ("derived", False): "concluded from", ("derived", True): "led to",
}  # fmt: skip


async def get(memory_id: int, *, viewer: str | None = None, runtime: Runtime) -> Memory:
    """Return one memory as `viewer` may see it. Raises `NotFound`."""
    memory = await agent_memory.get(memory_id, runtime=runtime)
    return _masked(memory, await people.membership(viewer, runtime=runtime))


async def recent(
    kind: MemoryKind | None, limit: int, *, before: int | None = None, viewer: str | None = None, runtime: Runtime
) -> list[Memory]:
    """Return the newest memories, or those before the memory `before`, as `viewer` may see them."""
    memories = await agent_memory.list_memories(kind, limit, before=before, runtime=runtime)
    return await all_masked(memories, viewer, runtime)


async def search(
    query: str, limit: int, *, kinds: Sequence[MemoryKind] | None, viewer: str | None = None, runtime: Runtime
) -> list[Memory]:
    """Search memories by meaning and by words. Return the best first, as `viewer` may see them."""
    memories = await semantic_search.search_memories(query, limit, kinds=kinds, runtime=runtime)
    return await all_masked(memories, viewer, runtime)


async def forget(memory_id: int, *, viewer: str | None = None, runtime: Runtime) -> Forgotten:
    """Delete a memory for good with what repeats it, and return all of it as `viewer` may see it. Raises `NotFound`."""
    return await _shown(await agent_memory.forget(memory_id, runtime=runtime), viewer, runtime)


async def what_goes(memory_id: int, *, viewer: str | None = None, runtime: Runtime) -> Forgotten:
    """Return what `forget` would delete now, as `viewer` may see it. Raises `NotFound`."""
    memory = await agent_memory.get(memory_id, runtime=runtime)
    return await _shown(await forgetting.what_goes(memory, runtime), viewer, runtime)


async def _shown(gone: Forgotten, viewer: str | None, runtime: Runtime) -> Forgotten:
    membership = await people.membership(viewer, runtime=runtime)
    return Forgotten(
        memory=_masked(gone.memory, membership),
        say_the_same=tuple(_masked(memory, membership) for memory in gone.say_the_same),
        concluded=tuple(_masked(memory, membership) for memory in gone.concluded),
    )


async def restore(memory_id: int, *, viewer: str | None = None, runtime: Runtime) -> Memory:
    """Make a memory valid again whose place another one took. Raises `NotFound`, `InvalidInput`."""
    memory = await agent_memory.restore(memory_id, runtime=runtime)
    return _masked(memory, await people.membership(viewer, runtime=runtime))


async def history(memory_id: int, *, runtime: Runtime) -> list[str]:
    """Return in words what a memory has to do with others, and what was merged into it."""
    merged = await wordings(memory_id, runtime=runtime)
    links = await agent_memory.links(memory_id, runtime=runtime)
    return [
        *(f"{_RELATIONS[link.relation, link.later]} {link.other}" for link in links),
        *(f"took in {row['former_id']} ({row['trust']}, {row['valid_from']:%Y-%m-%d})" for row in merged),
    ]


async def all_masked(memories: Sequence[Memory], viewer: str | None, runtime: Runtime) -> list[Memory]:
    """Return memories as `viewer` may see them."""
    membership = await people.membership(viewer, runtime=runtime)
    return [_masked(memory, membership) for memory in memories]


def _masked(memory: Memory, membership: Membership) -> Memory:
    """Return a memory without what its viewer may not see.

    A memory of the database's structure is shown to everybody; what people and models said may be personal.
    """
    public = replace(memory, content=str(without_secrets(memory.content)), metadata=without_secrets(memory.metadata))
    if membership.sees_personal or memory.kind == "schema":
        return public
    subject = memory.subject
    return replace(
        public, content=MASK, metadata=masked_value(memory.metadata), source_quote=MASK if memory.source_quote else None,
        subject=subject if subject is None or is_plain_name(subject) else MASK,
    )  # fmt: skip
