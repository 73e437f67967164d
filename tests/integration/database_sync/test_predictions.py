"""Records that are loaded ahead: only where predictions come true, of one's own tenant only, and never in the way of a read."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.access_traces import hit_ratio, lessons, without_pattern
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.redis_server import RedisServer

from agent.integration.database_sync.cache import RedisCache
from agent.integration.database_sync.entries import Write
from agent.integration.database_sync.predictions import Predictions
from agent.integration.database_sync.records import Records, name_of
from agent.runtime import Runtime


def test_where_reads_follow_a_pattern_more_are_hits_and_where_they_do_not_nothing_is_loaded() -> None:
    trace = lessons(12_000, seed=7)
    (without, _), (ahead, loaded) = (hit_ratio(trace, size=100, ahead=one) for one in (False, True))
    assert ahead > without + 0.05
    assert loaded < 0.5
    trace = without_pattern(12_000, seed=7)
    assert hit_ratio(trace, size=100, ahead=True) == hit_ratio(trace, size=100, ahead=False)


def test_predictions_that_stop_to_come_true_load_nothing_any_more() -> None:
    known = Predictions()
    for _ in range(60):
        for key in ("a", "b", "c"):
            known.read(key, "r")
    assert known.read("a", "r") == ["b"]
    for number in range(400):
        known.read("a", "r")
        known.read(f"x{number}", "r")
    assert known.read("a", "r") == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=300))
def test_what_is_kept_is_bounded_and_nothing_is_predicted_that_was_never_read(reads: list[tuple[int, int]]) -> None:
    known, seen = Predictions(), set()
    for key, reader in reads:
        seen.add(str(key))
        assert set(known.read(str(key), reader)) <= seen
    assert all(len(follows) <= 8 for follows in known._next.values())
    assert len(known._waiting) <= 2 * 25


async def test_what_is_likely_read_next_is_in_redis_before_it_is_asked_for(
    runtime: Runtime, redis: RedisServer
) -> None:
    counted: list[bool] = []
    cache = RedisCache(redis.url, seconds=60, load_seconds=5)
    records = Records(cache, load_seconds=5, counted=lambda _, hit: counted.append(hit), ahead=True)
    other = runtime.for_tenant("other")
    for key in ("first", "second"):
        await records.write(Write(kind="page", key=key, value={"of": key}), runtime=runtime)

    async def forget() -> None:
        for key in ("first", "second"):
            await cache._redis().delete(name_of(runtime.tenant_id, "page", key))

    async def cached() -> Any:
        return await cache.get(name_of(runtime.tenant_id, "page", "second"))

    for _ in range(30):  # it learns
        for key in ("first", "second"):
            await records.read("page", key, runtime=runtime)
    await forget()
    counted.clear()
    await records.read("page", "first", runtime=runtime)
    async with asyncio.timeout(10):
        while await cached() is None:
            await asyncio.sleep(0.01)
    assert (await records.read("page", "second", runtime=runtime)).value == {"of": "second"}
    assert counted == [False, True]
    # Another tenant has learnt nothing, and nothing of it is loaded.
    await records.read("page", "first", runtime=other)
    await asyncio.sleep(0.1)
    assert await cache.get(name_of("other", "page", "second")) is None
    # A Redis that is away, and a database that is: the read itself says so, and no task is left behind.
    redis.kill()
    assert (await records.read("page", "first", runtime=runtime)).value == {"of": "first"}
    await records.close()
    await cache.close()
