"""Embeds memories: at once with a local embedder, later and in batches with a remote one.

A memory without a vector is complete: a search finds it by its words. A vector space is registered, with its dimensions and
its own index, before its first vector is stored. After a change of the embedding model, `embed_pending` replaces the old
vectors as it adds missing ones.
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

from agent.breaker import Breaker, CircuitOpen
from agent.db import Database, load_queries
from agent.db.queries import fetch_one
from agent.errors import AgentError, ConfigurationError, InvalidInput, OperatorError
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)

_BATCH = 64
# Seconds. A user waits for the search, so retries are left to embed_pending.
_QUERY_TIMEOUT = 5.0
_LEASE = timedelta(minutes=5)
# A text that the embedder refused is tried again once a day.
_RETRY_REFUSED = timedelta(days=1)

# The assumed similarity of unrelated texts (mean, deviation), until there are enough memories to measure it.
_SEMANTIC_BACKGROUND = (0.15, 0.12)
LEXICAL_BACKGROUND = (0.05, 0.06)

# One for each model: whether searches ask its server.
BREAKERS: Cache[Breaker] = Cache()

_Space = tuple[str, str, str, int]
_registered: WeakKeyDictionary[Database, set[_Space]] = WeakKeyDictionary()


async def vectors_for_saving(texts: Sequence[str], runtime: Runtime) -> list[str | None]:
    """Return the vectors of `texts` in Postgres's form; None for each where the embedder is remote or fails, to be embedded later."""
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
    """Return the vector of a search; None when the embedder fails, is slow or returns zeros only.

    An embedder that failed is left alone for a while, so that only one search waits for it.
    """
    embedder = runtime.embedder
    # Remote embedders have a quicker way for one text; the protocol does not ask for one.
    embed_query = getattr(embedder, "embed_query", None)

    async def embed() -> list[float]:
        async with asyncio.timeout(min(_QUERY_TIMEOUT, runtime.settings.model_timeout)):
            vector: list[float] = await embed_query(query) if embed_query else (await embedder.embed([query]))[0]
            return vector

    breaker = BREAKERS.get(runtime, embedder.model) or BREAKERS.put(runtime, Breaker(embedder.model), embedder.model)
    try:
        vector = await breaker.call(embed, failed=(OperatorError, TimeoutError))
    except CircuitOpen:
        return None
    except (AgentError, TimeoutError) as error:
        _log.warning("search_without_embedding", model=embedder.model, error=repr(error))
        return None
    return vector if any(vector) else None


async def register_model(dimensions: int, runtime: Runtime) -> None:
    """Register the vector space of the runtime's embedder. Raises `ConfigurationError` when it has other dimensions."""
    space = (runtime.tenant_id, runtime.database_id, runtime.embedder.model, dimensions)
    known = _registered.setdefault(runtime.db, set())
    if space in known:
        return
    mean, deviation = _SEMANTIC_BACKGROUND if runtime.embedder.semantic else LEXICAL_BACKGROUND
    parameters = {**scope(runtime), "dimensions": dimensions, "mean": mean, "deviation": deviation}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["register_model"], parameters)
        if row is not None and row["dimensions"] != dimensions:
            raise ConfigurationError(
                f"{runtime.embedder.model!r} returns vectors of {dimensions} dimensions, but memory holds vectors of "
                f"{row['dimensions']} under this name. Set AGENT_EMBEDDER to the model that created them, or to a new name."
            )
        await conn.execute(_QUERIES["index_model"], parameters)
    known.add(space)


async def calibrate(runtime: Runtime) -> None:
    """Measure the similarity of unrelated memories, when there are enough of them."""
    await runtime.execute(_QUERIES["calibrate"], **scope(runtime))


def scope(runtime: Runtime) -> dict[str, Any]:
    """Return the parameters that every query of this package needs."""
    return {
        "tenant_id": runtime.tenant_id,
        "database_id": runtime.database_id,
        "model": runtime.embedder.model,
    }


def vector_literal(vector: Sequence[float]) -> str:
    """Return `vector` in Postgres's form with seven digits, which are all that it keeps: half as long as pgvector's own text."""
    return f"[{','.join(['%.7g'] * len(vector))}]" % tuple(vector)


async def embed_pending(limit: int | None, progress: Callable[[int, int], None] | None, runtime: Runtime) -> int:
    """Embed up to `limit` waiting memories in batches and return their number; several processes may share the work.

    When the embedder raises, the claims are released and the error passes.
    """
    row = await runtime.one(_QUERIES["pending"], **scope(runtime))
    waiting = row["pending"] if row else 0
    total = waiting if limit is None else min(limit, waiting)
    done = 0
    while done < total:
        claimed = await _claim(min(_BATCH, total - done), runtime)
        if not claimed:
            break  # other processes are embedding the rest
        done += await _embed_claimed(claimed, runtime)
        if progress is not None:
            progress(done, total)
    if done:
        await calibrate(runtime)
    return done


async def _claim(limit: int, runtime: Runtime) -> dict[int, str]:
    rows = await runtime.all(_QUERIES["claim_pending"], limit=limit, lease=_LEASE, **scope(runtime))
    return {row["id"]: row["content"] for row in rows}


async def _embed_claimed(claimed: dict[int, str], runtime: Runtime) -> int:
    ids = list(claimed)
    try:
        vectors = await runtime.embedder.embed(list(claimed.values()))
        await register_model(len(vectors[0]), runtime)
    except InvalidInput as error:
        return await _embed_one_by_one(claimed, error, runtime)
    except OperatorError as error:
        _log.warning("embedding_delayed", model=runtime.embedder.model, texts=len(ids), error=str(error))
        await _release(ids, None, runtime)
        raise
    rows = [
        {"id": memory_id, "embedding": Vector(vector).to_text()} for memory_id, vector in zip(ids, vectors, strict=True)
    ]
    stored = await runtime.execute(_QUERIES["store_embeddings"], rows=json.dumps(rows), **scope(runtime))
    _log.info("memories_embedded", model=runtime.embedder.model, memories=stored)
    return len(ids)


async def _embed_one_by_one(claimed: dict[int, str], error: InvalidInput, runtime: Runtime) -> int:
    # One text that the server refuses must not keep the others from being embedded.
    if len(claimed) == 1:
        _log.warning("embedding_refused", memory=next(iter(claimed)), error=str(error))
        until = datetime.now().astimezone() + _RETRY_REFUSED
        await _release(list(claimed), until, runtime)
        return 0
    return sum([await _embed_claimed({memory_id: text}, runtime) for memory_id, text in claimed.items()])


async def _release(ids: list[int], until: datetime | None, runtime: Runtime) -> None:
    await runtime.execute(_QUERIES["release_claims"], ids=ids, until=until, **scope(runtime))
