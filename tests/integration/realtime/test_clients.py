"""Clients and server libraries of Pusher, unmodified: pusher-js from npm, Pysher, and the `pusher` library against this server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pusher
import pytest
from tests.integration.processes import Client, client_process
from websockets.asyncio.client import connect

import agent.integration.realtime.apps as apps
from agent.access import keys
from agent.integration.realtime.delivery import Delivery
from agent.runtime import Runtime
from agent.testing.receiver import receiving
from agent.testing.served import served

CLIENTS = Path(__file__).parents[1] / "clients"
SCRIPT, PYSHER = CLIENTS / "pusher_js.js", CLIENTS / "pysher_client.py"


@asynccontextmanager
async def pusher_js(folder: Path, **options: Any) -> AsyncIterator[Client]:
    script = folder / "client.js"
    script.write_text(SCRIPT.read_text())
    async with client_process("node", script, **options) as client:
        yield client


@pytest.fixture
def library() -> Iterator[Callable[..., pusher.Pusher]]:
    """Make server libraries, and close the connections that they keep open."""
    made: list[pusher.Pusher] = []

    def make(app: apps.App, secret: str, client: httpx.AsyncClient, /, **other: Any) -> pusher.Pusher:
        given = {"app_id": str(app.app_id), "key": app.app_key, "secret": secret, **other}
        made.append(pusher.Pusher(**given, host=client.base_url.host, port=client.base_url.port, ssl=False))
        return made[-1]

    yield make
    for one in made:
        one._pusher_client.http.session.close()


async def test_pusher_js_meets_the_pusher_library_in_every_kind_of_channel(
    runtime: Runtime, npm: Callable[..., Path], library: Callable[..., pusher.Pusher]
) -> None:
    folder = npm("pusher-js")
    app = await apps.default(runtime=runtime)
    secret = (await apps.credentials(app, runtime=runtime)).secret
    people = [
        (await keys.create(f"k{name}", person=name, role="viewer", runtime=runtime)).secret for name in ("ann", "bob")
    ]
    async with served(runtime) as http:
        api = library(app, secret, http)
        options = {"key": app.app_key, "port": http.base_url.port}
        async with (
            pusher_js(folder, **options, auth=people[0]) as ann,
            pusher_js(folder, **options, auth=people[1]) as bob,
        ):
            await ann.do("subscribe", "news")
            await ann.until("subscribed", channel="news")
            await asyncio.to_thread(api.trigger, "news", "headline", {"title": "Grüße", "n": 1})
            got = await ann.until("event", channel="news")
            assert (got["event"], got["data"]) == ("headline", {"title": "Grüße", "n": 1})
            # Presence, and client events between the two.
            await ann.do("subscribe", "presence-room")
            assert (await ann.until("subscribed", channel="presence-room"))["ids"] == ["ann"]
            await bob.do("subscribe", "presence-room")
            assert await bob.until("subscribed") == {
                "channel": "presence-room",
                "count": 2,
                "ids": ["ann", "bob"],
                "me": "bob",
            }
            assert (await ann.until("added", id="bob"))["count"] == 2
            await bob.do("trigger", ["presence-room", "client-typing", {"on": True}])
            assert await ann.until("typed") == {"user_id": "bob"}
            assert (await ann.until("event", event="client-typing"))["data"] == {"on": True}
            users = await asyncio.to_thread(api.users_info, "presence-room")
            assert {one["id"] for one in users["users"]} == {"ann", "bob"}
            info = await asyncio.to_thread(api.channels_info, "presence-", ["user_count"])
            assert info == {"channels": {"presence-room": {"user_count": 2}}}
            # Who sent an event does not get it; a batch arrives in its order.
            batch = [{"channel": "news", "name": "n", "data": {"n": n}} for n in range(5)]
            await asyncio.to_thread(api.trigger_batch, batch)
            assert [(await ann.until("event", event="n"))["data"]["n"] for _ in range(5)] == list(range(5))
            # A private channel of another person, and a cache channel.
            await ann.do("subscribe", "private-person-bob")
            assert (await ann.until("refused"))["channel"] == "private-person-bob"
            await bob.do("subscribe", "private-cache-price")
            await bob.until("cache_miss")
            await asyncio.to_thread(api.trigger, "private-cache-price", "price", {"eur": 3})
            await bob.until("event", event="price")
            await ann.do("subscribe", "private-cache-price")
            assert (await ann.until("event", event="price"))["data"] == {"eur": 3}
            # Signed in, a user is reached by their id, and their connections can be ended.
            await bob.do("signin")
            await bob.until("signed_in")
            await asyncio.to_thread(api.send_to_user, "bob", "note", {"text": "hi"})
            assert (await bob.until("user_event"))["data"] == {"text": "hi"}
            await asyncio.to_thread(api.terminate_user_connections, "bob")
            assert (await ann.until("removed", id="bob"))["ids"] == ["ann"]
        async with asyncio.timeout(10):
            while (await asyncio.to_thread(api.channels_info))["channels"]:
                await asyncio.sleep(0.1)


async def test_pysher_subscribes_and_gets_events(runtime: Runtime, library: Callable[..., pusher.Pusher]) -> None:
    app = await apps.default(runtime=runtime)
    secret = (await apps.credentials(app, runtime=runtime)).secret
    async with served(runtime) as http:
        api = library(app, secret, http)
        options = {"key": app.app_key, "secret": secret, "port": http.base_url.port}
        async with client_process(sys.executable, PYSHER, **options) as client:
            for name in ("open", "private-one", "presence-two"):
                await client.until("subscribed", channel=name)
            for name in ("open", "private-one", "presence-two"):
                await asyncio.to_thread(api.trigger, name, "greet", {"to": name})
                assert (await client.until("event", channel=name))["data"] == {"to": name}
            users = await asyncio.to_thread(api.users_info, "presence-two")
            assert users == {"users": [{"id": "py"}]}


async def test_pusher_js_is_told_how_many_subscribe_where_the_application_says_so(
    runtime: Runtime, npm: Callable[..., Path]
) -> None:
    folder = npm("pusher-js")
    quiet = await apps.default(runtime=runtime)
    async with served(runtime) as http, receiving() as receiver:
        body = {"name": "counted", "subscription_counts": True, "webhook_url": f"{receiver.url}/hook"}
        made = (await http.post("/api/v1/integration/realtime/apps", json=body)).json()
        assert made["subscription_counts"] is True
        options = {"port": http.base_url.port}
        async with (
            pusher_js(folder, key=made["app_key"], **options) as ann,
            pusher_js(folder, key=made["app_key"], **options) as bob,
            pusher_js(folder, key=quiet.app_key, **options) as eve,
        ):
            for client in (ann, eve):
                await client.do("subscribe", "news")
            assert await ann.until("count", channel="news") == {"channel": "news", "told": 1, "known": 1}
            await bob.do("subscribe", "news")
            assert (await ann.until("count", told=2))["known"] == 2
            await bob.do("unsubscribe", "news")
            assert (await ann.until("count", told=1))["known"] == 1
            await eve.until("subscribed", channel="news")
            assert "count" not in [what for what, _ in eve.seen]
        delivery = Delivery(runtime)
        delivery.start()
        async with asyncio.timeout(20):
            while "channel_vacated" not in str(receiver.bodies("/hook")):
                await asyncio.sleep(0.05)
        await delivery.stop()
        events = [one for body in receiver.bodies("/hook") for one in body["events"]]
    counts = [one["subscription_count"] for one in events if one["name"] == "subscription_count"]
    assert (counts[:3], counts[-1]) == ([1, 2, 1], 0)


async def test_laravel_echo_and_the_server_library_for_node_find_what_they_know(
    runtime: Runtime, npm: Callable[..., Path]
) -> None:
    folder = npm("laravel-echo", "pusher-js", "pusher")
    app = await apps.default(runtime=runtime)
    secret = (await apps.credentials(app, runtime=runtime)).secret
    people = [
        (await keys.create(f"k{one}", person=one, role="viewer", runtime=runtime)).secret for one in ("ann", "bob")
    ]
    async with served(runtime) as http:
        given = {"key": app.app_key, "secret": secret, "appId": str(app.app_id), "port": http.base_url.port}
        process = await asyncio.create_subprocess_exec(
            "node", str(CLIENTS / "laravel_echo.mjs"), json.dumps({**given, "auths": people, "folder": str(folder)}),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    assert json.loads(said) == {
        "event": {"id": 1}, "whisper": {"by": "bob"}, "here": [{"name": "ann"}], "joining": {"name": "bob"}, "leaving": {"name": "bob"},
        "refused": 403, "info": {"channels": {"news": {"subscription_count": 1}}}, "users": {"users": [{"id": "ann"}]}, "long": 413,
    }  # fmt: skip


async def test_webhooks_come_signed_and_the_library_of_the_receiver_believes_them(
    runtime: Runtime, library: Callable[..., pusher.Pusher]
) -> None:
    async with receiving() as receiver, served(runtime) as http:
        app = await apps.add("hooked", webhook_url=f"{receiver.url}/hook", runtime=runtime)
        secret = (await apps.credentials(app, runtime=runtime)).secret
        api = library(app, secret, http)
        receiver.answers = [500]  # it comes again
        delivery = Delivery(runtime)
        delivery.start()
        address = f"ws://127.0.0.1:{http.base_url.port}/app/{app.app_key}?protocol=7"
        async with connect(address) as client:
            await client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": "c"}}))
            while "subscription_succeeded" not in await client.recv():
                pass
        async with asyncio.timeout(20):
            while len(receiver.got) < 2:
                await asyncio.sleep(0.05)
        await delivery.stop()
    names = []
    for one in receiver.got:
        found = api.validate_webhook(one.headers["X-Pusher-Key"], one.headers["X-Pusher-Signature"], one.body.decode())
        names += [event["name"] for event in found["events"]]
    assert sorted(names) == ["channel_occupied", "channel_vacated"]


@pytest.mark.parametrize("wrong", ["secret", "key", "app_id"])
async def test_forged_requests_are_refused(runtime: Runtime, library: Callable[..., pusher.Pusher], wrong: str) -> None:
    app = await apps.default(runtime=runtime)
    other = await apps.default(runtime=runtime.for_tenant("b"))
    secret = (await apps.credentials(app, runtime=runtime)).secret
    forged = {"secret": secret[::-1], "key": other.app_key, "app_id": str(other.app_id)}[wrong]
    async with served(runtime) as http:
        api = library(app, secret, http, **{wrong: forged})
        with pytest.raises(pusher.errors.PusherBadAuth):
            await asyncio.to_thread(api.trigger, "c", "e", {})
