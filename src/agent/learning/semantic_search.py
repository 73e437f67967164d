"""Finds the memories that are relevant to a question, by their words and by their vectors, in one round trip.

The question is embedded here. The function `agents.search_memories` in the database selects candidates, computes BM25 and
combines both scores, so that PostgREST's callers get the same search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.concurrency import gather_or_cancel
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.learning.auto_discover import auto_discovery
from agent.learning.lessons import recall as lessons
from agent.learning.memory import Memory, agent_memory, recall
from agent.learning.memory.embeddings import query_vector, scope, vector_literal
from agent.learning.memory.turns import statements_of
from agent.privacy.data_sharing import shares_memory
from agent.runtime import Runtime, current_runtime
from agent.text.storable import storable
from agent.text.tokens import estimate_tokens
from agent.types import MemoryKind

_QUERIES = load_queries(__package__)

SearchMode = Literal["hybrid", "dense", "lexical"]
MAX_QUERY_CHARS = 8_000
MAX_LIMIT = 500
_STATED: tuple[MemoryKind, ...] = tuple(kind for kind in recall.STATED if kind != "skill")
# How many times as many candidates are compared where vectors are made from letters.
_WIDE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevantContext:
    """Memory lines for a prompt, and the memories that they show; `str()` returns the text."""

    text: str
    memories: tuple[Memory, ...]

    def __str__(self) -> str:
        return self.text


class SemanticSearch:
    """Searches the memories of the current application database. It has no state."""

    async def search_memories(
        self,
        query: str,
        limit: int = 5,
        *,
        kinds: Sequence[MemoryKind] | None = None,
        mode: SearchMode = "hybrid",
        runtime: Runtime | None = None,
    ) -> list[Memory]:
        """Return the memories nearest to `query`, best first, each with its score (comparable within one search).

        When the embedder fails, the search uses words only. Raises `InvalidInput` on a limit below 1.
        """
        runtime = runtime or await current_runtime()
        if limit < 1:
            raise InvalidInput(f"limit={limit!r} must be at least 1.")
        text = storable(query[:MAX_QUERY_CHARS])
        vector = None if mode == "lexical" else await query_vector(text, runtime)
        if mode != "dense" or vector is None:
            return await _search(text, vector, limit, kinds, runtime)
        if runtime.embedder.semantic:
            return await _search(None, vector, limit, kinds, runtime)
        return await _nearest(text, vector, limit, kinds, runtime)

    async def get_relevant_context(
        self,
        question: str,
        *,
        shown: tuple[str, int] | None = None,
        token_budget: int | None = None,
        note_use: bool = True,
        runtime: Runtime | None = None,
    ) -> RelevantContext:
        """Return the memories that are relevant to `question`, as prompt lines within `token_budget` tokens.

        Statements come first, then worked examples, then earlier turns, but none of the thread `shown` from that turn on: the conversation itself shows
        them. They are counted as used, unless `note_use` is False.
        """
        runtime = runtime or await current_runtime()
        text = storable(question[:MAX_QUERY_CHARS])
        vector = await query_vector(text, runtime)
        stated, skills, turns = await gather_or_cancel(
            _search(text, vector, recall.STATED_FOUND, _STATED, runtime),
            _search(text, vector, lessons.FOUND, ["skill"], runtime),
            _search(text, vector, recall.TURNS_FOUND, ["interaction"], runtime),
        )
        semantic = runtime.embedder.semantic
        stated += [memory for memory in skills if not lessons.is_learned(memory)]
        examples = await _examples(text, skills, runtime)
        wanted = [
            *recall.stated_to_show(text, stated, semantic=semantic),
            *examples,
            *_others(examples, recall.turns_to_show(text, turns, shown=shown, semantic=semantic)),
        ]
        shared = [memory for memory in wanted if shares_memory(memory.trust, runtime.data_sharing)]
        shared = shared[: runtime.settings.memory_top_k or None]
        chosen = _fitting(shared, runtime.settings.memory_tokens if token_budget is None else token_budget)
        if note_use:
            await agent_memory.record_use([memory.id for memory in chosen], runtime=runtime)
        return RelevantContext(text="\n".join(memory.line for memory in chosen), memories=tuple(chosen))


async def _examples(question: str, skills: Sequence[Memory], runtime: Runtime) -> list[Memory]:
    if not any(map(lessons.is_learned, skills)):
        return []
    return lessons.examples_to_show(question, skills, await auto_discovery.current_structure(runtime=runtime))


def _others(examples: Sequence[Memory], turns: Sequence[Memory]) -> list[Memory]:
    """Return the turns that show other SQL than the examples do."""
    shown = {str(example.metadata.get("sql", "")) for example in examples}
    return [turn for turn in turns if not {*statements_of(turn.content, turn.metadata)} <= shown]


async def _nearest(
    text: str, vector: list[float], limit: int, kinds: Sequence[MemoryKind] | None, runtime: Runtime
) -> list[Memory]:
    """Return the nearest memories by vectors that are made from letters.

    Such vectors are near to many others, of which their index overlooks some; what shares words with the text is compared too.
    """
    wide = max(_WIDE * limit, 10 * _WIDE)
    found = await gather_or_cancel(
        _search(None, vector, wide, kinds, runtime), _search(text, vector, wide, kinds, runtime)
    )
    each = {memory.id: memory for memories in found for memory in memories if memory.similarity is not None}
    nearest = sorted(each.values(), key=lambda memory: (memory.similarity or 0, memory.id), reverse=True)
    return [replace(memory, score=memory.nearness) for memory in nearest[:limit]]


async def _search(
    words: str | None, vector: list[float] | None, limit: int, kinds: Sequence[MemoryKind] | None, runtime: Runtime
) -> list[Memory]:
    rows = await runtime.all(
        _QUERIES["search"],
        **scope(runtime),
        query=words,
        embedding="{" + vector_literal(vector)[1:-1] + "}" if vector is not None else None,
        kinds=list(kinds) if kinds is not None else None,
        limit=min(limit, MAX_LIMIT),
    )
    return [Memory.from_row(row) for row in rows]


def _fitting(memories: Sequence[Memory], room: int) -> list[Memory]:
    """Return those of `memories` whose lines fit into `room` tokens, in their order."""
    chosen: list[Memory] = []
    for memory in memories:
        cost = estimate_tokens(memory.line + "\n")
        if cost <= room:
            room -= cost
            chosen.append(memory)
    return chosen


semantic_search = SemanticSearch()
