"""Stores the agent's memories: statements with their kind, source, trust, evidence and validity.

Saving needs no model call, and the next search finds what was saved. An exact duplicate is no second memory: it raises the
evidence of the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import stamina
import structlog

from agent.db import load_queries
from agent.errors import ConfigurationError, InvalidInput, NotFound, ProviderUnavailable
from agent.learning.memory.content import Content, prepare, quoted_texts
from agent.learning.memory.contradiction import contradicts, says_the_same
from agent.learning.memory.embeddings import calibrate, embed_pending, scope, vectors_for_saving
from agent.learning.memory.forgetting import Forgotten, forget
from agent.learning.memory.records import STATED, Link, Memory, NewMemory
from agent.privacy.typed_secrets import without_typed_secrets
from agent.runtime import Runtime, current_runtime
from agent.text.storable import storable, storable_json
from agent.types import MemoryKind, Trust

_QUERIES, _UPKEEP = load_queries(__package__), load_queries(__package__, "consolidation.sql")
_log = structlog.get_logger(__name__)

_BATCH = 500
_FOLD_EVERY = 64
_SHOWN = 80  # characters of a memory that a message names
# Two processes replaced the same schema memory, or locked the same memories in another order: try again.
_RETRIED = (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What came of a statement: its memory and those whose place it took, or the human's statement that stands against it."""

    memory: Memory | None = None
    replaced: tuple[Memory, ...] = ()
    stands: Memory | None = None

    @property
    def message(self) -> str:
        """What a person must hear of it."""
        if self.memory is None:
            return f"Not remembered: {_named(self.stands)}, which a human said, says otherwise" if self.stands else ""
        told = f"Remembered as memory {self.memory.id}"
        if not self.replaced:
            return told
        others = ", ".join(map(_named, self.replaced))
        return f"{told} in place of {others}; `agent memory restore {self.replaced[0].id}` takes that back"


class AgentMemory:
    """Saves, reads and deletes memories of the current application database. It has no state."""

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
        speaker: str | None = None,
        used: Sequence[int] = (),
        derived_from: Sequence[int] = (),
        runtime: Runtime | None = None,
    ) -> Memory:
        """Save one statement; `used` are the memories that led to it. Raises `InvalidInput` when there is no text.

        What a human states takes the place of what says otherwise about the same thing; see `teach`.
        """
        item = NewMemory(
            content=content,
            kind=kind,
            subject=subject,
            trust=trust,
            metadata=metadata or {},
            source_thread=source_thread,
            source_turn=source_turn,
            source_quote=source_quote,
            speaker=speaker,
        )
        if trust == "human" and kind in STATED:
            taught = await self.teach(item, used=used, runtime=runtime)
            if taught.memory is not None:
                return taught.memory
        return (await self.save_many([item], used=used, derived_from=derived_from, runtime=runtime))[0]

    async def teach(
        self, item: NewMemory, *, used: Sequence[int] = (), corrects: Sequence[int] = (), runtime: Runtime | None = None
    ) -> Taught:
        """Save a statement that is newer than all others. What says otherwise about the same thing is no longer valid.

        A human's statement takes the place of anybody's. Another one is not saved if it contradicts a human's. `corrects` are
        the turns whose answers it corrects; they are no longer valid either. Nothing is deleted: `restore` takes it back.
        """
        runtime = runtime or await current_runtime()
        item = replace(item, content=storable(item.content))
        rows = await runtime.all(_QUERIES["alike"], query=item.content, kinds=list(STATED), **scope(runtime))
        alike = [Memory.from_row(row) for row in rows]
        against = [memory for memory in alike if contradicts(item.content, memory.content)]
        by_human = next((memory for memory in against if memory.trust == "human"), None)
        if by_human is not None and item.trust != "human":
            return Taught(stands=by_human)
        same = next((memory for memory in alike if says_the_same(item.content, memory.content)), None)
        if same is not None:
            item = replace(item, content=same.content)
        links = {"replaces": [memory.id for memory in against], "corrects": list(corrects)}
        (saved,) = await self._save([item], used, links, runtime)
        return Taught(memory=saved, replaced=tuple(against))

    async def restore(self, memory_id: int, *, runtime: Runtime | None = None) -> Memory:
        """Make a memory valid again whose place another one took, and end the validity of that one.

        Raises `NotFound`, and `InvalidInput` when there is nothing to take back.
        """
        runtime = runtime or await current_runtime()
        memory = await self.get(memory_id, runtime=runtime)
        if memory.valid_until is None or memory.kind == "schema":
            raise InvalidInput(f"Memory {memory_id!r} was not replaced: there is nothing to restore.")
        try:
            await runtime.execute(_QUERIES["restore"], id=memory_id, **scope(runtime))
        except psycopg.errors.UniqueViolation as error:
            raise InvalidInput(f"A valid memory has the same text as {memory_id!r} already.") from error
        return await self.get(memory_id, runtime=runtime)

    async def end(self, ids: Sequence[int], *, runtime: Runtime | None = None) -> None:
        """End the validity of these memories: they are recalled no more, and `restore` brings them back."""
        if ids:
            runtime = runtime or await current_runtime()
            await runtime.execute(_QUERIES["end"], ids=list(ids), **scope(runtime))

    async def confirm(self, ids: Sequence[int], *, runtime: Runtime | None = None) -> None:
        """Note that a human called these memories' answers right."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["confirm"], ids=list(ids), **scope(runtime))

    async def links(self, memory_id: int, *, runtime: Runtime | None = None) -> list[Link]:
        """Return what a memory has to do with others."""
        runtime = runtime or await current_runtime()
        return [Link(**row) for row in await runtime.all(_QUERIES["links"], id=memory_id, **scope(runtime))]

    async def turn_memories(self, thread_id: str, turn: int, *, runtime: Runtime | None = None) -> list[Memory]:
        """Return the valid memories of one turn of a conversation."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["of_turn"], thread=thread_id, turn=turn, **scope(runtime))
        return [Memory.from_row(row) for row in rows]

    async def save_many(
        self,
        items: Sequence[NewMemory],
        *,
        used: Sequence[int] = (),
        derived_from: Sequence[int] = (),
        runtime: Runtime | None = None,
    ) -> list[Memory]:
        """Save all `items`, or none when one is refused, and return the memories in the same order.

        An item with the same text as a stored memory, or that only quotes one, raises its evidence. `used` are the memories
        that led to the items; they count as used, as with `record_use`. When one of `derived_from` is forgotten, the items go
        too. Passwords, card numbers and keys in the text are replaced. Raises `InvalidInput` for an item without text.
        """
        return await self._save(items, used, {"derived": list(derived_from)}, runtime or await current_runtime())

    async def _save(
        self, items: Sequence[NewMemory], used: Sequence[int], links: Mapping[str, list[int]], runtime: Runtime
    ) -> list[Memory]:
        prepared = await _without_quotes([_Prepared.of(item) for item in items], runtime)
        rows = _merged(prepared)
        embeddings = await vectors_for_saving([row["content"] for row in rows], runtime)
        for row, embedding in zip(rows, embeddings, strict=True):
            row["embedding"] = embedding
        saved = await _store(rows, used, links, runtime)
        await _maintain(saved.values(), runtime)
        return [saved[entry.digest] for entry in prepared]

    async def get(self, memory_id: int, *, runtime: Runtime | None = None) -> Memory:
        """Return the memory `memory_id`, also when it is no longer valid. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["get"], id=memory_id, **scope(runtime))
        if row is None:
            merged = await runtime.one(_UPKEEP["merged_into"], id=memory_id)
            where = (
                f"It was merged into memory {merged['memory_id']}."
                if merged
                else "`agent memory list` shows what there is."
            )
            raise NotFound(f"There is no memory {memory_id!r}. {where}")
        return Memory.from_row(row)

    async def forget(self, memory_id: int, *, runtime: Runtime | None = None) -> Forgotten:
        """Delete a memory for good, with what says the same and what was concluded from it. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        return await forget(await self.get(memory_id, runtime=runtime), runtime)

    async def list_memories(
        self,
        kind: MemoryKind | None = None,
        limit: int = 50,
        *,
        before: int | None = None,
        runtime: Runtime | None = None,
    ) -> list[Memory]:
        """Return the newest valid memories, the newest first, or those older than `before`; of all kinds when `kind` is None."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["list"], kind=kind, limit=limit, before=before, **scope(runtime))
        return [Memory.from_row(row) for row in rows]

    async def record_use(self, ids: Sequence[int], *, runtime: Runtime | None = None) -> None:
        """Count a use of each of these memories: they were given to a model."""
        if not ids:
            return
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["record_use"], used=list(ids), **scope(runtime))

    async def counts(self, *, runtime: Runtime | None = None) -> dict[str, int]:
        """Return the number of valid memories by kind, their `total`, and how many the current model has not embedded (`unembedded`)."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["counts"], **scope(runtime))
        counts = {row["kind"]: row["total"] for row in rows}
        unembedded = sum(row["unembedded"] for row in rows)
        return {**counts, "total": sum(counts.values()), "unembedded": unembedded}

    async def embed_pending(
        self,
        limit: int | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        strict: bool = False,
        runtime: Runtime | None = None,
    ) -> int:
        """Embed the memories that have no vector of the current model and return their number.

        `progress(done, total)` is called after each batch. Several processes may run it at once. When the embedder fails, a
        warning is logged and the rest stays waiting; with `strict` its `OperatorError` is raised too.
        """
        runtime = runtime or await current_runtime()
        done = 0

        def count(embedded: int, total: int) -> None:
            nonlocal done
            done = embedded
            if progress is not None:
                progress(embedded, total)

        try:
            return await embed_pending(limit, count, runtime)
        except (ConfigurationError, ProviderUnavailable):
            if strict:
                raise
            return done


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An item with the content to store, and the texts that it quotes if it is nothing but quotations."""

    item: NewMemory
    content: Content
    quoted: tuple[Content, ...]

    @classmethod
    def of(cls, item: NewMemory) -> _Prepared:
        subject = storable(item.subject) if item.kind == "schema" and item.subject is not None else None
        if item.kind != "schema":
            item = replace(
                item,
                content=without_typed_secrets(item.content),
                source_quote=item.source_quote and without_typed_secrets(item.source_quote),
            )
        content = prepare(item.content, subject=subject)
        quoted = () if item.kind == "schema" else quoted_texts(content.text)
        return cls(item, content, tuple(prepare(text) for text in quoted))

    @property
    def digest(self) -> str:
        return self.content.digest.hex()

    def row(self) -> dict[str, Any]:
        """Return the values for the query `save`, without the embedding."""
        item = self.item
        return {
            "kind": item.kind,
            "subject": storable_json(item.subject),
            "content": self.content.text,
            "content_hash": self.digest,
            "metadata": storable_json(item.metadata),
            "trust": item.trust,
            "source_thread": storable_json(item.source_thread),
            "source_turn": item.source_turn,
            "source_quote": storable_json(item.source_quote),
            "speaker": storable_json(item.speaker),
            "evidence_count": 1,
        }


def _named(memory: Memory | None) -> str:
    text = " ".join(memory.content.split()) if memory else ""
    return f"memory {memory.id} ({text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''})" if memory else ""


async def _without_quotes(prepared: list[_Prepared], runtime: Runtime) -> list[_Prepared]:
    """Replace the content of each item that only quotes stored memories by the first memory that it quotes."""
    hashes = {content.digest.hex() for entry in prepared for content in entry.quoted}
    if not hashes:
        return prepared
    rows = await runtime.all(_QUERIES["known_hashes"], hashes=list(hashes), **scope(runtime))
    known = {row["content_hash"] for row in rows}
    return [
        replace(entry, content=entry.quoted[0])
        if entry.quoted and all(content.digest.hex() in known for content in entry.quoted)
        else entry
        for entry in prepared
    ]


def _merged(prepared: Sequence[_Prepared]) -> list[dict[str, Any]]:
    """Return one row for each text, because a statement cannot update a memory twice. A quotation counts for all that it quotes."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in prepared:
        contents = entry.quoted if entry.content in entry.quoted else (entry.content,)
        for content in contents:
            row = replace(entry, content=content).row()
            if row["content_hash"] in rows:
                rows[row["content_hash"]]["evidence_count"] += 1
                if row["trust"] == "human":
                    rows[row["content_hash"]]["trust"] = "human"
            else:
                rows[row["content_hash"]] = row
    return list(rows.values())


async def _store(
    rows: Sequence[dict[str, Any]], used: Sequence[int], links: Mapping[str, list[int]], runtime: Runtime
) -> dict[str, Memory]:
    """Save all rows in one transaction and return the memories by their hash."""
    saved: dict[str, Memory] = {}
    # One statement is a transaction of its own, in one round trip.
    linked = {relation: ids for relation, ids in links.items() if ids}
    single = len(rows) <= _BATCH and not linked and not any(row["kind"] == "schema" for row in rows)
    async for attempt in stamina.retry_context(on=_RETRIED, attempts=5, wait_initial=0.01, wait_max=0.2):
        with attempt:
            async with runtime.connection() if single else runtime.transaction() as conn:
                for start in range(0, len(rows), _BATCH):
                    batch = json.dumps(rows[start : start + _BATCH])
                    parameters = {**scope(runtime), "rows": batch, "used": list(used) if start == 0 else []}
                    if any(row["kind"] == "schema" for row in rows[start : start + _BATCH]):
                        await conn.execute(_QUERIES["close_replaced_schemas"], parameters)
                    async for row in await conn.execute(_QUERIES["save"], parameters):
                        saved[row["content_hash"]] = Memory.from_row(row)
                for relation, earlier in linked.items():
                    ids = {"ids": [memory.id for memory in saved.values()], "earlier": earlier, "relation": relation}
                    await conn.execute(_QUERIES["link"], {**scope(runtime), **ids})
    return saved


async def _maintain(saved: Collection[Memory], runtime: Runtime) -> None:
    """Fold saved memories into the search statistics from time to time. A search counts those not folded yet, too."""
    if not any(memory.id % _FOLD_EVERY == 0 for memory in saved):
        return
    try:
        await runtime.execute(_QUERIES["fold"], **scope(runtime))
        await calibrate(runtime)
    except psycopg.Error as error:  # the memories are stored; the next fold includes them
        _log.warning("memory_statistics_not_folded", error=str(error))


agent_memory = AgentMemory()
