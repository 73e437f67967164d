"""The vectors of memories: made at once by a local embedder, later and in batches by a remote one.

A memory without a vector is complete: it is found by its words. A vector space is registered, with its dimensions and
its own index, before its first vector is stored. After a change of the embedding model the old vectors wait for
`embed_pending` like missing ones do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from pgvector import Vector

from agent.db import Connection, Database, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError, ConfigurationError, InvalidInput, OperatorError
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)

_BATCH = 64
# Somebody waits for the search; retries of a struggling server are for embed_pending.
_PATIENCE = 5.0
_LEASE = timedelta(minutes=5)
# A text that the embedder refuses would be refused again: it is tried once a day.
_REFUSED_FOR = timedelta(days=1)

# What unrelated texts look like before there are enough memories to measure it: (mean, deviation) of their similarity.
_SEMANTIC_BACKGROUND = (0.15, 0.12)
_LEXICAL_BACKGROUND = (0.05, 0.06)

_Space = tuple[str, str, str, int]
_registered: WeakKeyDictionary[Database, set[_Space]] = WeakKeyDictionary()


async def vectors_for_saving(texts: Sequence[str], runtime: Runtime) -> list[str | None]:
    """Vectors of `texts` in Postgres's form, where the embedder is local and works; else None, to be made later."""
    if runtime.embedder.remote or not texts:
        return [None] * len(texts)
    try:
        vectors = await runtime.embedder.embed(texts)
        await register_model(len(vectors[0]), runtime)
    except AgentError as error:
        _log.warning("embedding_delayed", model=runtime.embedder.model, texts=len(texts), error=str(error))
        return [None] * len(texts)
    return [vector_literal(vector) for vector in vectors]


async def query_vector(query: str, runtime: Runtime) -> list[float] | None:
    """The vector of a search, or None when the embedder fails or is slow, or finds nothing in it to embed."""
    try:
        async with asyncio.timeout(min(_PATIENCE, runtime.settings.model_timeout)):
            vector = (await runtime.embedder.embed([query]))[0]
            return vector if any(vector) else None
    except (AgentError, TimeoutError) as error:
        _log.warning("search_without_embedding", model=runtime.embedder.model, error=repr(error))
        return None


async def register_model(dimensions: int, runtime: Runtime) -> None:
    """Make known the vector space of the runtime's embedder. Raises `ConfigurationError` on other dimensions."""
    space = (runtime.tenant_id, runtime.database_id, runtime.embedder.model, dimensions)
    known = _registered.setdefault(runtime.db, set())
    if space in known:
        return
    mean, deviation = _SEMANTIC_BACKGROUND if runtime.embedder.semantic else _LEXICAL_BACKGROUND
    parameters = {**scope(runtime), "dimensions": dimensions, "mean": mean, "deviation": deviation}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["register_model"], parameters)
        if row is not None and row["dimensions"] != dimensions:
            raise ConfigurationError(
                f"{runtime.embedder.model!r} answers vectors of {dimensions} dimensions, but memory holds vectors of "
                f"{row['dimensions']} under this name. Set AGENT_EMBEDDER to the model that made them, or to a new name."
            )
        await conn.execute(_QUERIES["index_model"], parameters)
    known.add(space)


async def calibrate(runtime: Runtime) -> None:
    """Measure how similar unrelated memories are, once there are enough of them."""
    async with runtime.transaction() as conn:
        await conn.execute(_QUERIES["calibrate"], scope(runtime))


def scope(runtime: Runtime) -> dict[str, Any]:
    """The parameters that every query of ours names."""
    return {
        "tenant_id": runtime.tenant_id,
        "database_id": runtime.database_id,
        "model": runtime.embedder.model,
    }


def vector_literal(vector: Sequence[float]) -> str:
    """`vector` as Postgres reads it, with the seven digits that it keeps: half the text to parse of pgvector's own."""
    return f"[{','.join(['%.7g'] * len(vector))}]" % tuple(vector)


async def embed_pending(limit: int | None, progress: Callable[[int, int], None] | None, runtime: Runtime) -> int:
    """Embed up to `limit` waiting memories, in batches; several processes share the work. Returns how many.

    Raises what the embedder raises, after what was claimed is given back.
    """
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["pending"], scope(runtime))
    waiting = row["pending"] if row else 0
    total = waiting if limit is None else min(limit, waiting)
    done = 0
    while done < total:
        claimed = await _claim(min(_BATCH, total - done), runtime)
        if not claimed:
            break  # others are embedding the rest
        done += await _embed_claimed(claimed, runtime)
        if progress is not None:
            progress(done, total)
    if done:
        await calibrate(runtime)
    return done


async def _claim(limit: int, runtime: Runtime) -> dict[int, str]:
    parameters = {**scope(runtime), "limit": limit, "lease": _LEASE}
    async with runtime.transaction() as conn:
        rows = await fetch_all(conn, _QUERIES["claim_pending"], parameters)
    return {row["id"]: row["content"] for row in rows}


async def _embed_claimed(claimed: dict[int, str], runtime: Runtime) -> int:
    ids = list(claimed)
    try:
        vectors = await runtime.embedder.embed(list(claimed.values()))
        await register_model(len(vectors[0]), runtime)
    except InvalidInput as error:
        return await _embed_without_refused(claimed, error, runtime)
    except OperatorError as error:
        _log.warning("embedding_delayed", model=runtime.embedder.model, texts=len(ids), error=str(error))
        await _release(ids, None, runtime)
        raise
    rows = [
        {"id": memory_id, "embedding": Vector(vector).to_text()} for memory_id, vector in zip(ids, vectors, strict=True)
    ]
    async with runtime.transaction() as conn:
        stored = await _store(rows, runtime, conn)
    _log.info("memories_embedded", model=runtime.embedder.model, memories=stored)
    return len(ids)


async def _store(rows: list[dict[str, Any]], runtime: Runtime, conn: Connection) -> int:
    result = await conn.execute(_QUERIES["store_embeddings"], {**scope(runtime), "rows": json.dumps(rows)})
    return result.rowcount


async def _embed_without_refused(claimed: dict[int, str], error: InvalidInput, runtime: Runtime) -> int:
    # One text that the server refuses must not keep the others from their vectors.
    if len(claimed) == 1:
        _log.warning("embedding_refused", memory=next(iter(claimed)), error=str(error))
        until = datetime.now().astimezone() + _REFUSED_FOR
        await _release(list(claimed), until, runtime)
        return 0
    return sum([await _embed_claimed({memory_id: text}, runtime) for memory_id, text in claimed.items()])


async def _release(ids: list[int], until: datetime | None, runtime: Runtime) -> None:
    async with runtime.transaction() as conn:
        await conn.execute(_QUERIES["release_claims"], {**scope(runtime), "ids": ids, "until": until})
