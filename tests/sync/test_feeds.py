"""Feeds: many who follow, one who reads; nothing is lost, doubled or out of order, whoever is slow, leaves, or is of another tenant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.runtime import Runtime
from agent.sync import AgentSyncService, events, feeds, offsets
from agent.sync.offsets import Place


def event(number: int, source: str = "p", **more: Any) -> Mapping[str, Any]:
    return {"source_agent_id": source, "event_type": "n", "data": {"n": number}, **more}


def row(sequence: int | None, *, end: int, targets: list[str] | None = None, epoch: str = "e") -> dict[str, Any]:
    return {
        "channel_id": "c", "epoch": epoch, "visible": end, "sequence": sequence, "event_type": "n", "source_agent_id": "p",
        "target_agents": targets, "data": {}, "published_at": datetime.now(UTC), "size": 3_000_000,
    }  # fmt: skip


@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.lists(st.sampled_from(["read", "wait"]), max_size=40),
    st.integers(1, 3),
)
def test_a_reader_of_a_ring_sees_what_a_reader_of_the_table_sees(
    pages: list[int], moves: list[str], limit: int
) -> None:
    """At 3 MB an event, a ring holds two: who waits falls out of it, and is told so instead of being given less."""
    (start, _, _), end = feeds.refreshed({"c": None}, [row(None, end=0)]), 0
    rings, place, seen = start, Place("e", 0), list[int]()
    for count, move in zip(pages, moves, strict=False):
        found = [row(end + one, end=end + count, targets=["a"] if one % 2 else None) for one in range(1, count + 1)]
        end += count
        rings, _, more = feeds.refreshed(rings, found or [row(None, end=end)])
        assert not more
        ring = rings["c"]
        assert ring is not None
        assert len(ring.held) <= 2
        if move == "wait":
            continue
        while (reading := feeds.reading_of("a", {"c": True}, rings, {"c": place}, limit)) is not None:
            seen += [one.sequence for one in reading.events]
            place = offsets.read(reading.offset)["c"]
            if reading.up_to_date:
                break
        if reading is None:  # as from the database
            assert place.sequence < ring.after
            seen += range(place.sequence + 1, end + 1)
            place = Place("e", end)
        assert place.sequence == end
    assert seen == list(range(1, place.sequence + 1))


@pytest.mark.parametrize(
    "rows",
    [[row(None, end=3, epoch="other")], [row(None, end=1)], [row(4, end=4)], [row(3, end=4), row(5, end=5)], [row(None, end=9)]],
)  # fmt: skip
def test_a_ring_that_is_not_continued_begins_anew_and_sends_its_readers_to_the_database(
    rows: list[dict[str, Any]],
) -> None:
    ring = feeds.Ring("e", 0, 2, [events.event_of(row(one, end=2)) for one in (1, 2)], [1, 1])
    kept, changed, _ = feeds.refreshed({"c": ring}, rows)
    began = kept["c"]
    assert began is not None
    assert (began.held, began.after, changed) == ([], rows[0]["visible"], {"c"})
    assert feeds.reading_of("a", {"c": True}, kept, {"c": Place("e", 0)}, 10) is None


async def test_many_followers_of_whom_some_are_slow_get_everything_in_order_with_few_reads(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_MOST_HELD", 20)
    asked = 0
    read = events.read

    async def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        return await read(*arguments, **named)

    monkeypatch.setattr(events, "read", counted)
    service, chance = AgentSyncService(runtime), random.Random(4)
    channel = (await service.create_sync_channel(name="c")).channel_id
    foreign = AgentSyncService(runtime.for_tenant("b"))
    theirs = (await foreign.create_sync_channel(name="c")).channel_id
    names = [f"a{number}" for number in range(60)]
    for name in names:
        await service.subscribe_agent_to_channel(name, channel, include_own=name != "a1")
    await foreign.subscribe_agent_to_channel("a0", theirs)
    seen: dict[str, list[int]] = {name: [] for name in [*names, "foreign"]}
    there = 0

    async def follow(of: AgentSyncService, name: str, agent: str, *, slow: bool) -> None:
        nonlocal there
        first = True
        async for reading in of.follow_agent_events(agent, limit=7):
            there += first
            first = False
            assert reading.recovered
            seen[name] += [one.sequence for one in reading.events]
            if slow:
                await asyncio.sleep(0.3)

    tasks = [asyncio.create_task(follow(service, name, name, slow=name in ("a2", "a3"))) for name in names]
    tasks.append(asyncio.create_task(follow(foreign, "foreign", "a0", slow=False)))
    async with asyncio.timeout(60):
        while there < len(tasks):
            await asyncio.sleep(0.02)
        before = asked
        for number in range(100):
            await service.publish_sync_event(
                channel,
                event(
                    number, "a1" if number % 10 == 1 else "p", **({"target_agents": ["a5"]} if number % 10 == 2 else {})
                ),
            )
            await asyncio.sleep(chance.choice([0, 0, 0.01]))
        await foreign.publish_sync_event(theirs, event(0))
        expected = {name: [n + 1 for n in range(100) if n % 10 != 2 or name == "a5"] for name in names} | {
            "foreign": [1]
        }
        expected["a1"] = [one for one in expected["a1"] if (one - 1) % 10 != 1]
        while any(len(seen[name]) < len(whole) for name, whole in expected.items()):
            assert not any(task.done() for task in tasks)
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == expected
    assert asked - before < 400  # with a read of its own at each event they were 6,000


async def test_a_change_of_subscriptions_and_an_end_of_the_connection_lose_nothing(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channels = [(await service.create_sync_channel(name=f"c{number}")).channel_id for number in range(3)]
    await service.subscribe_agent_to_channel("a", channels[0])
    seen: list[tuple[str, int]] = []
    failures = 0

    async def follow() -> None:
        nonlocal failures
        offset = None
        while True:
            try:
                async for reading in service.follow_agent_events("a", offset=offset):
                    seen.extend((one.channel_id, one.sequence) for one in reading.events)
                    offset = reading.offset
            except AgentError:
                failures += 1
                await asyncio.sleep(0.05)

    async def until(count: int) -> None:
        while len(seen) < count:
            assert not task.done()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(follow())
    async with asyncio.timeout(60):
        await service.publish_sync_event(channels[0], event(1))
        await until(1)
        await service.publish_sync_event(channels[1], event(1))  # before it is subscribed
        await service.subscribe_agent_to_channel("a", channels[1])
        await service.publish_sync_event(channels[1], event(2))
        await until(2)
        await service.unsubscribe_agent_from_channel("a", channels[1])
        await service.publish_sync_event(channels[1], event(3))
        await service.publish_sync_event(channels[0], event(2))
        await until(3)
        await runtime.all(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"
        )
        for number in range(3, 8):
            try:
                await service.publish_sync_event(channels[0], event(number, dedupe_key=str(number)))
            except AgentError:  # a publisher repeats what it does not know to be stored
                await service.publish_sync_event(channels[0], event(number, dedupe_key=str(number)))
        await until(8)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen == [(channels[0], 1), (channels[1], 2), *((channels[0], number) for number in range(2, 8))]


async def test_a_feed_reads_nothing_when_nobody_follows(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = (await service.create_sync_channel(name="c")).channel_id
    await service.subscribe_agent_to_channel("a", channel)
    for _ in range(3):  # who comes back at once finds it working again
        following = service.follow_agent_events("a")
        await anext(following)
        await service.publish_sync_event(channel, event(1))
        async with asyncio.timeout(10):
            while not (await anext(following)).events:
                pass
        await following.aclose()  # type: ignore[attr-defined]  # it is a generator
        task = feeds.feed_of(runtime)._task
        assert task is not None
    async with asyncio.timeout(10):
        await task
