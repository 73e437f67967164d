"""Fill the table of memories fast: rows by COPY, and the indexes afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg

COLUMNS = "tenant_id, database_id, kind, content, content_hash, trust, embedding, embedding_model"


def fill(admin: str, rows: Iterable[Sequence[object]], *, work_memory: str) -> int:
    """Copy rows with the values of `COLUMNS` into an empty table at the URL `admin`, and return the number of the first one."""
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("select set_config('maintenance_work_mem', %s, false)", [work_memory])
        indexes = conn.execute(
            "select indexname, indexdef from pg_indexes where schemaname = 'agents' and tablename = 'agent_memory'"
            " and (indexdef like '%hnsw%' or indexdef like '%gin%')"
        ).fetchall()
        for name, _ in indexes:
            conn.execute(f"drop index agents.{name}")
        with conn.cursor() as cursor, cursor.copy(f"copy agents.agent_memory ({COLUMNS}) from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        for _, definition in indexes:
            conn.execute(definition)
        first = conn.execute("select min(id) from agents.agent_memory").fetchone()
        return int(first[0]) if first else 0
