"""Memory: what is saved is kept once, found at once, and seen by nobody else."""

from __future__ import annotations

from agent.learning.memory import agent_memory
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime


async def test_what_is_saved_is_found_by_the_next_search(runtime: Runtime) -> None:
    saved = await agent_memory.save("status 3 means paused", trust="human")
    found = await semantic_search.search_memories("what does status 3 mean?")
    assert [memory.id for memory in found] == [saved.id]
    context = await semantic_search.get_relevant_context("what does status 3 mean?")
    assert str(context) == f"- [fact, human] status 3 means paused (memory {saved.id})"


async def test_an_exact_duplicate_raises_the_evidence(runtime: Runtime) -> None:
    first = await agent_memory.save("status 3 means paused")
    second = await agent_memory.save("  status 3\nmeans   paused ")
    assert (second.id, second.evidence_count) == (first.id, 2)
