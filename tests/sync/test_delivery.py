"""Delivery: no gap, no loss, nothing twice without need, also where readers hang, die, or come back late."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from benchmarks.sync import kills

from agent.errors import InvalidInput, NotFound
from agent.runtime import Runtime
from agent.settings import Settings
from agent.sync import AgentSyncService, Event
from agent.testing.running import running


def event(number: int, **more: Any) -> Mapping[str, Any]:
    return {"source_agent_id": "p", "event_type": "n", "data": {"n": number}, **more}


async def channel_of(
    service: AgentSyncService, *agents: str, terms: Mapping[str, Any] | None = None, **kind: Any
) -> str:
    channel = await service.create_sync_channel(name="c", **kind)
    for agent in agents:
        await service.subscribe_agent_to_channel(agent, channel.channel_id, **(terms or {}))
    return channel.channel_id


async def test_writers_at_once_leave_no_gap_and_readers_meanwhile_miss_nothing(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r")
    read: list[int] = []

    async def write(writer: int) -> None:
        for number in range(25):
            # Some transactions fail after they took a number.
            try:
                async with service.transaction() as conn:
                    await service.publish_sync_event(channel, event(writer * 100 + number), connection=conn)
                    if number % 5 == 4:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    async def follow() -> None:
        async for reading in service.follow_agent_events("r"):
            read.extend(one.sequence for one in reading.events)
            if len(read) == 160:
                return

    async with asyncio.timeout(60):
        await asyncio.gather(follow(), *(write(number) for number in range(8)))
    assert read == list(range(1, 161))


async def test_what_is_not_acknowledged_comes_again_and_is_then_a_dead_letter(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r", terms={"ack_wait_seconds": 0.2, "max_deliver": 2})
    await service.publish_sync_events(channel, [event(1), event(2)])
    first = await service.fetch_events("r", channel)
    assert [(one.sequence, one.attempts) for one in first.events] == [(1, 1), (2, 1)]
    assert (await service.fetch_events("r", channel)).events == []  # its time is not over
    await service.acknowledge_events("r", channel, [2])
    await asyncio.sleep(0.25)
    again = await service.fetch_events("r", channel)
    assert [(one.sequence, one.attempts) for one in again.events] == [(1, 2)]
    await asyncio.sleep(0.25)
    assert (await service.fetch_events("r", channel)).events == []
    (letter,) = await service.list_dead_letters(agent_id="r")
    assert (letter.sequence, letter.attempts, letter.data) == (1, 2, {"n": 1})
    await service.revive_dead_letter("r", channel, 1)
    (revived,) = (await service.fetch_events("r", channel)).events
    assert revived.attempts == 1


async def test_acknowledgements_out_of_order_twice_and_of_others(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r", "s")
    await service.publish_sync_events(channel, [event(number) for number in range(1, 5)])
    await service.fetch_events("r", channel, limit=3)
    done = await service.acknowledge_events("r", channel, [3, 1])
    assert (done.acknowledged, done.already) == ([1, 3], [])
    assert (await service.acknowledge_events("r", channel, [1, 2])).already == [1]
    with pytest.raises(InvalidInput, match="Event 4 was not delivered"):
        await service.acknowledge_events("r", channel, [4])
    with pytest.raises(InvalidInput, match="Event 1 was not delivered"):  # it was delivered to the other agent
        await service.acknowledge_events("s", channel, [1])
    with pytest.raises(NotFound, match="not subscribed"):
        await service.acknowledge_events("t", channel, [1])
    other = AgentSyncService(runtime.for_tenant("b"))
    with pytest.raises(NotFound):
        await other.acknowledge_events("r", channel, [1])
    assert len((await service.fetch_events("s", channel)).events) == 4


async def test_a_subscriber_that_never_acknowledges_is_bounded_named_and_delays_nobody(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "stuck", "good", terms={"max_ack_pending": 3})
    await service.publish_sync_events(channel, [event(number) for number in range(10)])
    assert len((await service.fetch_events("stuck", channel)).events) == 3
    assert (await service.fetch_events("stuck", channel)).events == []
    seen: list[int] = []

    async def handler(one: Event) -> None:
        seen.append(one.sequence)

    task = asyncio.create_task(service.consume("good", channel, handler))
    async with asyncio.timeout(20):
        while len(seen) < 10:
            await asyncio.sleep(0.02)
    task.cancel()
    (stuck,) = await service.list_subscriptions(agent_id="stuck")
    assert (stuck.stuck, stuck.pending, stuck.lag) == (True, 3, 7)
    assert (await service.get_sync_statistics(channel)).stuck == 1
    assert seen == list(range(1, 11))


async def test_readers_at_once_never_hold_more_than_may_be_pending(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "one", terms={"max_ack_pending": 2, "ack_wait_seconds": 60.0})
    for number in range(30):
        await service.publish_sync_event(channel, event(number))
    for done in range(10):
        found = await asyncio.gather(*(service.fetch_events("one", channel, limit=10) for _ in range(8)))
        held = [one.sequence for reading in found for one in reading.events]
        assert held == [2 * done + 1, 2 * done + 2]
        await service.acknowledge_events("one", channel, held)


async def test_the_time_to_acknowledge_counts_from_when_the_handler_gets_the_event(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r", terms={"ack_wait_seconds": 0.5})
    await service.publish_sync_events(channel, [event(number) for number in range(4)])
    seen: Counter[int] = Counter()

    async def slow(one: Event) -> None:
        seen[one.sequence] += 1
        await asyncio.sleep(0.3)  # four of them take longer than ack_wait

    task = asyncio.create_task(service.consume("r", channel, slow))
    async with asyncio.timeout(20):
        while (await service.list_subscriptions(agent_id="r"))[0].pending or sum(seen.values()) < 4:
            await asyncio.sleep(0.05)
    task.cancel()
    assert dict(seen) == {1: 1, 2: 1, 3: 1, 4: 1}


async def test_a_handler_that_raises_gets_the_event_again_with_backoff_and_the_others_go_on(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r", terms={"max_deliver": 3, "backoff_seconds": [0.1, 0.2]})
    await service.publish_sync_events(channel, [event(number) for number in range(1, 4)])
    seen: list[tuple[int, int]] = []

    async def handler(one: Event) -> None:
        seen.append((one.data["n"], one.attempts))
        if one.data["n"] == 2:
            raise ValueError("secret text")

    service_task = asyncio.create_task(service.consume("r", channel, handler))
    async with asyncio.timeout(30):
        while not await service.list_dead_letters():
            await asyncio.sleep(0.05)
    service_task.cancel()
    assert sorted(seen) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]
    assert [one.reason for one in await service.list_dead_letters()] == ["ValueError"]


async def test_where_history_is_gone_the_reader_is_told(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service, "r", "s")
    await service.publish_sync_events(channel, [event(number) for number in range(5)])
    before = await service.get_agent_events("r", limit=2)
    await runtime.execute(
        "update agents.agent_sync_events set published_at = now() - interval '40 days' where sequence <= 3 and tenant_id = %(tenant_id)s"
    )
    assert await service.apply_retention() == 3
    after = await service.get_agent_events("r", offset=before.offset)
    assert (after.recovered, [(gap.from_sequence, gap.to_sequence) for gap in after.gaps]) == (False, [(3, 3)])
    assert [one.sequence for one in after.events] == [4, 5]
    fetched = await service.fetch_events("s", channel)
    assert (fetched.recovered, [one.sequence for one in fetched.events]) == (False, [4, 5])
    assert (await service.list_subscriptions(agent_id="s"))[0].lost == 3
    assert (await service.fetch_events("s", channel)).recovered
    await service.begin_epoch(channel)
    anew = await service.get_agent_events("r", offset=after.offset)
    assert (anew.recovered, [one.sequence for one in anew.events]) == (False, [4, 5])


async def test_a_subscription_starts_where_it_is_told_and_keeps_its_place(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service)
    await service.publish_sync_events(channel, [event(number) for number in range(4)])
    now = datetime.now(UTC)
    starts: dict[str, tuple[Any, list[int]]] = {
        "all": ("all", [1, 2, 3, 4]), "new": ("new", []), "third": (3, [3, 4]), "far": (10**15, []),
        "past": (now - timedelta(hours=1), [1, 2, 3, 4]), "future": (now + timedelta(hours=1), []),
    }  # fmt: skip
    for agent, (start, expected) in starts.items():
        await service.subscribe_agent_to_channel(agent, channel, start=start)
        reading = await service.fetch_events(agent, channel)
        assert [one.sequence for one in reading.events] == expected, agent
        await service.subscribe_agent_to_channel(agent, channel, start="all")
        assert (await service.fetch_events(agent, channel)).events == [], agent
    for wrong in ("later", -1, True, datetime(2026, 1, 1)):  # a time without a zone is what is tried
        with pytest.raises(InvalidInput):
            await service.subscribe_agent_to_channel("x", channel, start=wrong)


async def test_the_types_and_strategies_of_channels(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    inbound = await service.create_sync_channel(name="in", channel_type="inbound")
    outbound = await service.create_sync_channel(name="out", channel_type="outbound")
    with pytest.raises(InvalidInput, match="inbound"):
        await service.broadcast_to_channel(inbound.channel_id, {"event_type": "x"})
    with pytest.raises(InvalidInput, match="outbound"):
        await service.publish_sync_event(outbound.channel_id, event(1))

    manual = await service.create_sync_channel(name="manual", sync_strategy="manual")
    await service.subscribe_agent_to_channel("r", manual.channel_id)
    await service.publish_sync_event(manual.channel_id, event(1))
    assert (await service.get_agent_events("r")).events == []
    assert (await service.fetch_events("r", manual.channel_id)).events == []
    await service.release_channel(manual.channel_id)
    assert len((await service.get_agent_events("r")).events) == 1

    batched = await service.create_sync_channel(name="batched", sync_strategy="batched", batch_size=10, batch_ms=5_000)
    await service.subscribe_agent_to_channel("r", batched.channel_id)
    async with asyncio.timeout(4):  # 30 are three full batches
        stored = await asyncio.gather(*(service.publish_sync_event(batched.channel_id, event(n)) for n in range(30)))
    assert sorted(one.sequence for one in stored) == list(range(1, 31))
    assert [one.data["n"] for one in sorted(stored, key=lambda one: one.sequence)] == list(range(30))
    assert len({one.published_at for one in stored}) == 3
    timed = await service.create_sync_channel(name="timed", sync_strategy="batched", batch_size=10, batch_ms=30)
    assert (await service.publish_sync_event(timed.channel_id, event(1))).sequence == 1


async def test_a_repeated_publish_stores_one_event(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    channel = await channel_of(service)
    once = event(1, dedupe_key="k")
    stored = await asyncio.gather(*(service.publish_sync_event(channel, once) for _ in range(8)))
    assert {one.sequence for one in stored} == {1}
    assert sum(not one.duplicate for one in stored) == 1
    with pytest.raises(InvalidInput, match="another event"):
        await service.publish_sync_event(channel, event(2, dedupe_key="k"))
    mixed = await service.publish_sync_events(channel, [event(5), once, event(6)])
    assert [(one.sequence, one.duplicate) for one in mixed] == [(2, False), (1, True), (3, False)]


async def test_unknown_agents_are_refused_where_the_setting_says_so(settings: Settings) -> None:
    async with running(settings.model_copy(update={"unknown_agents": "refuse"})) as runtime:
        service = AgentSyncService(runtime)
        channel = await channel_of(service)
        for attempt in (
            service.subscribe_agent_to_channel("x", channel), service.publish_sync_event(channel, event(1)),
            service.create_state_snapshot("x", {}), service.reconcile_states("x", "merge", {}), service.heartbeat("x"),
            service.propagate_simulation_results("s", {}, ["x"]),
        ):  # fmt: skip
            with pytest.raises(NotFound, match="register it first"):
                await attempt
        await service.register_agent("p", name="Publisher", capabilities=["seo"])
        assert (await service.publish_sync_event(channel, event(1))).sequence == 1
        assert [one.online for one in await service.list_agents()] == [False]
        assert (await service.heartbeat("p", status="busy")).online


async def test_ten_kills_of_the_server_its_publisher_and_its_subscribers_lose_nothing(runtime: Runtime) -> None:
    left = await kills.race(runtime, kills=10)
    whole = list(range(1, kills.TOTAL + 1))
    assert (left.numbers, sorted(left.carried)) == (whole, list(range(kills.TOTAL)))
    assert set(left.consumed) == set(whole)
    assert left.followed == whole  # the offset was kept together with what it is the offset of
    assert (left.gaps, left.lost) == (0, 0)
