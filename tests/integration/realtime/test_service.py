"""The realtime service over several processes, against hostile clients, and while Pusher is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import agent.integration.realtime.apps as apps
import agent.integration.realtime.occupancy as occupancy
import agent.integration.realtime.publishing as publishing
import agent.integration.realtime.signatures as signatures
from agent.errors import InvalidInput
from agent.integration.circuits import phases
from agent.integration.realtime.agent import RealtimeUpdateAgent
from agent.integration.realtime.apps import App, checked_url
from agent.integration.realtime.delivery import PUSHER, TERMS, WEBHOOKS, Delivery, HostedPusher
from agent.integration.realtime.signatures import Credentials
from agent.runtime import Runtime
from agent.settings import Settings
from agent.sync import AgentSyncService
from agent.testing.receiver import receiving
from agent.testing.running import running
from agent.testing.served import served

# From Pusher's public documentation of its HTTP API and of its auth signatures.
DOCUMENTED = Credentials(key="278d425bdf160c739803", secret="7ad3773142a6692b25b8")


def test_signatures_are_those_of_pushers_documentation() -> None:
    assert signatures.channel_auth(DOCUMENTED, "1234.1234", "private-foobar") == (
        "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    )
    data = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}'
    assert signatures.channel_auth(DOCUMENTED, "1234.1234", "presence-foobar", data) == (
        "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
    )
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    query = {
        "auth_key": DOCUMENTED.key, "auth_timestamp": "1353088179", "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
        "auth_signature": "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
    }  # fmt: skip

    def refused(now: float = 1353088179, sent: bytes = body, path: str = "/apps/3/events", **more: str) -> str | None:
        return signatures.why_refused(DOCUMENTED, "POST", path, body=sent, query={**query, **more}, now=now)

    assert refused() is None
    assert refused(now=1353088179 + 601) is not None
    assert refused(sent=body + b" ") is not None
    assert refused(path="/apps/4/events") is not None
    assert refused(more="x") is not None
    assert refused(auth_signature="é") is not None
    assert refused(auth_timestamp="٣") is not None


@asynccontextmanager
async def client(http: Any, app: App, query: str = "protocol=7") -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{http.base_url.port}/app/{app.app_key}?{query}", ping_interval=None) as socket:
        yield socket


async def got(socket: ClientConnection, event: str) -> Any:
    """Return the next message of this event, with its data read."""
    async with asyncio.timeout(15):
        while True:
            message = json.loads(await socket.recv())
            if message["event"] == event:
                data = message.get("data")
                return {**message, "data": json.loads(data) if isinstance(data, str) and data[:1] in '{["' else data}


async def send(socket: ClientConnection, event: str, data: Any, **more: Any) -> None:
    await socket.send(json.dumps({"event": event, "data": data, **more}))


async def join(socket: ClientConnection, app: App, runtime: Runtime, channel: str, user: str | None = None) -> Any:
    welcome = await got(socket, "pusher:connection_established")
    key = await apps.credentials(app, runtime=runtime)
    data = None if user is None else json.dumps({"user_id": user})
    auth = signatures.channel_auth(key, welcome["data"]["socket_id"], channel, data)
    given = {"channel": channel, "auth": auth} | ({"channel_data": data} if data else {})
    await send(socket, "pusher:subscribe", given)
    return await got(socket, "pusher_internal:subscription_succeeded")


async def test_presence_counts_over_processes_and_a_dead_one_is_forgotten(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = "presence-room"
    async with running(settings) as first, running(settings) as second, served(first) as here, served(second) as there:
        app = await apps.default(runtime=first)
        async with client(here, app) as ann:
            assert (await join(ann, app, first, channel, "ann"))["data"]["presence"]["ids"] == ["ann"]
            async with client(there, app) as bob, client(here, app) as again:
                joined = await join(bob, app, first, channel, "bob")
                assert sorted(joined["data"]["presence"]["ids"]) == ["ann", "bob"]
                assert (await got(ann, "pusher_internal:member_added"))["data"] == {"user_id": "bob"}
                await join(again, app, first, channel, "bob")  # the same member a second time: nobody is told
            assert (await got(ann, "pusher_internal:member_removed"))["data"] == {"user_id": "bob"}
            # A process that is killed says nothing: what it said is taken back by whoever is left.
            async with client(there, app) as eve:
                await join(eve, app, first, channel, "eve")
                assert (await got(ann, "pusher_internal:member_added"))["data"] == {"user_id": "eve"}
                await first.execute(
                    "update agents.realtime_occupancy set seen_at = now() - interval '2 minutes' where tenant_id = %(tenant_id)s and members ? 'eve'"
                )
                assert set(await occupancy.members(app, channel, runtime=first)) == {"ann"}
                await occupancy.forget_dead(app, runtime=first)
                assert (await got(ann, "pusher_internal:member_removed"))["data"] == {"user_id": "eve"}


async def test_what_a_client_must_not_do_is_answered_and_ends_nobody_else(runtime: Runtime) -> None:
    app = await apps.default(runtime=runtime)
    async with served(runtime) as http:
        for key, query, code in (
            (app.app_key, "", 4008), (app.app_key, "protocol=99", 4007), ("x", "protocol=7", 4001),
            (app.app_key[:-1] + ("0" if app.app_key[-1] != "0" else "1"), "protocol=7", 4001), ("é" * 50, "protocol=7", 4001),
        ):  # fmt: skip
            url = f"ws://127.0.0.1:{http.base_url.port}/app/{key}?{query}"
            async with connect(url) as socket:
                assert (await got(socket, "pusher:error"))["data"]["code"] == code
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == code
        async with client(http, app) as good, client(http, app) as bad:
            await join(good, app, runtime, "private-a")
            await got(bad, "pusher:connection_established")
            for text in (
                "",
                "{",
                "[]",
                "1",
                '{"event": 1}',
                "[" * 50_000,
                '{"event": "pusher:nothing"}',
                '{"event":"pusher:subscribe","data":"{"}',
            ):
                await bad.send(text)
                assert (await got(bad, "pusher:error"))["data"]["code"] == 4000
            await bad.send(b"\x00\xff")
            await got(bad, "pusher:error")
            for channel, auth in (
                ("private-a", "x:y"),
                ("private-a", None),
                ("presence-a", "é"),
                ("a/b", ""),
                ("", ""),
                ("c" * 300, ""),
            ):
                await send(bad, "pusher:subscribe", {"channel": channel, "auth": auth})
                assert (await got(bad, "pusher:subscription_error"))["data"]["status"] == 401
            await send(bad, "client-x", {}, channel="private-a")
            assert (await got(bad, "pusher:error"))["data"]["code"] == 4301
            # Ten client events a second, none of more than 10 kB, and the server's own names are nobody else's.
            await send(good, "client-big", "x" * 10_241, channel="private-a")
            assert (await got(good, "pusher:error"))["data"]["code"] == 4301
            for number in range(30):
                await send(good, "client-n", number, channel="private-a")
            assert (await got(good, "pusher:error"))["data"]["code"] == 4301
            await send(good, "pusher:ping", {})
            await got(good, "pusher:pong")
    for wrong in (
        [["a"], "e", "x" * 10_241], [["a"] * 101, "e", ""], [[], "e", ""], [["a b"], "e", ""], [["a"], "", ""], [["a"], "pusher:x", ""],
        [["a"], "e", {"no": "text"}], [["private-encrypted-a", "b"], "e", ""],
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            publishing.checked(*wrong)  # type: ignore[arg-type]
    for url in (
        "http://example.com",
        "https://10.0.0.1/x",
        "https://u:p@example.com",
        "file:///etc/passwd",
        "https://[::1",
        "gopher://x",
    ):
        with pytest.raises(InvalidInput):
            checked_url(url)


async def test_a_renewed_key_is_refused_in_its_old_form_and_connections_are_closed(runtime: Runtime) -> None:
    app = await apps.add("one", runtime=runtime)
    async with served(runtime) as http, client(http, app) as socket:
        await got(socket, "pusher:connection_established")
        changed = await apps.new_key(app.app_id, runtime=runtime)
        assert changed.app_key != app.app_key
        from agent.integration.realtime.hub import hub_of

        for room in list(hub_of(runtime)._rooms.values()):
            await room.renew()
        with pytest.raises(ConnectionClosed):
            await got(socket, "nothing")
        assert socket.close_code == 4001


async def test_pusher_that_is_down_for_an_hour_is_hardly_asked_and_gets_every_event_in_order_when_it_is_back(
    settings: Settings,
) -> None:
    """A second stands for ten minutes: pauses and the circuit's times are as much shorter as the hour."""
    terms = {PUSHER: {**TERMS[PUSHER], "backoff_seconds": [0.3, 0.3, 0.4]}, WEBHOOKS: TERMS[WEBHOOKS]}
    async with receiving() as pusher:
        more = Settings(
            _env_file=None, PUSHER_APP_ID="7", PUSHER_KEY=DOCUMENTED.key, PUSHER_SECRET=DOCUMENTED.secret, pusher_url=pusher.url,
            integration_failure_threshold=3, integration_recovery_seconds=0.1,
        )  # type: ignore[call-arg]  # by their environment variables  # fmt: skip
        names = (
            "pusher_app_id", "pusher_key", "pusher_secret", "pusher_url", "integration_failure_threshold", "integration_recovery_seconds",
        )  # fmt: skip
        changed = settings.model_copy(update={name: getattr(more, name) for name in names})
        async with running(changed) as runtime:
            app = await apps.default(runtime=runtime)
            agent = RealtimeUpdateAgent(runtime)
            agent.connect("pusher", HostedPusher(runtime))
            processes = [Delivery(runtime, to_pusher=agent._post_to_pusher, terms=terms) for _ in range(2)]
            for one in processes:
                one.start()
            async with asyncio.timeout(20):
                while not await _subscribed(runtime):
                    await asyncio.sleep(0.05)
            pusher.answers = [503] * 10_000
            for number in range(100):
                event = publishing.checked(["news"], "n", json.dumps({"n": number}))
                await publishing.publish(app, [event], runtime=runtime)
            await asyncio.sleep(6)
            asked = 10_000 - len(pusher.answers)
            (waiting,) = await AgentSyncService(runtime).list_subscriptions(agent_id="pusher")
            assert (waiting.lag + waiting.pending, waiting.pending, waiting.dead) == (100, 1, 0)
            assert (
                asked <= 6 * 10 * 3 + 6
            )  # what the circuit lets through, not what 100 events and two processes would ask
            assert (await phases(runtime=runtime))["pusher"] in ("open", "half_open")
            assert (await agent.check(await phases(runtime=runtime))).status == "degraded"
            pusher.answers = [400]  # one that it never takes stops none behind it
            async with asyncio.timeout(60):
                while len(pusher.got) < 99:
                    await asyncio.sleep(0.05)
            for one in processes:
                await one.stop()
            assert (await phases(runtime=runtime))["pusher"] == "closed"
    once = list(
        dict.fromkeys(json.loads(one.json["data"])["n"] for one in pusher.got)
    )  # an answer that is lost makes two of one
    assert once[-99:] == list(range(1, 100))
    assert len(once) <= 100
    for one in pusher.got[:3]:
        path, _, text = one.path.partition("?")
        query = dict(pair.split("=") for pair in text.split("&"))
        assert signatures.why_refused(DOCUMENTED, "POST", path, body=one.body, query=query, now=time.time()) is None
        assert (path, one.json["channels"]) == ("/apps/7/events", ["news"])


async def _subscribed(runtime: Runtime) -> bool:
    return bool(await AgentSyncService(runtime).list_subscriptions(agent_id="pusher"))
