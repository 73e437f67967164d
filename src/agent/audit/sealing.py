"""Seals the audit log soon after each change, in the background, in any process that has the key.

The database's triggers write the entries in the transaction of the change. Sealing takes every entry that waits, so the next
process also seals what a dead one left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import psycopg
import structlog

from agent.audit.chain import BEFORE_THE_FIRST, Entry, KeyRing, key_id, seal
from agent.db import Connection, embedded, load_queries, locks
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AgentError, ConfigurationError, DatabaseUnavailable
from agent.runtime import Cache, Runtime
from agent.settings import Settings

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_BATCH = 1000
_DELAY = 1.0  # seconds, so that many changes are sealed at once
_CLOSE_SECONDS = 3.0
_LOCK_SECONDS, _LOCK_POLL = 10.0, 0.05
# By tenant: whether every entry has a seal.
_RESEALED: Cache[bool] = Cache()


def key_ring(settings: Settings) -> KeyRing:
    """Return the keys that `settings` name. Raises `ConfigurationError` when there is none."""
    secrets = [value.get_secret_value() for value in (settings.audit_key, settings.secret) if value is not None]
    if settings.embedded and settings.secret is None:
        secrets.append(embedded.read_or_make_secret(settings.home))
    if not secrets:
        raise ConfigurationError(
            "The audit log is sealed with a key that the database does not hold, and there is none: set AGENT_AUDIT_KEY."
        )
    current, *others = secrets
    old = [key.strip() for key in settings.audit_old_keys.get_secret_value().split(",") if key.strip()]
    return KeyRing(current, [*old, *others])


async def seal_waiting(*, runtime: Runtime, wait: bool = True) -> int:
    """Seal every entry that waits and return their number.

    While another process seals, `wait` for it, or leave the work to it. Raises `ConfigurationError` without a key,
    `DatabaseUnavailable` when the other process takes too long.
    """
    await reseal(runtime=runtime, wait=wait)
    return await _in_batches(_seal_batch, runtime, wait=wait)


async def reseal(*, runtime: Runtime, wait: bool = True) -> int:
    """Seal anew what a migration left without a seal, and return the number of entries. See `seal_waiting`."""
    if _RESEALED.get(runtime, runtime.tenant_id):
        return 0
    done = await _in_batches(_reseal_batch, runtime, wait=wait)
    if wait:  # else another process may be at it
        _RESEALED.put(runtime, value=True, key=runtime.tenant_id)
    return done


async def _in_batches(
    batch: Callable[[KeyRing, Runtime], Awaitable[int | None]], runtime: Runtime, *, wait: bool
) -> int:
    keys = await asyncio.to_thread(key_ring, runtime.settings)
    sealed, deadline = 0, asyncio.get_running_loop().time() + _LOCK_SECONDS
    while True:
        done = await batch(keys, runtime)
        if done is not None:
            sealed += done
            if done < _BATCH:
                return sealed
        elif not wait:
            return sealed
        elif asyncio.get_running_loop().time() > deadline:
            raise DatabaseUnavailable("Another process is still sealing the audit log; try again.")
        else:
            await asyncio.sleep(_LOCK_POLL)


async def _reseal_batch(keys: KeyRing, runtime: Runtime) -> int | None:
    """Seal the first entries that have no seal and return their number; None when another process is sealing."""
    values = {"tenant_id": runtime.tenant_id, "lock": locks.AUDIT, "limit": _BATCH}
    async with runtime.transaction() as conn:
        lock = await fetch_one(conn, _QUERIES["sealing_lock"], values)
        if lock is None or not lock["mine"]:
            return None
        await conn.execute(_QUERIES["written_as"])
        entries = [Entry(**row) for row in await fetch_all(conn, _QUERIES["without_seal"], values)]
        if entries:
            before = await fetch_one(conn, _QUERIES["sealed_before"], {**values, "sequence": entries[0].sequence})
            macs = _seals(entries, before["mac"] if before else BEFORE_THE_FIRST, keys, runtime)
            numbers = [entry.sequence for entry in entries]
            await conn.execute(_QUERIES["reseal"], {"sequences": numbers, "key_id": key_id(keys.current), "macs": macs})
    return len(entries)


def _seals(entries: Sequence[Entry], previous: bytes, keys: KeyRing, runtime: Runtime) -> list[bytes]:
    """Return the seals of numbered entries, one after the other."""
    seals = []
    for entry in entries:
        keyed = replace(entry, key_id=key_id(keys.current))
        previous = seal(keyed, previous, tenant_id=runtime.tenant_id, key=keys.current)
        seals.append(previous)
    return seals


async def _seal_batch(keys: KeyRing, runtime: Runtime) -> int | None:
    """Seal the first entries that wait and return their number; None when another process is sealing."""
    values = {"tenant_id": runtime.tenant_id, "lock": locks.AUDIT, "limit": _BATCH}
    async with runtime.transaction() as conn:
        lock = await fetch_one(conn, _QUERIES["sealing_lock"], values)
        if lock is None or not lock["mine"]:
            return None
        await conn.execute(_QUERIES["written_as"])
        # Read after taking the lock, so that the entries of its last holder are included.
        rows = await fetch_all(conn, _QUERIES["audit_unsealed"], values)
        if rows:
            now = rows[0]["now"]
            await _store([Entry(**{**row, "sealed_at": now}) for row in map(_without_now, rows)], keys, conn, runtime)
    return len(rows)


def _without_now(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "now"}


async def _store(entries: list[Entry], keys: KeyRing, conn: Connection, runtime: Runtime) -> None:
    head = await fetch_one(conn, _QUERIES["audit_head"], {"tenant_id": runtime.tenant_id})
    previous, first = (head["mac"], head["sequence"] + 1) if head else (BEFORE_THE_FIRST, 1)
    numbered = [replace(entry, sequence=sequence) for sequence, entry in enumerate(entries, start=first)]
    macs = _seals(numbered, previous, keys, runtime)
    values = {
        "first": first, "key_id": key_id(keys.current), "sealed_at": entries[0].sealed_at, "ids": [entry.id for entry in entries], "macs": macs,
    }  # fmt: skip
    await conn.execute(_QUERIES["seal"], values)


def seal_soon(runtime: Runtime) -> None:
    """Start sealing in the background: it takes place within about a second, at the latest when the runtime closes."""
    sealer = _SEALERS.get(runtime, runtime.tenant_id)
    if sealer is None:
        sealer = _SEALERS.put(runtime, _Sealer(runtime), runtime.tenant_id)
        runtime.at_close.append(sealer.close)
    sealer.wake()


class _Sealer:
    """Runs one task that seals for all `wake` calls of the delay together."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._closing = asyncio.Event()

    def wake(self) -> None:
        self._again = not self._closing.is_set()
        if self._again and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])  # it may be cancelled already, when the event loop ends
        if self._again:
            await self._seal()

    async def _run(self) -> None:
        while self._again:
            try:
                async with asyncio.timeout(_DELAY):
                    await self._closing.wait()
            except TimeoutError:
                pass
            await self._seal()

    async def _seal(self) -> None:
        self._again = False
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await seal_waiting(runtime=self._runtime, wait=False)
        except asyncio.CancelledError:
            self._again = True  # for `close`
            raise
        except (AgentError, psycopg.Error, TimeoutError) as error:  # no entry is lost; the next process seals them
            _log.info("audit_not_sealed", error=str(error))


_SEALERS: Cache[_Sealer] = Cache()
