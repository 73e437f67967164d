"""Run LangGraph's Postgres checkpointer on the runtime's connections, for one tenant. Checkpoints are pruned and may be lost.

The tables are LangGraph's, in the schema `agents_checkpoints`, with a tenant column and forced row-level security added.
A checkpoint is stored in one round trip; LangGraph's own saver needs a pipeline and a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import TASKS
from langgraph.constants import START
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from agent.db import Connection, load_queries, locks
from agent.db.paths import LOOK_UP_IN_FROM_NOW, WITH_OUR_TABLES
from agent.db.queries import fetch_one
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
_PLAIN = (str, int, float, bool, type(None))
_TO_MODEL, _TO_HUMAN = "branch:to:act", "human_approval"
_BLOB = ("thread", "namespace", "channel", "version", "type", "blob")
_WRITE_COLUMNS = 9
_POLL_SECONDS = 0.05


class Checkpointer(AsyncPostgresSaver):
    """A checkpointer that takes a pooled connection for each operation and sees only the rows of the runtime's tenant.

    Its thread ids are `tenant/thread`, because LangGraph's keys have no tenant.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # connections come from `_cursor`
        self._runtime = runtime
        # For each thread, the channels that changed in checkpoints that were not stored; the next stored one includes them.
        self._unstored: dict[str, set[str]] = {}

    @classmethod
    async def open(cls, runtime: Runtime) -> Checkpointer:
        """Return a checkpointer, after creating its tables and their row-level security where they are missing."""
        saver = cls(runtime)
        async with runtime.connection() as conn:
            row = await fetch_one(conn, _QUERIES["tables_ready"], [list(_TABLES)])
        if not (row and row["ready"]):
            await saver._create_tables()
        return saver

    async def prune_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread but the newest: the thread's own rows are its history."""
        await self.aprune([f"{self._runtime.tenant_id}/{thread_id}"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint: plain values in its row, the values of other channels once for each version."""
        parent = config["configurable"]
        thread_id, namespace = parent["thread_id"], parent.get("checkpoint_ns", "")
        stored = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint["id"]}
        changed = {*self._unstored.pop(thread_id, ()), *new_versions}
        if not _worth_storing(checkpoint, new_versions):
            self._unstored[thread_id] = changed
            return {"configurable": stored}
        plain, large = _split(checkpoint["channel_values"])
        versions = {
            name: version for name, version in checkpoint["channel_versions"].items() if name in changed & set(large)
        }
        blobs = self._dump_blobs(thread_id, namespace, large, versions)
        values = {
            **stored, "parent_id": parent.get("checkpoint_id"),
            "checkpoint": Jsonb({**checkpoint, "channel_values": plain}),
            "metadata": Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
            **{f"{name}_{n}": value for n, blob in enumerate(blobs) for name, value in zip(_BLOB, blob, strict=True)},
        }  # fmt: skip
        async with self._runtime.connection() as conn:
            await conn.execute(_put_statement(len(blobs)), values)
        return {"configurable": stored}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store errors, interrupts and resume values.

        Other writes of a node are not stored. After a crash the node runs again, and the thread's own rows tell it what it
        has done already.
        """
        if any(channel not in WRITES_IDX_MAP for channel, _ in writes):
            return
        of = config["configurable"]
        rows = self._dump_writes(of["thread_id"], of["checkpoint_ns"], of["checkpoint_id"], task_id, task_path, writes)
        async with self._runtime.connection() as conn:
            await conn.execute(_QUERIES["put_writes"], _columns(rows, _WRITE_COLUMNS))

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        async with self._runtime.connection() as conn, conn.cursor(binary=True) as cursor:
            yield cursor

    async def _create_tables(self) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            # Poll for the lock: CREATE INDEX CONCURRENTLY of its holder would wait for a statement that waits for the lock.
            locked = await _try_lock(conn)
            while not locked:
                await asyncio.sleep(_POLL_SECONDS)
                locked = await _try_lock(conn)
            await conn.execute("set search_path = agents_checkpoints, pg_temp")
            try:
                await AsyncPostgresSaver(conn=conn).setup()
                for table in _TABLES:
                    await conn.execute(_isolation_script(table).encode())
            finally:
                await conn.execute(LOOK_UP_IN_FROM_NOW, [WITH_OUR_TABLES])
                await conn.execute("select pg_advisory_unlock(%s)", [locks.CHECKPOINT_TABLES])


async def _try_lock(conn: Connection) -> bool:
    query = "select pg_try_advisory_lock(%s) as taken"
    row = await fetch_one(conn, query, [locks.CHECKPOINT_TABLES])
    return bool(row and row["taken"])


@cache
def _put_statement(blobs: int) -> bytes:
    """Return the statement that stores a checkpoint and `blobs` new channel values in one round trip.

    Each value is a parameter of its own, because that is sent faster than arrays are.
    """
    put, insert = _QUERIES["put_checkpoint"], _QUERIES["put_blobs"]
    rows = ", ".join(f"({', '.join(f'%({name}_{n})s' for name in _BLOB)})" for n in range(blobs))
    return (f"WITH blobs AS ({insert} {rows} ON CONFLICT DO NOTHING) {put}" if blobs else put).encode()


def _worth_storing(checkpoint: Checkpoint, new_versions: ChannelVersions) -> bool:
    """Return whether a checkpoint must be stored.

    After a crash a thread goes back to its last stored checkpoint, and its nodes run again; its own rows tell them what they
    have done already. So these checkpoints are not stored: the input (`begin_turn` stores the question, and a run that may
    not have the thread leaves nothing behind), the step before the model is asked, its requests, and the end of tasks.
    Stored are the model's answer, which cost money, and what waits for a human.
    """
    values = checkpoint["channel_values"]
    if START in new_versions or _TO_MODEL in values:
        return False
    if values.get(TASKS):
        return any(task.node == _TO_HUMAN for task in values[TASKS])
    changed = any(channel != TASKS and not channel.startswith("branch:") for channel in new_versions)
    return changed or not new_versions


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split channel values into those of the checkpoint's own row and those that are stored apart."""
    plain = {name: value for name, value in values.items() if value == [] or isinstance(value, _PLAIN)}
    return plain, {name: value for name, value in values.items() if name not in plain}


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Return one list for each column of `rows`, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else cast("list[list[Any]]", [[]] * width)


def _isolation_script(table: str) -> str:
    return f"""
    ALTER TABLE agents_checkpoints.{table} ADD COLUMN IF NOT EXISTS tenant_id text;
    ALTER TABLE agents_checkpoints.{table} ALTER COLUMN tenant_id SET DEFAULT agents.tenant(), ALTER COLUMN tenant_id SET NOT NULL;
    ALTER TABLE agents_checkpoints.{table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE agents_checkpoints.{table} FORCE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS tenant_isolation ON agents_checkpoints.{table};
    CREATE POLICY tenant_isolation ON agents_checkpoints.{table} USING (tenant_id = (SELECT agents.tenant()));
    """
