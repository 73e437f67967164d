"""What the agent remembers: statements with their kind, source, trust, evidence and validity.

Saving needs no model call and what is saved is found by the next search. An exact duplicate does not become a second
memory: it raises the evidence of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.errors import NotFound
from agent.learning.lexical import clean, clean_json, prepare
from agent.runtime import Runtime, current_runtime
from agent.types import MemoryKind, Trust

_queries = load_queries(__package__, "memory.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to be saved."""

    content: str
    kind: MemoryKind = "fact"
    subject: str | None = None
    trust: Trust = "agent"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_thread: str | None = None
    source_turn: int | None = None
    source_quote: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A stored memory; `score` is set where a search found it. Fields can be read as `memory["content"]` too."""

    id: int
    kind: MemoryKind
    content: str
    trust: Trust
    subject: str | None
    metadata: Mapping[str, Any]
    source_thread: str | None
    source_turn: int | None
    source_quote: str | None
    evidence_count: int
    use_count: int
    embedding_model: str | None
    valid_from: datetime
    valid_until: datetime | None
    created_at: datetime
    last_used_at: datetime | None
    score: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Memory:
        """A memory from a row of one of this package's queries."""
        return cls(**{name: row[name] for name in _FIELDS if name in row})

    def __getitem__(self, name: str) -> Any:
        if name not in _FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    @property
    def line(self) -> str:
        """The memory as a line of a prompt: kind, trust, content on one line, id."""
        return f"- [{self.kind}, {self.trust}] {' '.join(self.content.split())} (memory {self.id})"


_FIELDS = tuple(item.name for item in fields(Memory))


class AgentMemory:
    """Saves, reads and forgets memories of the current application database."""

    async def save(
        self,
        content: str,
        *,
        kind: MemoryKind = "fact",
        subject: str | None = None,
        trust: Trust = "agent",
        metadata: Mapping[str, Any] | None = None,
        source_thread: str | None = None,
        source_turn: int | None = None,
        source_quote: str | None = None,
        runtime: Runtime | None = None,
    ) -> Memory:
        """Remember one statement. Raises `InvalidInput` when there is no text."""
        item = NewMemory(
            content=content,
            kind=kind,
            subject=subject,
            trust=trust,
            metadata=metadata or {},
            source_thread=source_thread,
            source_turn=source_turn,
            source_quote=source_quote,
        )
        return (await self.save_many([item], runtime=runtime))[0]

    async def save_many(self, items: Sequence[NewMemory], *, runtime: Runtime | None = None) -> list[Memory]:
        """Remember all of `items` or, when one is refused, none; the result has their order."""
        runtime = runtime or await current_runtime()
        rows = [_row(item, runtime) for item in items]
        saved: list[Memory] = []
        async with runtime.transaction() as conn:
            for row in rows:
                await conn.execute(_queries["close_replaced_schema"], row)
                found = await (await conn.execute(_queries["save"], row)).fetchone()
                assert found is not None  # noqa: S101  # an upsert returns its row
                saved.append(Memory.from_row(found))
        return saved

    async def get(self, memory_id: int, *, runtime: Runtime | None = None) -> Memory:
        """The memory `memory_id`, also when it is no longer valid. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        async with runtime.transaction() as conn:
            row = await (await conn.execute(_queries["get"], {"id": memory_id, **_scope(runtime)})).fetchone()
        if row is None:
            raise NotFound(f"There is no memory {memory_id!r}. `agent memory list` shows what there is.")
        return Memory.from_row(row)

    async def forget(self, memory_id: int, *, runtime: Runtime | None = None) -> None:
        """Delete the memory `memory_id` for good. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        async with runtime.transaction() as conn:
            deleted = await conn.execute(_queries["forget"], {"id": memory_id, **_scope(runtime)})
        if deleted.rowcount == 0:
            raise NotFound(f"There is no memory {memory_id!r}. `agent memory list` shows what there is.")

    async def list_memories(
        self, kind: MemoryKind | None = None, limit: int = 50, *, runtime: Runtime | None = None
    ) -> list[Memory]:
        """The newest valid memories first."""
        runtime = runtime or await current_runtime()
        async with runtime.transaction() as conn:
            rows = await conn.execute(_queries["list"], {"kind": kind, "limit": limit, **_scope(runtime)})
            return [Memory.from_row(row) async for row in rows]

    async def counts(self, *, runtime: Runtime | None = None) -> dict[str, int]:
        """Valid memories by kind, their `total`, and how many are `unembedded`."""
        runtime = runtime or await current_runtime()
        parameters = {"model": runtime.embedder.model, **_scope(runtime)}
        async with runtime.transaction() as conn:
            rows = await (await conn.execute(_queries["counts"], parameters)).fetchall()
        counts = {row["kind"]: row["total"] for row in rows}
        return {
            **counts,
            "total": sum(counts.values()),
            "unembedded": sum(row["unembedded"] for row in rows),
        }

    async def embed_pending(
        self,
        limit: int | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        runtime: Runtime | None = None,
    ) -> int:
        """Embed what waits for its vector; returns how many. `progress(done, total)` is called after each batch."""
        return 0


def _scope(runtime: Runtime) -> dict[str, str]:
    return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}


def _row(item: NewMemory, runtime: Runtime) -> dict[str, Any]:
    content = prepare(item.content, subject=item.subject if item.kind == "schema" else None)
    return {
        **_scope(runtime),
        "kind": item.kind,
        "subject": clean(item.subject) if item.subject is not None else None,
        "content": content.text,
        "content_hash": content.digest,
        "metadata": Jsonb(clean_json(item.metadata)),
        "trust": item.trust,
        "source_thread": item.source_thread,
        "source_turn": item.source_turn,
        "source_quote": clean(item.source_quote) if item.source_quote is not None else None,
    }


agent_memory = AgentMemory()
