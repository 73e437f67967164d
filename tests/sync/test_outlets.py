"""One contract for every outlet: what a receiver took is in the channel's order, whole, and told apart where it comes twice.

Redis and RabbitMQ are Debian's real servers; Supabase Realtime is a server on loopback that speaks it, read by Supabase's own client.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from pydantic import SecretStr
from supabase import acreate_client
from tests.cases.outlet_receivers import TARGET, RabbitMQReceiver, RabbitMQServer, RealtimeReceiver, RedisReceiver, once

from agent.audit.log import audit_log
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.settings import Settings
from agent.sync import AgentSyncService
from agent.sync.outlets.base import ReceiverAway
from agent.sync.outlets.rabbitmq_queues import RabbitMQQueues
from agent.sync.outlets.relay import Relay, receivers_of
from agent.testing.running import running

PROGRAMS = {"redis": "redis-server", "rabbitmq": "rabbitmq-server"}


def _need(kind: str) -> None:
    program = PROGRAMS.get(kind)
    if program is None or shutil.which(program) is not None:
        return
    why = f"the outlet to {kind}, no {program} (apt-get install {program})."
    if kind in os.environ.get("AGENT_TEST_REQUIRE", ""):
        pytest.fail(f"It must run: {why}")
    print(f"\nNot run: {why}")
    pytest.skip(f"Not run: {why}")


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    _need("rabbitmq")
    server = RabbitMQServer(tmp_path_factory.mktemp("rabbitmq"))
    yield server
    server.end()


@pytest.fixture(params=["redis", "rabbitmq", "supabase"])
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    _need(request.param)
    if request.param == "rabbitmq":
        made: Any = RabbitMQReceiver(request.getfixturevalue("rabbitmq"))
    else:
        made = RedisReceiver(tmp_path) if request.param == "redis" else RealtimeReceiver()
    await made.start()
    yield made
    if request.param != "rabbitmq":  # its start takes seconds: the tests of this module share it
        await made.stop()


@pytest.fixture
async def acting(settings: Settings, receiver: Any) -> AsyncIterator[Runtime]:
    update = Settings(_env_file=None, **receiver.settings)
    names = ("sync_redis_url", "sync_rabbitmq_url", "supabase_url", "sync_supabase_key")
    changed = settings.model_copy(update={name: getattr(update, name) for name in names} | {"sync_poll_seconds": 0.1})
    async with running(changed) as runtime:
        yield runtime


async def publish(service: AgentSyncService, channel: str, *numbers: int, **data: Any) -> None:
    for number in numbers:
        event = {"source_agent_id": "p", "event_type": "n", "data": {"n": number, **data}}
        await service.publish_sync_event(channel, event)


async def until(check: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await check()):
            await asyncio.sleep(0.05)
        return found


async def test_a_receiver_that_is_down_and_loses_answers_misses_nothing_and_gets_all_in_order(
    acting: Runtime, receiver: Any
) -> None:
    service = AgentSyncService(acting)
    channel = (await service.create_sync_channel(name="c")).channel_id
    await service.create_outlet(channel, receiver.kind, target=receiver.target)
    relays = [Relay(acting), Relay(acting)]  # of two processes
    for relay in relays:
        relay.start()
    await publish(service, channel, *range(150))
    await until(lambda: _has(receiver, 150))
    await receiver.stop()
    await publish(service, channel, *range(150, 160))

    async def waits() -> bool:
        (outlet,) = await service.list_outlets()
        return bool(outlet.attempts >= 2 and outlet.error and outlet.lag == 10)

    await until(waits)
    await receiver.start()
    if isinstance(receiver, RealtimeReceiver):
        receiver.lost = 2
    await publish(service, channel, *range(160, 170))
    await until(lambda: _has(receiver, 170))

    async def done() -> bool:
        (outlet,) = await service.list_outlets()
        return (outlet.lag, outlet.error, outlet.attempts) == (0, None, 0)

    await until(done)
    for relay in relays:
        await relay.stop()
    assert once(await receiver.took()) == list(range(170))


async def _has(receiver: Any, count: int) -> bool:
    return len(set(once(await receiver.took()))) >= count


async def test_what_was_sent_and_not_marked_is_sent_again_and_history_that_is_gone_is_said(
    acting: Runtime, receiver: Any
) -> None:
    service = AgentSyncService(acting)
    channel = (await service.create_sync_channel(name="c")).channel_id
    await publish(service, channel, 0)
    await service.create_outlet(channel, receiver.kind, target=receiver.target, everything=True)
    relay = Relay(acting)
    relay.start()
    await publish(service, channel, 1, 2)
    await until(lambda: _has(receiver, 3))
    await relay.stop()
    # A process died after the receiver took them, before it was marked; then events were forgotten.
    await acting.execute(
        "update agents.agent_sync_outlets set sent_through = 1, holder = null where tenant_id = %(tenant_id)s"
    )
    await publish(service, channel, 3)
    again = Relay(acting)
    again.start()
    await until(lambda: _has(receiver, 4))
    await again.stop()
    assert once(await receiver.took()) == [0, 1, 2, 3]
    await publish(service, channel, 4, 5)
    await acting.execute("update agents.agent_channel_counters set first_sequence = 6 where tenant_id = %(tenant_id)s")
    last = Relay(acting)
    last.start()

    async def told() -> bool:
        return (await receiver.took())[-1]["data"].get("n") == 5

    await until(told)
    await last.stop()
    (gap,) = [one for one in await receiver.took() if one["event_type"] == "not_recovered"]
    assert (gap["data"]["from_sequence"], gap["data"]["to_sequence"]) == (5, 5)


async def test_a_channel_that_waits_for_its_receiver_delays_no_other_and_every_outlet_is_audited(
    acting: Runtime, receiver: Any
) -> None:
    class Broken:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def take(self, target: str, events: Any) -> None:
            if target == "broken":
                raise ReceiverAway("It is away.")
            await self.inner.take(target, events)

        async def close(self) -> None:
            await self.inner.close()

    service = AgentSyncService(acting)
    for name in ("broken", receiver.target):
        channel = (await service.create_sync_channel(name=name)).channel_id
        made = await service.create_outlet(channel, receiver.kind, target=name)
        await publish(service, channel, 1, text="ä" * 60_000)
    relay = Relay(acting, {receiver.kind: Broken(receivers_of(acting.settings)[receiver.kind])})
    relay.start()
    await until(lambda: _has(receiver, 1))
    await relay.stop()
    await service.delete_outlet(made.outlet_id)
    events = [one.event for one in await audit_log.recent(50, runtime=acting) if one.subject == "agent_sync_outlets"]
    assert sorted(events) == ["deleted", "inserted", "inserted"]
    with pytest.raises(InvalidInput, match="AGENT_SYNC_RABBITMQ_URL"):
        await service.create_outlet(channel, "nats")


async def test_supabases_own_client_gets_the_broadcasts_in_order(settings: Settings) -> None:
    async with RealtimeReceiver() as server:
        changed = settings.model_copy(update={
            name: getattr(Settings(_env_file=None, **server.settings), name) for name in ("supabase_url", "sync_supabase_key")
        })  # fmt: skip
        async with running(changed) as runtime:
            service = AgentSyncService(runtime)
            channel = (await service.create_sync_channel(name="c")).channel_id
            await service.create_outlet(channel, "supabase", target=TARGET)
            client = await acreate_client(server.url, server.key)
            seen: list[int] = []
            topic = client.channel(TARGET, {"config": {"private": True}})
            topic.on_broadcast("sync_event", lambda message: seen.append(message["payload"]["sequence"]))
            await topic.subscribe()
            relay = Relay(runtime)
            relay.start()
            await publish(service, channel, *range(20))

            async def complete() -> bool:
                return len(seen) >= 20

            await until(complete)
            await relay.stop()
            await client.realtime.close()
    assert seen == list(range(1, 21))


async def test_rabbitmq_that_is_killed_while_events_flow_full_or_without_its_queue_gets_each_event_in_order(
    settings: Settings, rabbitmq: RabbitMQServer
) -> None:
    reader = RabbitMQReceiver(rabbitmq)
    await reader.start()
    acting = settings.model_copy(update={"sync_rabbitmq_url": SecretStr(rabbitmq.url), "sync_poll_seconds": 0.1})
    async with running(acting) as runtime:
        service = AgentSyncService(runtime)
        channel = (await service.create_sync_channel(name="c")).channel_id
        # The operator's own queue: it refuses what does not fit.
        async with await aio_pika.connect(rabbitmq.url) as connection:
            full = {"x-max-length": 40, "x-overflow": "reject-publish"}
            await (await connection.channel()).declare_queue(reader.target, durable=True, arguments=full)
        await service.create_outlet(channel, "rabbitmq", target=reader.target)
        relay = Relay(runtime)
        relay.start()
        await publish(service, channel, *range(60))

        async def waits() -> bool:
            (outlet,) = await service.list_outlets()
            return bool(outlet.error and "DeliveryError" in outlet.error)

        await until(waits)
        await until(lambda: _drained(reader, 60))
        async with await aio_pika.connect(rabbitmq.url) as connection:
            await (await connection.channel()).queue_delete(reader.target)
        publishing = asyncio.create_task(publish(service, channel, *range(60, 160)))
        while not await _drained(reader, 80):
            await asyncio.sleep(0.01)
        rabbitmq.kill()
        await publishing
        await reader.start()
        await until(lambda: _drained(reader, 160))
        await relay.stop()
        assert once(reader.seen) == list(range(160))
        assert len(set(reader.ids)) == 160
        wrong = RabbitMQQueues(rabbitmq.url.replace("guest:guest", "guest:hidden"))
        with pytest.raises(ReceiverAway, match="AGENT_SYNC_RABBITMQ_URL") as refused:
            await wrong.take(reader.target, [])
        assert "hidden" not in str(refused.value)


async def _drained(reader: RabbitMQReceiver, count: int) -> bool:
    with suppress(AMQPError, OSError):
        await reader.took()
    return len(set(once(reader.seen))) >= count
