"""Which agents are alike: embeddings of what they can do, what they are given, and how they do it.

256 dimensions by feature hashing: each capability, each task type (by its share of the agent's runs) and each trait of behaviour adds
its weight to a place that its name determines. No model is asked, and a new kind of feature needs no retraining.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import agent.analytics.totals as totals
from agent.analytics.figures import Totals, figures_of
from agent.db import load_queries
from agent.errors import NotFound
from agent.runtime import Runtime
from agent.text.words import stems

_QUERIES = load_queries(__package__)
_MOST_EMBEDDED = 2_000  # of one maintenance; the others follow at the next ones
_MOST_CAPABILITIES = 100
_FEW = 300


def embedding_of(capabilities: Any, shares: Mapping[str, Totals], *, dimensions: int = 256) -> list[float]:
    """Return an agent's embedding, of length 1; zeros where nothing is known of it."""
    vector = [0.0] * dimensions
    for name, weight in _features(capabilities, shares):
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        place = int.from_bytes(digest[:4], "big") % dimensions
        vector[place] += weight if digest[4] & 1 else -weight
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def _features(capabilities: Any, shares: Mapping[str, Totals]) -> Iterator[tuple[str, float]]:
    listed = (
        capabilities if isinstance(capabilities, list) else list(capabilities) if isinstance(capabilities, dict) else []
    )
    names = [str(one)[:200] for one in listed[:_MOST_CAPABILITIES]]
    for name in names:
        yield f"can {name.lower()}", 1 / math.sqrt(len(names))
        for word in stems(name):
            yield f"word {word}", 0.5 / math.sqrt(len(names))
    runs = sum(one.runs for one in shares.values())
    for task, one in shares.items():
        share = math.sqrt(one.runs / runs)
        yield f"task {task.lower()}", share
        figures = figures_of(one)
        if figures.success_rate is not None:
            yield f"good at {task.lower()}", share * (figures.success_rate - 0.5)
        if figures.p50_execution_time:
            yield f"takes {round(math.log2(figures.p50_execution_time))} for {task.lower()}", share / 2


async def embed_all(*, only: str | None = None, runtime: Runtime) -> int:
    """Make the embedding of each agent of the registry (or of one) anew, and return how many."""
    cells = await totals.rows("cell", runtime=runtime)
    by_agent: dict[str, dict[str, Totals]] = {}
    for row in cells:
        by_agent.setdefault(row["agent_name"], {})[row["task_type"]] = Totals().add(row)
    listed = [one for one in await totals.registry(runtime=runtime) if only in (None, one.agent_id)][:_MOST_EMBEDDED]
    async with runtime.transaction() as conn:
        for one in listed:
            own = by_agent.get(one.agent_id, {})
            vector = embedding_of(one.capabilities, own, dimensions=runtime.settings.vector_size)
            if any(vector):
                values = {"tenant_id": runtime.tenant_id, "agent_name": one.agent_id, "embedding": str(vector)}
                await conn.execute(_QUERIES["save_embedding"], values)
    return len(listed)


async def nearest(name: str, *, most: int = 10, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the agents nearest to one, with their similarity, and whether it reaches the threshold. Raises `NotFound`."""
    await totals.fold(runtime=runtime)
    listed = await totals.registry(runtime=runtime)
    if not any(one.agent_id == name for one in listed):
        raise NotFound(f"There is no agent {name!r}: register it first (POST /agents/register).")
    # Of many agents the background keeps the embeddings; here only the one that is asked about is made anew.
    await embed_all(only=name if len(listed) > _FEW else None, runtime=runtime)
    rows = await runtime.all(_QUERIES["nearest_agents"], agent_name=name, most=most)
    least = runtime.settings.similarity_threshold
    return [
        {"agent_name": row["agent_name"], "similarity": round(row["similarity"], 4), "similar": row["similarity"] >= least} for row in rows
    ]  # fmt: skip


async def like(name: str, *, runtime: Runtime) -> dict[str, float]:
    """Return the agents that are similar to one, with their similarity; none where it is not registered."""
    try:
        found = await nearest(name, most=5, runtime=runtime)
    except NotFound:
        return {}
    return {one["agent_name"]: one["similarity"] for one in found if one["similar"]}
