"""Memories as a person may see them: they hold what was asked and answered, so that a surface reads them here.

What the agent itself recalls is read from `agent.learning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.approval.eligibility import Membership
from agent.approval.people import people
from agent.learning.memory import Memory, agent_memory
from agent.learning.semantic_search import semantic_search
from agent.privacy.masking import MASK, is_plain_name, masked_value, without_secrets
from agent.runtime import Runtime
from agent.types import MemoryKind


async def memory_for_viewer(memory_id: int, *, viewer: str | None = None, runtime: Runtime) -> Memory:
    """One memory as `viewer` may see it. Raises `NotFound`."""
    found = await agent_memory.get(memory_id, runtime=runtime)
    return _for_viewer(await people.membership(viewer, runtime=runtime), found)


async def memories_for_viewer(
    kind: MemoryKind | None, limit: int, *, viewer: str | None = None, runtime: Runtime
) -> list[Memory]:
    """The newest memories as `viewer` may see them."""
    found = await agent_memory.list_memories(kind, limit, runtime=runtime)
    return await _all_for_viewer(found, viewer, runtime)


async def memories_found(
    query: str, limit: int, *, kinds: Sequence[MemoryKind] | None, viewer: str | None = None, runtime: Runtime
) -> list[Memory]:
    """Memories by meaning and by words, as `viewer` may see them."""
    found = await semantic_search.search_memories(query, limit, kinds=kinds, runtime=runtime)
    return await _all_for_viewer(found, viewer, runtime)


async def _all_for_viewer(found: Sequence[Memory], viewer: str | None, runtime: Runtime) -> list[Memory]:
    who = await people.membership(viewer, runtime=runtime)
    return [_for_viewer(who, one) for one in found]


def _for_viewer(who: Membership, memory: Memory) -> Memory:
    """What the database's structure says is shown; what people and models said may be personal."""
    shown = replace(memory, content=str(without_secrets(memory.content)), metadata=without_secrets(memory.metadata))
    if who.sees_personal or memory.kind == "schema":
        return shown
    subject = memory.subject
    return replace(
        shown, content=MASK, metadata=masked_value(memory.metadata), source_quote=MASK if memory.source_quote else None,
        subject=subject if subject is None or is_plain_name(subject) else MASK,
    )  # fmt: skip
