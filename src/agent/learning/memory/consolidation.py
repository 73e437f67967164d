"""Keeps memory healthy: merges statements that say the same, and forgets what is kept for a time only.

It goes on where it was interrupted: a statement is compared once, and a merge is one transaction. No model is called. What is
merged keeps its words and its source (`memory_wordings`), and goes with that source when it is erased.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import stamina

from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import NotFound
from agent.learning.memory.duplicates import signature
from agent.learning.memory.embeddings import scope
from agent.learning.memory.forgetting import concluded_from
from agent.learning.memory.meaning import may_be_one
from agent.learning.memory.records import STATED, Memory
from agent.learning.memory.store import agent_memory
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__, "consolidation.sql")
_BATCH = 2_000
_PAIRS = 500
_NEIGHBOURS = 4
# With MiniLM, wordings that differ in one word are nearer if they say the same ("whole", "entire": .98), and less near if not ("marketing",
# "sales": .93 at most among 20).
_NEAR = 0.96
_MERGE = ("keep_wordings", "move_wordings", "move_links", "add_uses", "add_evidence", "remove")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidated:
    """What a consolidation did: statements compared, memories merged into others and expired; `whole` says that nothing is left."""

    compared: int = 0
    merged: int = 0
    expired: int = 0
    whole: bool = True


async def consolidate(runtime: Runtime | None = None, budget: float | None = None) -> Consolidated:
    """Merge near-duplicates, and delete what was kept long enough, in at most `budget` seconds (None: until all is done)."""
    runtime = runtime or await current_runtime()
    end = None if budget is None else time.monotonic() + budget
    compared = merged = expired = 0

    def is_over() -> bool:
        return end is not None and time.monotonic() >= end

    while not is_over():
        batch = await runtime.all(_QUERIES["uncompared"], kinds=list(STATED), limit=_BATCH, **scope(runtime))
        if not batch:
            break
        signatures = await asyncio.to_thread(_signed, batch)
        merged += await _merge_same(signatures, runtime)
        merged += await _merge_near([row["id"] for row in batch], runtime)
        compared += len(batch)
    for kind, days in runtime.settings.memory_keep_days.items():
        while not is_over():
            gone = await runtime.execute(_QUERIES["expire"], kind=kind, days=days, limit=_BATCH, **scope(runtime))
            expired += gone
            if gone < _BATCH:
                break
    return Consolidated(compared=compared, merged=merged, expired=expired, whole=not is_over())


async def quarantine(memory_id: int, reason: str, *, runtime: Runtime | None = None) -> list[Memory]:
    """End the validity of a memory and of all that was concluded from it, until it is released. Raises `NotFound`."""
    runtime = runtime or await current_runtime()
    source = await agent_memory.get(memory_id, runtime=runtime)
    async with runtime.transaction() as conn:
        taken = [source, *await concluded_from([source], conn, runtime)]
        values = {**scope(runtime), "ids": [one.id for one in taken], "source": memory_id, "reason": reason}
        await conn.execute(_QUERIES["drop_derived"], values)
        await conn.execute(_QUERIES["quarantine"], values)
    return taken


async def release(memory_id: int, *, runtime: Runtime | None = None) -> int:
    """Make what was quarantined because of a memory valid again, and return how many. Raises `NotFound` if there is nothing."""
    runtime = runtime or await current_runtime()
    released = await runtime.execute(_QUERIES["release"], source=memory_id, **scope(runtime))
    if not released:
        raise NotFound(f"No memory is in quarantine because of memory {memory_id!r}.")
    return released


async def wordings(memory_id: int, *, runtime: Runtime) -> list[dict[str, Any]]:
    """Return what was merged into a memory, as it was said."""
    return await runtime.all(_QUERIES["wordings"], id=memory_id, **scope(runtime))


async def figures(*, runtime: Runtime | None = None) -> dict[str, Any]:
    """Return how many memories there are by kind, valid and not, merged, not compared or embedded yet, and by embedding model."""
    runtime = runtime or await current_runtime()
    kinds = await runtime.all(_QUERIES["figures"], **scope(runtime))
    merged = await runtime.one(_QUERIES["merged_figures"], kinds=list(STATED), **scope(runtime)) or {}
    models = await runtime.all(_QUERIES["models"], **scope(runtime))
    return {
        "kinds": {row.pop("kind"): row for row in kinds},
        **merged,
        "models": {row["model"]: row["memories"] for row in models},
    }


def _signed(batch: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    return {row["id"]: (signature(row["content"]) or b"").hex() for row in batch}


async def _merge_same(signatures: Mapping[int, str], runtime: Runtime) -> int:
    """Note signatures, merge the memories that have one of them in common, and return how many were merged."""
    rows = json.dumps([{"id": number, "signature": one} for number, one in signatures.items()])
    await runtime.execute(_QUERIES["sign"], rows=rows, **scope(runtime))
    groups = await runtime.all(_QUERIES["same"], signatures=sorted({*signatures.values()} - {""}), **scope(runtime))
    pairs = [(group["ids"][0], other) for group in groups for other in group["ids"][1:]]
    return sum([await _merge(pairs[start : start + _PAIRS], runtime) for start in range(0, len(pairs), _PAIRS)])


async def _merge_near(ids: Sequence[int], runtime: Runtime) -> int:
    """Merge statements whose vectors say that they mean the same and whose words do not say otherwise; return how many were merged.

    A lexical embedder knows words and no meanings, so it is not asked.
    """
    if not runtime.embedder.semantic:
        return 0
    merged = 0
    for start in range(0, len(ids), _PAIRS):
        near = await runtime.all(
            _QUERIES["near"],
            ids=list(ids[start : start + _PAIRS]),
            neighbours=_NEIGHBOURS,
            least=_NEAR,
            **scope(runtime),
        )
        taken: set[int] = set()
        pairs: list[tuple[int, int]] = []
        for row in near:
            if taken.isdisjoint((row["survivor"], row["merged"])) and may_be_one(row["one"], row["other"]):
                taken |= {row["survivor"], row["merged"]}
                pairs.append((row["survivor"], row["merged"]))
        merged += await _merge(pairs, runtime) if pairs else 0
    return merged


async def _merge(pairs: Sequence[tuple[int, int]], runtime: Runtime) -> int:
    """Merge memories into others, in one transaction, and return how many; those that are gone meanwhile are left out."""
    asked = json.dumps([{"survivor": survivor, "merged": merged} for survivor, merged in pairs])
    merged: list[int] = []
    async for attempt in stamina.retry_context(
        on=psycopg.errors.DeadlockDetected, attempts=5, wait_initial=0.01, wait_max=0.2
    ):
        with attempt:
            async with runtime.transaction() as conn:
                valid = await fetch_all(conn, _QUERIES["lock_pairs"], {**scope(runtime), "pairs": asked})
                merged = [row["merged"] for row in valid]
                values = {**scope(runtime), "pairs": json.dumps(valid), "merged": merged}
                for query in _MERGE if merged else ():
                    await conn.execute(_QUERIES[query], values)
    return len(merged)
