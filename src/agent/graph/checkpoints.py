"""LangGraph's Postgres checkpointer on our own connections: tenant-scoped, pruned, disposable.

The tables are LangGraph's, in schema `agents_checkpoints`; we add a tenant column and forced row-level security. A
checkpoint is stored in one round trip where LangGraph's own saver takes a pipeline and a thread.
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
_POLL = 0.05


class Checkpointer(AsyncPostgresSaver):
    """A saver that takes a pooled connection for each operation and shows it the runtime's tenant only.

    Thread ids carry the tenant (`tenant/thread`), because LangGraph's keys do not.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # connections come from `_cursor`
        self._runtime = runtime
        # Channels that changed in checkpoints which were not stored, by thread: the next one stores them.
        self._unstored: dict[str, set[str]] = {}

    @classmethod
    async def open(cls, runtime: Runtime) -> Checkpointer:
        """A saver whose tables exist and are isolated."""
        saver = cls(runtime)
        async with runtime.connection() as conn:
            row = await fetch_one(conn, _QUERIES["tables_ready"], [list(_TABLES)])
        if not (row and row["ready"]):
            await saver._make_tables()
        return saver

    def thread(self, thread_id: str) -> str:
        """The checkpointer's name of one of our threads."""
        return f"{self._runtime.tenant_id}/{thread_id}"

    async def prune_thread(self, thread_id: str) -> None:
        """Keep the newest checkpoint of a thread only: our rows are the history."""
        await self.aprune([self.thread(thread_id)])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint: plain values in its row, other channels once for each version."""
        place = config["configurable"]
        thread_id, namespace = place["thread_id"], place.get("checkpoint_ns", "")
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
            **stored, "parent_id": place.get("checkpoint_id"),
            "checkpoint": Jsonb({**checkpoint, "channel_values": plain}),
            "metadata": Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
            **{f"{name}_{n}": value for n, blob in enumerate(blobs) for name, value in zip(_BLOB, blob, strict=True)},
        }  # fmt: skip
        async with self._runtime.connection() as conn:
            await conn.execute(_put(len(blobs)), values)
        return {"configurable": stored}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store errors, interrupts and resume values.

        What a node writes before its step is over is not stored: after a crash the node runs again, and finds in our
        own rows what it did.
        """
        if any(channel not in WRITES_IDX_MAP for channel, _ in writes):
            return
        place = config["configurable"]
        rows = self._dump_writes(
            place["thread_id"], place["checkpoint_ns"], place["checkpoint_id"], task_id, task_path, writes
        )
        async with self._runtime.connection() as conn:
            await conn.execute(_QUERIES["put_writes"], _columns(rows, _WRITE_COLUMNS))

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        async with self._runtime.connection() as conn, conn.cursor(binary=True) as cursor:
            yield cursor

    async def _make_tables(self) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            # Asked again and again: who waits inside a statement is waited for by the other's CREATE INDEX CONCURRENTLY.
            locked = await _locks(conn)
            while not locked:
                await asyncio.sleep(_POLL)
                locked = await _locks(conn)
            await conn.execute("set search_path = agents_checkpoints, pg_temp")
            try:
                await AsyncPostgresSaver(conn=conn).setup()
                for table in _TABLES:
                    await conn.execute(_isolation(table).encode())
            finally:
                await conn.execute(LOOK_UP_IN_FROM_NOW, [WITH_OUR_TABLES])
                await conn.execute("select pg_advisory_unlock(%s)", [locks.CHECKPOINT_TABLES])


async def _locks(conn: Connection) -> bool:
    query = "select pg_try_advisory_lock(%s) as taken"
    row = await fetch_one(conn, query, [locks.CHECKPOINT_TABLES])
    return bool(row and row["taken"])


@cache
def _put(blobs: int) -> bytes:
    """A checkpoint and its new channel values, in one round trip; value by value, which is sent faster than arrays are."""
    put, insert = _QUERIES["put_checkpoint"], _QUERIES["put_blobs"]
    rows = ", ".join(f"({', '.join(f'%({name}_{n})s' for name in _BLOB)})" for n in range(blobs))
    return (f"WITH blobs AS ({insert} {rows} ON CONFLICT DO NOTHING) {put}" if blobs else put).encode()


def _worth_storing(checkpoint: Checkpoint, new_versions: ChannelVersions) -> bool:
    """Whether a checkpoint is stored. Without it a crash goes back by some steps, whose nodes find in our rows what they did.

    What comes in is not: `begin_turn` keeps the question, and a run that may not have the thread leaves nothing behind.
    Nor is what the model is to be asked or what it asked for, which those rows say, and that tasks are over. The model's
    answer is, which was paid for, and so is what waits for a human.
    """
    values = checkpoint["channel_values"]
    if START in new_versions or _TO_MODEL in values:
        return False
    if values.get(TASKS):
        return any(task.node == _TO_HUMAN for task in values[TASKS])
    changed = any(channel != TASKS and not channel.startswith("branch:") for channel in new_versions)
    return changed or not new_versions


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Channel values that stand in the checkpoint's row, and those that are stored apart."""
    plain = {name: value for name, value in values.items() if value == [] or isinstance(value, _PLAIN)}
    return plain, {name: value for name, value in values.items() if name not in plain}


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into one list a column, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else cast("list[list[Any]]", [[]] * width)


def _isolation(table: str) -> str:
    return f"""
    ALTER TABLE agents_checkpoints.{table} ADD COLUMN IF NOT EXISTS tenant_id text;
    ALTER TABLE agents_checkpoints.{table} ALTER COLUMN tenant_id SET DEFAULT agents.tenant(), ALTER COLUMN tenant_id SET NOT NULL;
    ALTER TABLE agents_checkpoints.{table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE agents_checkpoints.{table} FORCE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS tenant_isolation ON agents_checkpoints.{table};
    CREATE POLICY tenant_isolation ON agents_checkpoints.{table} USING (tenant_id = (SELECT agents.tenant()));
    """
