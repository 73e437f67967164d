"""Events over a WebSocket, with a client of the library `websockets`: resume, presence, silence, slow readers, bad messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.access import keys
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.testing.served import served


@asynccontextmanager
async def socket(
    client: httpx.AsyncClient, agent: str, *, key: str = "", **hello: Any
) -> AsyncIterator[ClientConnection]:
    url = f"ws://{client.base_url.host}:{client.base_url.port}/api/agent-sync/agents/{agent}/socket"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with connect(url, additional_headers=headers, max_queue=1) as opened:
        await opened.send(json.dumps({"type": "hello", **hello}))
        yield opened


async def until(opened: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            message: dict[str, Any] = json.loads(await opened.recv())
            if wanted(message):
                return message


def of_type(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["type"] == name


@pytest.fixture
async def channel(runtime: Runtime) -> str:
    service = AgentSyncService(runtime)
    made = await service.create_sync_channel(name="c")
    for agent in ("a", "b"):
        await service.subscribe_agent_to_channel(agent, made.channel_id)
    return made.channel_id


def publisher(runtime: Runtime, channel: str) -> Callable[[int], Awaitable[None]]:
    async def publish(number: int, **data: Any) -> None:
        event = {"source_agent_id": "p", "event_type": "n", "data": {"n": number, **data}}
        await AgentSyncService(runtime).publish_sync_event(channel, event)

    return publish


async def test_a_client_goes_on_after_the_event_that_it_has_and_acknowledges_over_the_socket(
    runtime: Runtime, channel: str
) -> None:
    publish = publisher(runtime, channel)
    async with served(runtime) as client:
        async with socket(client, "a") as opened:
            assert (await until(opened, of_type("welcome")))["heartbeat_seconds"] == 15
            for number in range(3):
                await publish(number)
            seen: list[dict[str, Any]] = []
            while len(seen) < 3:
                seen += (message := await until(opened, of_type("events")))["events"]
            await opened.send(json.dumps({"type": "ack", "offset": message["offset"]}))
            await until(opened, of_type("acknowledged"))
        await publish(3)  # nobody is connected
        after = {"channel_id": channel, "epoch": seen[1]["epoch"], "sequence": seen[1]["sequence"]}
        for hello, numbers in (({"from": after}, [2, 3]), ({}, [3]), ({"offset": message["offset"]}, [3])):
            async with socket(client, "a", **hello) as opened:
                again = (await until(opened, of_type("events")))["events"]
                assert [one["data"]["n"] for one in again] == numbers
        await AgentSyncService(runtime).begin_epoch(channel)
        async with socket(client, "a", **{"from": after}) as opened:
            assert (await until(opened, of_type("events")))["recovered"] is False


async def test_presence_tells_who_comes_and_goes_within_two_heartbeats_and_the_silent_are_left(
    runtime: Runtime, channel: str
) -> None:
    fast = replace(runtime, settings=runtime.settings.model_copy(update={"sync_heartbeat_seconds": 0.4}), cached={})

    def shows(agent: str, online: bool) -> Callable[[dict[str, Any]], bool]:
        return lambda message: (
            message["type"] == "presence"
            and {"agent_id": agent, "online": online}
            in [{name: one[name] for name in ("agent_id", "online")} for one in message["agents"]]
        )

    async with served(fast) as client, socket(client, "a", presence=True) as watching:

        async def beat() -> None:
            while True:
                await watching.send(json.dumps({"type": "heartbeat", "status": "busy"}))
                await asyncio.sleep(0.2)

        beating = asyncio.create_task(beat())
        async with socket(client, "b") as silent:
            await until(watching, shows("b", True))
            with pytest.raises(ConnectionClosed) as left:
                await until(silent, of_type("never"))
        assert left.value.rcvd is not None
        assert left.value.rcvd.code == 4408
        await until(watching, shows("b", False))
        beating.cancel()
        (watched, _) = await AgentSyncService(fast).list_agents()
        assert (watched.agent_id, watched.online, watched.status) == ("a", True, "busy")


async def test_a_reader_that_takes_nothing_is_bounded_and_delays_nobody(
    runtime: Runtime, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.api.routes.sync_socket._SEND_SECONDS", 1.0)
    publish: Any = publisher(runtime, channel)
    async with served(runtime) as client, socket(client, "a") as reading, socket(client, "b", limit=5) as stuck:
        await until(reading, of_type("welcome"))
        seen: list[int] = []

        async def read() -> None:
            while len(seen) < 60:
                message = json.loads(await reading.recv())
                seen.extend(one["data"]["n"] for one in message.get("events", ()))

        async with asyncio.timeout(30):
            task = asyncio.create_task(read())
            for number in range(60):
                await publish(number, text="x" * 200_000)
            await task
        assert seen == list(range(60))
        await asyncio.sleep(1.5)
        with pytest.raises(ConnectionClosed) as left:
            await until(stuck, of_type("never"))
        assert left.value.rcvd is None or left.value.rcvd.code == 4429


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("no json", 4400), ('{"type": "publish"}', 4400), ("[" * 5_000, 4400), ('{"type": "hello", "offset": "!"}', 4400),
        ('{"type": "hello", "token": "agk_ZGVmYXVsdA_' + "x" * 43 + '"}', 4401), (b"\x00", 4400),
        ('{"type": "hello", "from": {"channel_id": "x", "epoch": "e", "sequence": -1}}', 4400),
    ],
)  # fmt: skip
async def test_a_first_message_that_is_no_hello_ends_the_connection_with_the_reason(
    runtime: Runtime, channel: str, sent: Any, code: int
) -> None:
    async with served(runtime) as client:
        url = f"ws://{client.base_url.host}:{client.base_url.port}/api/agent-sync/agents/a/socket"
        async with connect(url) as opened:
            await opened.send(sent)
            with pytest.raises(ConnectionClosed) as ended:
                await until(opened, of_type("never"))
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, bool(ended.value.rcvd.reason)) == (code, True)


async def test_other_sites_and_other_tenants_get_nothing_and_a_key_without_the_right_no_values(
    runtime: Runtime, channel: str
) -> None:
    other = (await keys.create("other", role="admin", personal=True, runtime=runtime.for_tenant("b"))).secret
    plain = await keys.create("plain", role="viewer", runtime=runtime)
    publish: Any = publisher(runtime, channel)
    await publish(1, note="planted@example.com")
    fast = replace(runtime, settings=runtime.settings.model_copy(update={"sync_heartbeat_seconds": 0.4}), cached={})
    async with served(fast) as client:
        url = f"ws://{client.base_url.host}:{client.base_url.port}/api/agent-sync/agents/a/socket"
        for origin, name in (("https://evil.example", client.base_url.host), (None, "evil.example")):
            where = url.replace(client.base_url.host, name)
            with pytest.raises(InvalidStatus, match="403"):
                async with connect(where, origin=origin, host="127.0.0.1", port=client.base_url.port):
                    pass
        async with socket(client, "a", key=other) as foreign:
            welcome = await until(foreign, of_type("welcome"))
            told = [json.loads(await foreign.recv())["type"] for _ in range(3)]
        assert (welcome["offset"], set(told)) == ("e30", {"heartbeat"})  # of no channel
        async with socket(client, "a", token=plain.secret) as masked:
            message = await until(masked, of_type("events"))
            assert ("planted" in json.dumps(message), len(message["events"])) == (False, 1)
            await keys.revoke(plain.key.id, runtime=runtime)
            with pytest.raises(ConnectionClosed) as ended:
                await until(masked, of_type("never"))
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 4401
