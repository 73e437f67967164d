"""The database sync agent: records in Postgres, cached in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from agent.db import load_queries
from agent.errors import InvalidInput
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.database_sync.cache import RedisCache
from agent.integration.database_sync.entries import Record, Resolution, Write
from agent.integration.database_sync.records import Records
from agent.integration.database_sync.worker import Worker
from agent.integration.events import IntegrationEvent
from agent.runtime import Runtime
from agent.sync.merging import MISSING

_QUERIES = load_queries(__package__)
KIND, USERS = "records", "users"


class DatabaseSyncAgent(BaseIntegrationAgent):
    """Keeps records, and the cache of them."""

    name = "database_sync"
    summary = "Records in Postgres, cached in Redis: write-through, write-behind, lazy loading, invalidation."
    capabilities = ("write-through", "write-behind", "lazy loading", "cache invalidation", "conflict resolution", "transactions")  # fmt: skip

    async def initialize(self) -> None:
        """Begin to apply what was written behind."""
        settings = self.runtime.settings
        cache = None
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            cache = RedisCache(
                url, seconds=settings.cache_seconds, load_seconds=settings.cache_load_seconds, runtime=self.runtime
            )
            self.connect("redis", cache)
        self.records = Records(
            cache, load_seconds=settings.cache_load_seconds, counted=self._count, ahead=settings.cache_predict
        )
        self._worker = Worker(self.runtime, self.records, cache)
        self._worker.start()

    async def shutdown(self) -> None:
        """Apply nothing more; another process does."""
        await self._worker.stop()
        await self.records.close()

    def tasks(self) -> Mapping[str, Task]:
        """Return what it can do."""
        return {
            "store_in_database": self._write, "update_database": self._write, "fetch_user_data": self._fetch_user,
            "sync_data": self._sync, "read": self._read, "write": self._write, "write_behind": self._write_behind,
            "invalidate": self._invalidate, "queues": self._queues, "cleanup": self._cleanup,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Load a record anew that somebody else changed: an event of the type `record_changed`."""
        if event.event_type == "record_changed":
            await self._invalidate(event.data, runtime=runtime)

    async def _read(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        kind, key = _named(parameters)
        return _shown(kind, key, await self.records.read(kind, key, runtime=runtime))

    async def _write(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        write = _write_of(parameters)
        return _shown(write.kind, write.key, await self.records.write(write, runtime=runtime))

    async def _write_behind(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        write, once = _write_of(parameters), parameters.get("write_id")
        queued = await self.records.write_behind(write, write_id=None if once is None else str(once)[:200], runtime=runtime)  # fmt: skip
        return {"kind": write.kind, "key": write.key, "write": queued.write_id, "duplicate": queued.duplicate}

    async def _fetch_user(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Return what is known of a user: the record, with what the caller knows on top of it."""
        user_id, data = str(parameters.get("user_id") or ""), parameters.get("data")
        if data is not None and not isinstance(data, Mapping):
            raise InvalidInput("The data of a user is a JSON object.")
        record = await self.records.read(USERS, user_id, runtime=runtime)
        known = record.value if isinstance(record.value, Mapping) else {}
        return {"user_id": user_id, "data": {**known, **(data or {})}, "version": record.version}

    async def _sync(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Keep data that one platform sent for another: of a user under their id, else under the platform's name."""
        data = parameters.get("data")
        if not isinstance(data, Mapping):
            raise InvalidInput("The data to synchronise is a JSON object.")
        user = data.get("user_id")
        kind, key = (USERS, str(user)) if user is not None else (KIND, f"sync:{parameters.get('target_platform', 'backend')}")  # fmt: skip
        present = await self.records.read(kind, key, runtime=runtime)
        known = present.value if isinstance(present.value, Mapping) else {}
        write = Write(kind=kind, key=key, value={**known, **data})
        return _shown(kind, key, await self.records.write(write, runtime=runtime))

    async def _invalidate(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        kind, key = _named(parameters)
        await self.records.invalidate(kind, key, runtime=runtime)
        return {"kind": kind, "key": key, "invalidated": True}

    async def _queues(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return dict(await runtime.one(_QUERIES["queues"]) or {})

    async def _cleanup(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return {"forgotten": await runtime.execute(_QUERIES["forget_writes"])}

    def _count(self, tenant: str, hit: bool) -> None:  # noqa: FBT001  # it is what is counted
        self.counters.cache(tenant, hit=hit)


def _named(parameters: Mapping[str, Any]) -> tuple[str, str]:
    return str(parameters.get("kind") or KIND), str(parameters.get("key") or "")


def _write_of(parameters: Mapping[str, Any]) -> Write:
    kind, key = _named(parameters)
    version = parameters.get("base_version")
    if version is not None and (type(version) is not int or not 0 <= version < 2**62):
        raise InvalidInput("base_version is the version that you saw.")
    return Write(
        kind=kind, key=key, value=parameters.get("value"), base=parameters.get("base", MISSING), base_version=version,
        resolution=cast("Resolution", parameters.get("resolution") or "latest_wins"),
    )  # fmt: skip


def _shown(kind: str, key: str, record: Record) -> dict[str, Any]:
    return {"kind": kind, "key": key, "value": record.value, "version": record.version, "pending": record.pending}
