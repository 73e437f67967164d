"""Records on a real Redis and a real Postgres: nothing is lost, and nothing old comes back, whatever is killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis
from tests.integration.redis_server import RedisServer

import agent.integration.database_sync.records as records_module
from agent.errors import AgentError, InvalidInput, StateChanged
from agent.integration import integration_manager
from agent.integration.database_sync.cache import CacheAway, RedisCache, stream_of
from agent.integration.database_sync.entries import Record, Write, resolved
from agent.integration.database_sync.records import Records, load, name_of
from agent.integration.database_sync.worker import apply_writes, take_writes, tell_cache
from agent.runtime import Runtime


@pytest.fixture
async def cache(redis: RedisServer) -> AsyncIterator[RedisCache]:
    made = RedisCache(redis.url, seconds=60, load_seconds=5)
    yield made
    await made.close()


@pytest.fixture
def records(cache: RedisCache) -> Records:
    return Records(cache, load_seconds=5)


def write(value: Any, key: str = "k", **more: Any) -> Write:
    return Write(kind="t", key=key, value=value, **more)


async def test_reads_hit_after_one_load_and_writes_are_seen_at_once_by_every_process(
    runtime: Runtime, redis: RedisServer, records: Records
) -> None:
    counted: list[bool] = []
    other = Records(
        RedisCache(redis.url, seconds=60, load_seconds=5), load_seconds=5, counted=lambda _t, hit: counted.append(hit)
    )
    assert await other.read("t", "k", runtime=runtime) == Record(0, None)
    assert await records.write(write({"n": 1}), runtime=runtime) == Record(1, {"n": 1})
    assert await other.read("t", "k", runtime=runtime) == Record(1, {"n": 1})
    await records.write(write(None), runtime=runtime)
    assert await other.read("t", "k", runtime=runtime) == Record(2, None)
    assert counted == [False, True, True]
    # Another tenant has a record of its own under the same name.
    assert await records.read("t", "k", runtime=runtime.for_tenant("b")) == Record(0, None)
    assert other._cache
    await other._cache.close()


async def test_a_loader_in_flight_never_brings_an_old_value_back(
    runtime: Runtime, records: Records, cache: RedisCache
) -> None:
    await records.write(write({"n": 1}), runtime=runtime)
    name = name_of(runtime.tenant_id, "t", "k")
    for lose_everything in (False, True):
        await cache.invalidate(name, 1)
        token = await cache.lock(name)
        assert token
        old = await load("t", "k", runtime=runtime)
        newest = await records.write(write({"n": old.value["n"] + 1}), runtime=runtime)
        if lose_everything:  # Redis lost the change: the lock is gone with it
            await cache._redis().flushall()
        assert await cache.put(name, old, token=token) is False
        assert await records.read("t", "k", runtime=runtime) == newest
    # A writer that was slow to tell the cache does not undo a later one.
    assert await cache.put(name, old) is False


async def test_a_hundred_readers_of_a_cold_record_load_it_once(
    runtime: Runtime, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = 0
    real = records_module.load

    async def counting(*names: str, runtime: Runtime) -> Record:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return await real(*names, runtime=runtime)

    await Records(None, load_seconds=5).write(write({"n": 1}), runtime=runtime)
    monkeypatch.setattr(records_module, "load", counting)
    caches = [RedisCache(redis.url, seconds=60, load_seconds=5) for _ in range(4)]  # of four processes
    processes = [Records(one, load_seconds=5) for one in caches]
    found = await asyncio.gather(*(processes[n % 4].read("t", "k", runtime=runtime) for n in range(100)))
    assert (loads, set(map(str, found))) == (1, {str(Record(1, {"n": 1}))})
    for one in caches:
        await one.close()


async def test_redis_that_is_killed_loses_no_write_and_returns_without_old_values(
    runtime: Runtime, redis: RedisServer, records: Records, cache: RedisCache
) -> None:
    for key in "ab":
        await records.write(write({"n": 1}, key), runtime=runtime)
    redis.kill()
    await records.write(write({"n": 2}, "a"), runtime=runtime)
    await records.write_behind(write({"n": 2}, "b"), runtime=runtime)
    assert (await records.read("t", "a", runtime=runtime)).value == {"n": 2}
    assert await records.read("t", "b", runtime=runtime) == Record(1, {"n": 2}, pending=True)
    redis.start()  # with what it had: the old values
    await apply_writes(records, runtime=runtime)
    async with asyncio.timeout(10):
        while True:
            try:
                await tell_cache(cache, runtime=runtime)
                break
            except CacheAway:
                await asyncio.sleep(0.1)
    for key in "ab":
        assert await records.read("t", key, runtime=runtime) == Record(2, {"n": 2})


async def test_what_is_written_behind_is_seen_at_once_applied_once_and_survives_its_process(
    runtime: Runtime, records: Records
) -> None:
    first = await records.write_behind(write({"n": 1}), write_id="w1", runtime=runtime)
    again = await records.write_behind(write({"n": 1}), write_id="w1", runtime=runtime)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert await records.read("t", "k", runtime=runtime) == Record(0, {"n": 1}, pending=True)
    await records.write_behind(write({"n": 2}), runtime=runtime)
    # A write through comes after what was written behind before it.
    assert await records.write(write({"n": 3}), runtime=runtime) == Record(3, {"n": 3})
    await records.write_behind(write({"n": 4}), runtime=runtime)
    others = Records(None, load_seconds=5)  # whoever goes on
    await asyncio.gather(*(apply_writes(one, runtime=runtime) for one in (records, others, others)))
    assert await load("t", "k", runtime=runtime) == Record(4, {"n": 4})
    assert await apply_writes(records, runtime=runtime) == 0


async def test_a_conflict_is_merged_refused_or_won_by_the_latest(runtime: Runtime, records: Records) -> None:
    base = {"a": 1, "b": 1}
    seen = await records.write(write(base), runtime=runtime)
    await records.write(write({"a": 2, "b": 1}), runtime=runtime)
    conflict = {"base": base, "base_version": seen.version}
    merged = await records.write(write({"a": 1, "b": 2}, resolution="merge", **conflict), runtime=runtime)
    assert merged.value == {"a": 2, "b": 2}
    with pytest.raises(StateChanged, match="a"):
        await records.write(write({"a": 9, "b": 1}, resolution="merge", **conflict), runtime=runtime)
    with pytest.raises(StateChanged):
        await records.write(write({}, resolution="refuse", base_version=1), runtime=runtime)
    assert resolved(write({}, base_version=1), Record(7, base)) == {}
    # Written behind, a refused write is taken back for its readers, and says why.
    await records.write_behind(write({"a": 9}, resolution="refuse", base_version=1), runtime=runtime)
    await apply_writes(records, runtime=runtime)
    assert records._cache
    await tell_cache(records._cache, runtime=runtime)
    assert (await records.read("t", "k", runtime=runtime)).value == {"a": 2, "b": 2}


async def test_several_records_are_written_together_or_not_at_all(runtime: Runtime, records: Records) -> None:
    async def half() -> None:
        async with records.transaction(runtime=runtime) as together:
            await together.write(write({"n": 1}, "a"))
            await together.write(write({"n": 1}, ""))

    with pytest.raises(InvalidInput):
        await half()
    assert await records.read("t", "a", runtime=runtime) == Record(0, None)
    async with records.transaction(runtime=runtime) as together:
        for key in "ab":
            await together.write(write({"n": 1}, key))
    assert [(await records.read("t", key, runtime=runtime)).version for key in "ab"] == [1, 1]


async def test_postgres_that_drops_every_connection_keeps_what_it_said_and_the_cache_shows_nothing_else(
    runtime: Runtime, records: Records, cache: RedisCache
) -> None:
    assert runtime.settings.database_url
    said: dict[str, int] = {}
    failed = 0

    async def writer(key: str) -> None:
        nonlocal failed
        for number in range(1, 16):
            try:
                await records.write(write({"n": number}, key), runtime=runtime)
            except (AgentError, psycopg.Error):
                failed += 1
            else:
                said[key] = number

    async def cut() -> None:
        url = runtime.settings.database_url.get_secret_value() if runtime.settings.database_url else ""
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
            for _ in range(4):
                await asyncio.sleep(0.03)
                await admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'agent_app'"
                )

    await asyncio.gather(*(writer(f"k{n}") for n in range(6)), cut())
    async with asyncio.timeout(10):
        while True:
            try:
                await tell_cache(cache, runtime=runtime)
                break
            except (AgentError, psycopg.Error):
                await asyncio.sleep(0.05)
    assert failed > 0
    for key, number in said.items():
        kept = await load("t", key, runtime=runtime)
        assert kept.value["n"] >= number  # one that failed may have been committed before its answer was lost
        assert await records.read("t", key, runtime=runtime) == kept


async def test_what_other_programs_write_into_redis_reaches_postgres_once(
    runtime: Runtime, redis: RedisServer, records: Records, cache: RedisCache
) -> None:
    assert await take_writes(records, cache, runtime=runtime) == 0
    async with Redis.from_url(redis.url) as other:
        stream = stream_of(runtime.tenant_id)
        for entry in (
            {"kind": "t", "key": "k", "value": '{"n": 1}'}, {"kind": "", "key": "k", "value": "1"}, {"kind": "t", "key": "k", "value": "{"},
            {"nothing": "1"}, {"kind": "t", "key": b"\xff", "value": "1"}, {"kind": "t", "key": "k", "value": '{"n": 2}'},
        ):  # fmt: skip
            await other.xadd(stream, entry)  # type: ignore[arg-type]  # its types leave bytes out
        # A process took them and died before it said so: another one takes them again, and each counts once.
        assert len(await cache.incoming(runtime.tenant_id)) == 6
        assert await take_writes(records, cache, runtime=runtime) == 6
        assert await take_writes(records, cache, runtime=runtime) == 0
        assert await other.xlen(stream) == 0
    assert await records.read("t", "k", runtime=runtime) == Record(0, {"n": 2}, pending=True)
    await apply_writes(records, runtime=runtime)
    assert await load("t", "k", runtime=runtime) == Record(2, {"n": 2})


async def test_the_agent_does_the_tasks_of_the_workflows(runtime: Runtime) -> None:
    async def do(task: str, parameters: dict[str, Any] | None = None) -> Any:
        return await integration_manager.execute("database_sync", task, parameters, runtime=runtime)

    await do("sync_data", {"target_platform": "frontend", "data": {"user_id": "1", "theme": "dark"}})
    user = await do("fetch_user_data", {"user_id": "1", "data": {"name": "Ann"}})
    assert user["data"] == {"user_id": "1", "theme": "dark", "name": "Ann"}
    assert (await do("store_in_database", {"key": "k", "value": [1]}))["version"] == 1
    await do("write_behind", {"key": "k", "value": [2]})
    async with asyncio.timeout(10):
        while (await do("queues"))["waiting"]:
            await asyncio.sleep(0.05)
    assert (await do("read", {"key": "k"}))["value"] == [2]
    await integration_manager.shutdown(runtime=runtime)
