"""Checks for `agent status` that a memory can be stored and found: it stores and finds one, then rolls back."""

from __future__ import annotations

import hashlib
import json

import psycopg

from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import SetupRequired
from agent.learning.memory.embeddings import scope, vector_literal
from agent.runtime import Runtime

_QUERIES = {**load_queries(__package__), **load_queries("agent.learning")}
_TEXT = "A memory that agent status stores, finds and takes back."
# A vector space of its own needs no embedder and holds no other memory.
_MODEL = "agent status"
_VECTOR = (1.0, 0.0)


async def check_memory(*, runtime: Runtime) -> None:
    """Store and find a memory as agent_app, in a transaction that is rolled back.

    Raises `SetupRequired` when that fails, `DatabaseUnavailable`.
    """
    row: dict[str, object] = {
        "kind": "fact", "subject": None, "content": _TEXT, "content_hash": hashlib.sha256(_TEXT.encode()).hexdigest(),
        "metadata": {}, "trust": "agent", "source_thread": None, "source_turn": None, "source_quote": None, "speaker": None,
        "evidence_count": 1, "embedding": vector_literal(_VECTOR),
    }  # fmt: skip
    values = {
        **scope(runtime), "model": _MODEL, "dimensions": len(_VECTOR), "mean": 0.0, "deviation": 0.1, "rows": json.dumps([row]),
        "used": [], "query": _TEXT, "embedding": list(_VECTOR), "kinds": ["fact"], "limit": 5,
    }  # fmt: skip
    try:
        async with runtime.connection() as conn, conn.transaction(force_rollback=True):
            for name in ("register_model", "save", "search"):
                rows = await fetch_all(conn, _QUERIES[name], values)
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error)
        raise SetupRequired(
            f"agent_app can neither store nor find a memory ({message}). If a right is missing, this gives it:"
        ) from error
    if _TEXT not in {row["content"] for row in rows}:
        raise SetupRequired("agent_app stored a memory and did not find it again. Look into the server's log; then run")
