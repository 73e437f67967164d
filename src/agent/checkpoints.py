"""LangGraph's Postgres checkpointer on our own connections: tenant-scoped, pruned, disposable.

The tables are LangGraph's, in schema `agents_checkpoints`; we add a tenant column and forced row-level security.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from agent.runtime import Runtime

_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
_READY = """
SELECT count(*) = 3 AND bool_and(relforcerowsecurity) AS ready FROM pg_class
 WHERE relnamespace = 'agents_checkpoints'::regnamespace AND relname = ANY (%s)
"""
_LOCK = 7_246_105_003


class Checkpointer(AsyncPostgresSaver):
    """A saver that takes a pooled connection for each operation and shows it the runtime's tenant only.

    Thread ids carry the tenant (`tenant/thread`), because LangGraph's keys do not.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # connections come from `_cursor`
        self._runtime = runtime

    @classmethod
    async def open(cls, runtime: Runtime) -> Checkpointer:
        """A saver whose tables exist and are isolated."""
        saver = cls(runtime)
        async with runtime.db.connection("agent_app") as conn:
            row = await (await conn.execute(_READY, [list(_TABLES)])).fetchone()
        if not (row and row["ready"]):
            await saver._make_tables()
        return saver

    def thread(self, thread_id: str) -> str:
        """The checkpointer's name of one of our threads."""
        return f"{self._runtime.tenant_id}/{thread_id}"

    async def prune_thread(self, thread_id: str) -> None:
        """Keep the newest checkpoint of a thread only: our rows are the history."""
        await self.aprune([self.thread(thread_id)])

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        async with self._runtime.connection() as conn:
            if pipeline:
                async with conn.pipeline(), conn.cursor(binary=True) as cursor:
                    yield cursor
            else:
                async with conn.cursor(binary=True) as cursor:
                    yield cursor

    async def _make_tables(self) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            await conn.execute("select pg_advisory_lock(%s)", [_LOCK])
            await conn.execute("set search_path = agents_checkpoints")
            try:
                await AsyncPostgresSaver(conn=conn).setup()
                for table in _TABLES:
                    await conn.execute(_ISOLATE[table])
            finally:
                await conn.execute("reset search_path")
                await conn.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _isolation(table: str) -> Any:
    return f"""
    ALTER TABLE agents_checkpoints.{table} ADD COLUMN IF NOT EXISTS tenant_id text;
    ALTER TABLE agents_checkpoints.{table} ALTER COLUMN tenant_id SET DEFAULT agents.tenant(), ALTER COLUMN tenant_id SET NOT NULL;
    ALTER TABLE agents_checkpoints.{table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE agents_checkpoints.{table} FORCE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS tenant_isolation ON agents_checkpoints.{table};
    CREATE POLICY tenant_isolation ON agents_checkpoints.{table} USING (tenant_id = (SELECT agents.tenant()));
    """


_ISOLATE = {table: _isolation(table) for table in _TABLES}
