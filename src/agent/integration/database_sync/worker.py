"""Applies writes that were kept in the outbox, and tells the cache what it missed. Any number of processes may do so."""

from __future__ import annotations

import json
from contextlib import suppress

import structlog

from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import InvalidInput
from agent.integration.database_sync.cache import CacheAway, RedisCache
from agent.integration.database_sync.entries import Write
from agent.integration.database_sync.records import Records, name_of
from agent.repeating import Repeating
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_AT_ONCE = 200
_PAUSE_SECONDS = 0.2
_log = structlog.get_logger(__name__)


async def apply_writes(records: Records, *, runtime: Runtime) -> int:
    """Apply writes of a tenant, each record in a transaction of its own, and return of how many records."""
    rows = await runtime.all(_QUERIES["waiting_records"], limit=_AT_ONCE)
    for row in rows:
        async with records.transaction(runtime=runtime) as transaction:
            await transaction.apply_waiting(row["kind"], row["key"])
    return len(rows)


async def tell_cache(cache: RedisCache, *, runtime: Runtime) -> int:
    """Tell the cache what it missed of a tenant, and return how much. Raises `CacheAway`."""
    rows = await runtime.all(_QUERIES["untold"], limit=_AT_ONCE)
    for row in rows:
        await cache.invalidate(name_of(runtime.tenant_id, row["kind"], row["key"]), row["version"])
        await runtime.execute(_QUERIES["told"], **row)
    return len(rows)


async def take_writes(records: Records, cache: RedisCache, *, runtime: Runtime) -> int:
    """Keep what other programs wrote into the tenant's stream of Redis, each once, and return how much. Raises `CacheAway`."""
    entries = await cache.incoming(runtime.tenant_id)
    for number, fields in entries:
        try:
            kind, key, text = (fields.get(name, b"").decode() for name in (b"kind", b"key", b"value"))
            write = Write(kind=kind, key=key, value=json.loads(text))
            await records.write_behind(write, write_id=f"redis:{number}", runtime=runtime)
        except (InvalidInput, ValueError, RecursionError) as error:  # it would never be taken
            _log.warning("redis_write_refused", entry=number, error=type(error).__name__)
        await cache.acknowledge(runtime.tenant_id, [number])
    return len(entries)


class Worker:
    """Does both for every tenant until it is stopped."""

    def __init__(self, runtime: Runtime, records: Records, cache: RedisCache | None) -> None:
        self._runtime, self._records, self._cache = runtime, records, cache
        self._repeating = Repeating("record_writes", self._look, seconds=_PAUSE_SECONDS)

    def start(self) -> None:
        """Begin."""
        self._repeating.start()

    async def stop(self) -> None:
        """End; what is left, another process or the next start does."""
        await self._repeating.stop()

    async def _look(self) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            tenants = [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]
        for tenant in tenants:
            acting = self._runtime.for_tenant(tenant)
            if self._cache is not None:
                with suppress(CacheAway):
                    await take_writes(self._records, self._cache, runtime=acting)
            while await apply_writes(self._records, runtime=acting) == _AT_ONCE:
                pass
            if self._cache is not None:
                with suppress(CacheAway):
                    await tell_cache(self._cache, runtime=acting)
