"""Records: read from the cache or loaded, written through it or behind it, several in one transaction.

    read            cache -> else: lock, load from Postgres, keep; others wait for whoever loads
    write           Postgres commits record and invalidation together -> the cache is told -> the invalidation is removed
    write_behind    Postgres keeps the write in an outbox -> the cache shows it -> a worker applies it in order

Postgres is the truth. Where Redis is away, records are read from Postgres, and what Redis missed is told when it is back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

import agent.integration.schemas.boundaries as boundaries
from agent.concurrency import background, end_tasks
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError, InvalidInput, StateChanged
from agent.integration.database_sync.cache import CacheAway, RedisCache
from agent.integration.database_sync.entries import RESOLUTIONS, Record, Write, resolved
from agent.integration.database_sync.predictions import Predictions
from agent.runtime import Runtime
from agent.sync.merging import MISSING
from agent.sync.payloads import json_text

_QUERIES = load_queries(__package__)
_LOOK_SECONDS = 0.01
_MOST_BYTES = 1_048_576
_MOST_AHEAD = 4
_log = structlog.get_logger(__name__)
Counted = Callable[[str, bool], None]  # tenant, and whether the cache had it


@dataclass(frozen=True, slots=True)
class Queued:
    """A write that was kept in the outbox; `duplicate` says that it was there before."""

    write_id: int | None
    duplicate: bool


class Records:
    """The records of every tenant, seen from this process. Without a `cache` they are read from Postgres."""

    def __init__(self, cache: RedisCache | None, *, load_seconds: float, counted: Counted = lambda tenant, hit: None, ahead: bool = False) -> None:  # fmt: skip
        self._cache = cache
        self._ahead = ahead and cache is not None
        self._predictions: dict[str, Predictions] = {}
        self._loading_ahead: set[asyncio.Task[None]] = set()
        self._load_seconds = load_seconds
        self._counted = counted
        self._loading: dict[str, asyncio.Task[Record]] = {}

    async def read(self, kind: str, key: str, *, runtime: Runtime) -> Record:
        """Return a record; one that is not there has the value None."""
        if self._ahead:
            self._look_ahead(kind, key, runtime)
        return await self._read(kind, key, runtime)

    def _look_ahead(self, kind: str, key: str, runtime: Runtime) -> None:
        """Load what is likely read next, a few at a time, beside the read that tells it."""
        check_name(kind, key)
        known = self._predictions.setdefault(runtime.tenant_id, Predictions())
        for likely in known.read(json.dumps([kind, key]), runtime.user):
            if len(self._loading_ahead) < _MOST_AHEAD:
                next_kind, next_key = json.loads(likely)
                background(self._load_ahead(next_kind, next_key, runtime), self._loading_ahead)

    async def _load_ahead(self, kind: str, key: str, runtime: Runtime) -> None:
        name = name_of(runtime.tenant_id, kind, key)
        try:
            if self._cache is not None and await self._cache.get(name) is None:
                await self._load(name, kind, key, self._cache, runtime)
        except (AgentError, psycopg.Error) as error:  # nobody waits for it
            _log.info("record_not_loaded_ahead", error=type(error).__name__)

    async def close(self) -> None:
        """End what is loaded ahead."""
        await end_tasks(*self._loading_ahead)

    async def _read(self, kind: str, key: str, runtime: Runtime) -> Record:
        name = name_of(runtime.tenant_id, kind, key)
        if self._cache is not None:
            try:
                found = await self._cache.get(name)
            except CacheAway:
                return await load(kind, key, runtime=runtime)
            if found is not None:
                self._counted(runtime.tenant_id, True)  # noqa: FBT003  # it is what is counted
                return found
        self._counted(runtime.tenant_id, False)  # noqa: FBT003  # it is what is counted
        check_name(kind, key)
        if self._cache is None:
            return await load(kind, key, runtime=runtime)
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._load(name, kind, key, self._cache, runtime))
            task.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(task)

    async def write(self, write: Write, *, runtime: Runtime) -> Record:
        """Write a record through the cache, and return it. Raises `StateChanged` where `resolution` says so."""
        await boundaries.check("record", write.kind, write.value, runtime=runtime)
        async with self.transaction(runtime=runtime) as transaction:
            return await transaction.write(write)

    @asynccontextmanager
    async def transaction(self, *, runtime: Runtime) -> AsyncIterator[Transaction]:
        """Write several records together: all of them, or none. The cache is told after the commit."""
        async with runtime.transaction() as conn:
            transaction = Transaction(conn, runtime)
            yield transaction
        await self.tell(transaction.written, runtime=runtime)

    async def write_behind(self, write: Write, *, write_id: str | None = None, runtime: Runtime) -> Queued:
        """Keep a write that a worker applies soon. Readers see it at once. The same `write_id` again is not written twice."""
        check_write(write)
        await boundaries.check("record", write.kind, write.value, runtime=runtime)
        row = await runtime.one(
            _QUERIES["queue_write"], kind=write.kind, key=write.key, value=as_json(write.value),
            base=None if write.base is MISSING else as_json(write.base), base_version=write.base_version,
            resolution=write.resolution, write_id=write_id, by=runtime.user,
        )  # fmt: skip
        if row is None:
            return Queued(None, duplicate=True)
        name = name_of(runtime.tenant_id, write.kind, write.key)
        self._loading.pop(name, None)
        if self._cache is not None:
            record = await load(write.kind, write.key, runtime=runtime)
            with suppress(CacheAway):  # nobody reads from it either
                await self._cache.put(name, record)
        return Queued(row["id"], duplicate=False)

    async def tell(self, written: dict[tuple[str, str], Record], *, runtime: Runtime) -> None:
        """Tell the cache what was committed; what it cannot be told now, the worker tells it."""
        for (kind, key), record in written.items():
            name = name_of(runtime.tenant_id, kind, key)
            self._loading.pop(name, None)
            if self._cache is not None:
                try:
                    await self._cache.put(name, record)
                except CacheAway:
                    return
            await runtime.execute(_QUERIES["told"], kind=kind, key=key, version=record.version)

    async def invalidate(self, kind: str, key: str, *, runtime: Runtime) -> None:
        """Let the next reader load a record anew."""
        record = await load(kind, key, runtime=runtime)
        name = name_of(runtime.tenant_id, kind, key)
        self._loading.pop(name, None)
        if self._cache is not None:
            await self._cache.invalidate(name, record.version)

    async def _load(self, name: str, kind: str, key: str, cache: RedisCache, runtime: Runtime) -> Record:
        """Load a record once for all who want it now, over all processes; nobody waits longer than the lock holds."""
        try:
            async with asyncio.timeout(self._load_seconds):
                while (token := await cache.lock(name)) is None:
                    await asyncio.sleep(_LOOK_SECONDS)
                    found = await cache.get(name)
                    if found is not None:
                        return found
        except (CacheAway, TimeoutError):
            return await load(kind, key, runtime=runtime)
        record = await load(kind, key, runtime=runtime)
        with suppress(CacheAway):
            await cache.put(name, record, token=token)
        return record

    def _forget(self, name: str, task: asyncio.Task[Record]) -> None:
        if self._loading.get(name) is task:
            del self._loading[name]
        if not task.cancelled():
            task.exception()


class Transaction:
    """Writes that are committed together."""

    def __init__(self, conn: Connection, runtime: Runtime) -> None:
        self._conn, self._runtime = conn, runtime
        self.written: dict[tuple[str, str], Record] = {}

    async def write(self, write: Write) -> Record:
        """Write a record, after what was written behind before. Raises `StateChanged` where `resolution` says so."""
        check_write(write)
        await self.apply_waiting(write.kind, write.key)
        return await self._write(write)

    async def apply_waiting(self, kind: str, key: str) -> int:
        """Apply what was written behind to a record, in its order, and return how many writes that were."""
        values = {"tenant_id": self._runtime.tenant_id, "kind": kind, "key": key}
        await self._conn.execute(_QUERIES["lock_record"], {"name": name_of(self._runtime.tenant_id, kind, key)})
        rows = await fetch_all(self._conn, _QUERIES["waiting_writes"], values)
        for row in rows:
            ended: dict[str, Any] = {"status": "applied", "version": None, "detail": None}
            try:
                ended["version"] = (await self._write(_write_of(row))).version
            except StateChanged as error:
                ended |= {"status": "refused", "detail": str(error)[:1_000]}
            await self._conn.execute(_QUERIES["end_write"], {**values, "id": row["id"], **ended})
            if ended["status"] == "refused":  # readers saw it; they are to see the record again
                present = _record(await fetch_one(self._conn, _QUERIES["record"], values), pending=False)
                await self._conn.execute(_QUERIES["invalidate"], {**values, "version": present.version})
        return len(rows)

    async def _write(self, write: Write) -> Record:
        values = {"tenant_id": self._runtime.tenant_id, "kind": write.kind, "key": write.key}
        present = _record(await fetch_one(self._conn, _QUERIES["record"], values), pending=False)
        value = resolved(write, present)
        saved = {**values, "value": as_json(value), "by": self._runtime.user}
        row = await fetch_one(self._conn, _QUERIES["save_record"], saved)
        assert row is not None  # noqa: S101  # an upsert returns its row
        await self._conn.execute(_QUERIES["invalidate"], {**values, "version": row["version"]})
        record = self.written[write.kind, write.key] = Record(row["version"], value)
        return record


async def load(kind: str, key: str, *, runtime: Runtime) -> Record:
    """Return a record from Postgres, with the write that is still to be applied to it."""
    return _record(await runtime.one(_QUERIES["record"], kind=kind, key=key), pending=True)


def name_of(tenant_id: str, kind: str, key: str) -> str:
    """Return the key in Redis of a record. Lengths are in it, so that no two records share one."""
    return f"agents:record:{len(tenant_id)}:{tenant_id}:{len(kind)}:{kind}:{key}"


def check_name(kind: str, key: str) -> None:
    """Raise `InvalidInput` unless a record can have this kind and key."""
    if not (isinstance(kind, str) and isinstance(key, str) and 0 < len(kind) <= 100 and 0 < len(key) <= 300):
        raise InvalidInput("A record has a kind of 1 to 100 characters and a key of 1 to 300.")
    if not (kind.isprintable() and key.isprintable()):
        raise InvalidInput("The kind and the key of a record have only printable characters.")


def check_write(write: Write) -> None:
    """Raise `InvalidInput` unless a record can be written so."""
    check_name(write.kind, write.key)
    if write.resolution not in RESOLUTIONS:
        raise InvalidInput(f"There is no resolution {str(write.resolution)[:50]!r}: use one of {', '.join(RESOLUTIONS)}.")  # fmt: skip
    if len(json_text(write.value, what="The value of a record").encode()) > _MOST_BYTES:
        raise InvalidInput("The value of a record has at most 1 MiB of JSON.")


def as_json(value: Any) -> str | None:
    """Return a value as it is stored; None is a record that is not there."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _write_of(row: dict[str, Any]) -> Write:
    return Write(
        kind=row["kind"], key=row["key"], value=row["value"], base=MISSING if row["base"] is None else row["base"],
        base_version=row["base_version"], resolution=row["resolution"],
    )  # fmt: skip


def _record(row: dict[str, Any] | None, *, pending: bool) -> Record:
    if row is None:
        return Record(0, None)
    if pending and row["write_id"] is not None:
        return Record(row["version"] or 0, row["written"], pending=True)
    return Record(row["version"] or 0, row["value"])
