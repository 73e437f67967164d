"""Finds the memories that matter for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.db import load_queries
from agent.learning.lexical import clean
from agent.learning.memory import Memory
from agent.runtime import Runtime, current_runtime
from agent.types import MemoryKind

_queries = load_queries(__package__, "memory.sql")

SearchMode = Literal["hybrid", "dense", "lexical"]
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevantContext:
    """Memory lines for a prompt, and the memories they are; `str()` gives the text."""

    text: str
    memories: tuple[Memory, ...]

    def __str__(self) -> str:
        return self.text


class SemanticSearch:
    """Searches what the agent remembers of the current application database."""

    async def search_memories(
        self,
        query: str,
        limit: int = 5,
        *,
        kinds: Sequence[MemoryKind] | None = None,
        mode: SearchMode = "hybrid",
        runtime: Runtime | None = None,
    ) -> list[Memory]:
        """The memories nearest to `query`, best first, each with its score."""
        runtime = runtime or await current_runtime()
        parameters = {
            "tenant_id": runtime.tenant_id,
            "database_id": runtime.database_id,
            "query": clean(query),
            "kinds": list(kinds) if kinds is not None else None,
            "limit": limit,
        }
        async with runtime.transaction() as conn:
            rows = await conn.execute(_queries["search"], parameters)
            return [Memory.from_row(row) async for row in rows]

    async def get_relevant_context(
        self, question: str, *, token_budget: int | None = None, runtime: Runtime | None = None
    ) -> RelevantContext:
        """The memories that matter for `question`, as prompt lines within `token_budget` tokens."""
        runtime = runtime or await current_runtime()
        room = (token_budget or runtime.settings.memory_tokens) * _CHARS_PER_TOKEN
        chosen: list[Memory] = []
        for memory in await self.search_memories(question, 20, runtime=runtime):
            room -= len(memory.line) + 1
            if room < 0:
                break
            chosen.append(memory)
        return RelevantContext(text="\n".join(memory.line for memory in chosen), memories=tuple(chosen))


semantic_search = SemanticSearch()
