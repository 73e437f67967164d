"""Measure a memory that is ten times as full: search at 1,000,000 realistic memories beside 100,000, and a day's consolidation.

BENCH_MEMORY_SCALE sets the larger number. At the smaller number search is also compared with the bare vector query and with
exact search, on the same realistic text and with the built-in embedder.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import dict_row

from agent.learning.memory import NewMemory, agent_memory
from agent.learning.memory.consolidation import consolidate
from agent.learning.memory.embeddings import calibrate, register_model, vector_literal
from agent.learning.semantic_search import semantic_search
from agent.providers.embeddings import HashingEmbedder
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from benchmarks.bench_memory import percentile, timed
from benchmarks.memory.filling import fill
from benchmarks.memory.text import texts
from benchmarks.report import Report

LARGE, TENTH = 1_000_000, 10
QUERIES, DAY, RARE = 300, 10_000, 500


@dataclass(frozen=True, slots=True)
class Store:
    """A filled database, with the texts of its memories by number and their vectors."""

    runtime: Runtime
    admin: str
    contents: list[str]
    vectors: Any
    first_id: int

    def questions(self, count: int, seed: int) -> list[str]:
        """Return questions as people ask them: a few words of some memory, and a few of another."""
        rng = random.Random(seed)
        found = []
        for _ in range(count):
            words = rng.choice(self.contents).split()
            kept = rng.sample(words, min(len(words), rng.randint(3, 7)))
            found.append(" ".join([*kept, *rng.sample(rng.choice(self.contents).split(), 2)]))
        return found


async def filled(cluster: Cluster, rows: int, report: Report) -> Store:
    """Create a database with `rows` memories, fold their statistics and build its indexes."""
    began = time.perf_counter()
    embedder = HashingEmbedder()
    settings = cluster.database(cluster.template("blank"))
    runtime = await open_runtime(settings, embedder=embedder)
    await register_model(embedder.dimensions, runtime)
    admin = settings.database_url.get_secret_value()
    made = [text for _, text in itertools.islice(texts(rows, seed=rows), rows)]
    kinds = [kind for kind, _ in itertools.islice(texts(rows, seed=rows), rows)]
    vectors = np.empty((len(made), embedder.dimensions), dtype=np.float32)
    first_id = await asyncio.to_thread(_fill, admin, runtime.database_id, embedder, kinds, made, vectors)
    await runtime.execute("select agents.fold_memory_changes(%(database_id)s)", database_id=runtime.database_id)
    await calibrate(runtime)
    with psycopg.connect(admin, autocommit=True) as conn:
        for table in ("agent_memory", "memory_terms", "memory_changes"):
            conn.execute(f"vacuum analyze agents.{table}")
    report.note(f"{rows:,} memories made, stored and indexed in {time.perf_counter() - began:.0f} s")
    return Store(runtime, admin, made, vectors, first_id)


def _fill(
    admin: str, database_id: str, embedder: HashingEmbedder, kinds: list[Any], made: list[str], vectors: Any
) -> int:
    def rows() -> Iterator[list[object]]:
        for number, text in enumerate(made):
            vectors[number] = embedder._vector(text)  # a thread of its own for each batch takes longer
            digest = hashlib.sha256(f"{number} {text}".encode()).digest()
            kind = "skill" if number % RARE == 1 else kinds[number]
            vector = vector_literal(vectors[number].tolist())
            yield ["default", database_id, kind, text, digest, "agent", vector, embedder.model]

    return fill(admin, rows(), work_memory="3GB")


def _searching(store: Store, question: str, **options: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: semantic_search.search_memories(question, runtime=store.runtime, **options)


async def speed(store: Store) -> list[float]:
    """Return the milliseconds of searches in a warm store."""
    calls = [_searching(store, question) for question in store.questions(QUERIES, 3)]
    await timed(calls)
    return await timed(calls)


_BARE = """
SELECT id, content FROM agents.agent_memory
 WHERE tenant_id = 'default' AND database_id = %(database)s AND valid_until IS NULL AND embedding_model = %(model)s
 ORDER BY embedding::vector(384) <=> %(vector)s::vector LIMIT 5
"""


async def beside_the_bare_query(store: Store, report: Report) -> None:
    """Compare hybrid search with the bare vector query, and dense search with exact search; time a rare kind."""
    embedder, questions = HashingEmbedder(), store.questions(QUERIES, 5)
    vectors = await embedder.embed(questions)
    async with await psycopg.AsyncConnection.connect(store.admin, autocommit=True, row_factory=dict_row) as conn:
        await conn.execute("set hnsw.iterative_scan = relaxed_order")

        def bare(vector: list[float]) -> Callable[[], Awaitable[Any]]:
            values = {"database": store.runtime.database_id, "model": embedder.model, "vector": vector_literal(vector)}

            async def call() -> Any:
                return await (await conn.execute(_BARE, values)).fetchall()

            return call

        pairs = [
            (bare(vector), _searching(store, question)) for vector, question in zip(vectors, questions, strict=True)
        ]
        await timed([call for pair in pairs[:100] for call in pair])
        times = [(await timed(list(pair))) for pair in pairs]  # alternating: what else the machine does falls on both
    for name, share, bar in (("p50", 0.5, 3), ("p95", 0.95, 4)):
        base, ours = (percentile([one[side] for one in times], share) for side in (0, 1))
        report.bar(
            f"hybrid search {name}, {len(store.contents):,} realistic memories", bar=f"<= {bar}x the bare vector query",
            reached=f"{ours / base:.2f}x ({ours:.2f} ms, bare {base:.2f} ms)", ok=ours <= bar * base,
        )  # fmt: skip
    recalls = []
    for vector, question in zip(vectors, questions, strict=True):
        similarity = store.vectors @ np.array(vector, dtype=np.float32)
        tenth = np.sort(similarity)[-10]
        found = await semantic_search.search_memories(question, 10, mode="dense", runtime=store.runtime)
        # Equally near memories are equally right.
        recalls.append(sum(similarity[one.id - store.first_id] >= tenth - 1e-6 for one in found) / 10)
    recall = float(np.mean(recalls))
    report.bar(
        "dense recall@10, built-in embedder", bar=">= 0.95 of exact search", reached=f"{recall:.3f}", ok=recall >= 0.95
    )
    p50 = percentile(await timed([_searching(store, question, kinds=["skill"]) for question in questions]), 0.5)
    report.bar("search by a rare kind, p50", bar="<= 10 ms", reached=f"{p50:.1f} ms", ok=p50 <= 10)


async def a_day(store: Store, report: Report) -> None:
    """Save a day's memories, half of them other wordings, and consolidate them."""
    items = []
    for number in range(DAY // 2):
        name, days = f"the client {number}x{number % 97}", number % 89 + 2
        items += [
            NewMemory(content=f"{name} pays invoices after {days} days"),
            NewMemory(content=f"After {days} days, {name} pays invoices."),
        ]
    began = time.perf_counter()
    await agent_memory.save_many(items, runtime=store.runtime)
    saving = time.perf_counter() - began
    already = await consolidate(store.runtime, 0.0)
    assert already.compared == 0  # what was there before was compared
    began = time.perf_counter()
    done = await consolidate(store.runtime)
    took = time.perf_counter() - began
    report.bar(
        f"consolidation of a day's {DAY:,} memories in a store of {len(store.contents):,}", bar="<= 20x the time of saving them",
        reached=f"{took / saving:.2f}x ({took:.1f} s, saving {saving:.1f} s; {done.merged:,} merged)", ok=took <= 20 * saving,
    )  # fmt: skip


async def measure(report: Report) -> None:
    """Measure the smaller store, then the larger one, on a throw-away server."""
    large = int(os.environ.get("BENCH_MEMORY_SCALE", LARGE))
    cluster = Cluster()
    try:
        small = await filled(cluster, large // TENTH, report)
        await beside_the_bare_query(small, report)
        before = await speed(small)
        await consolidate(small.runtime)
        await a_day(small, report)
        await small.runtime.close()
        full = await filled(cluster, large, report)
        after = await speed(full)
        await full.runtime.close()
        ratio = percentile(after, 0.95) / percentile(before, 0.95)
        report.bar(
            f"search p95 at {large:,} memories", bar=f"<= 3x the p95 at {large // TENTH:,}",
            reached=f"{ratio:.2f}x ({percentile(after, 0.95):.1f} ms, {percentile(before, 0.95):.1f} ms; p50 {percentile(after, 0.5):.1f}"
            f" and {percentile(before, 0.5):.1f} ms)", ok=ratio <= 3,
        )  # fmt: skip
    finally:
        cluster.close()
