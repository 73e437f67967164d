"""Synchronisation over HTTP: the ten endpoints, live events with resume, and what callers may see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from agent.access import keys
from agent.jobs.maintenance import maintain
from agent.runtime import Runtime
from agent.testing.served import served

ROOT = "/api/agent-sync"
JSON = {"Content-Type": "application/json"}
EVENT = {"source_agent_id": "a", "event_type": "status_update", "data": {"note": "planted@example.com"}}


async def made(client: httpx.AsyncClient, *agents: str, **kind: Any) -> str:
    """Make a channel with subscribers, and return its id."""
    answer = await client.post(f"{ROOT}/channels", json={"name": "c", **kind})
    channel = answer.json()["channel_id"]
    for agent in agents:
        joined = await client.post(f"{ROOT}/channels/{channel}/subscribe", json={"agent_id": agent})
        assert joined.status_code == 201, joined.text
    return str(channel)


async def test_live_events_go_on_after_the_last_event_id(runtime: Runtime) -> None:
    async with served(runtime) as client:
        channel = await made(client, "a", "b")

        async def publish(count: int) -> None:
            for _ in range(count):
                assert (await client.post(f"{ROOT}/channels/{channel}/publish", json=EVENT)).status_code == 201

        async def live(count: int, last: str | None) -> tuple[list[int], str]:
            """Read `count` events from the stream."""
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            found: list[int] = []
            async with client.stream("GET", f"{ROOT}/agents/b/events", headers=headers) as stream:
                assert stream.status_code == 200
                async for line in stream.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "data":
                        found.append(json.loads(value)["sequence"])
                    if name == "id":
                        last = value
                    if len(found) >= count and not line:
                        break
            assert last
            return found, last

        async with asyncio.timeout(20):
            (first, last), _ = await asyncio.gather(live(3, None), publish(3))
            await publish(2)  # nobody reads
            (second, _), _ = await asyncio.gather(live(4, last), publish(2))
        assert first + second == [1, 2, 3, 4, 5, 6, 7]


async def test_reading_delivering_and_acknowledging_by_plain_requests(runtime: Runtime) -> None:
    async with served(runtime) as client:
        channel = await made(client, "b")
        for _ in range(3):
            await client.post(f"{ROOT}/channels/{channel}/publish", json=EVENT)
        page = await client.get(f"{ROOT}/agents/b/events", params={"limit": 2})
        assert [one["sequence"] for one in page.json()["events"]] == [1, 2]
        rest = await client.get(f"{ROOT}/agents/b/events", params={"offset": page.headers["stream-next-offset"]})
        assert [one["sequence"] for one in rest.json()["events"]] == [3]
        fetched = await client.post(f"{ROOT}/agents/b/fetch", params={"channel_id": channel})
        assert [one["attempts"] for one in fetched.json()["events"]] == [1, 1, 1]
        done = await client.post(f"{ROOT}/agents/b/ack", json={"channel_id": channel, "sequences": [3, 1]})
        assert done.json() == {"acknowledged": [1, 3], "already": []}
        left = await client.get(f"{ROOT}/agents/b/events")
        assert [one["sequence"] for one in left.json()["events"]] == [2, 3]  # after the last one without a gap


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("channels/CHANNEL/publish", {**EVENT, "data": {"x": "a\x00b"}}, 422),
        ("channels/CHANNEL/publish", {**EVENT, "data": {"x": "y" * 300_000}}, 422),
        ("channels/CHANNEL/publish", {**EVENT, "event_type": "a\nb"}, 422),
        ("channels/CHANNEL/broadcast", {"event_type": "x", "target_agents": []}, 422),
        ("channels/no-uuid/publish", EVENT, 404),
        ("channels/00000000-0000-0000-0000-000000000001/publish", EVENT, 404),
        ("channels/00000000-0000-0000-0000-000000000001/subscribe", {"agent_id": "a"}, 404),
        ("channels/CHANNEL/subscribe", {"agent_id": "a", "start": "yesterday"}, 422),
        ("channels", {"name": "c", "channel_type": "inbound"}, 422),
        ("agents/a/ack", {"channel_id": "CHANNEL", "sequences": [1]}, 422),
        ("agents/stranger/ack", {"channel_id": "CHANNEL", "sequences": [1]}, 404),
        ("agents/a/snapshot", {"state": {"x": 1}, "expected_version": 7}, 409),
        ("agents/a/reconcile", {"strategy": "mine", "conflict_data": {}}, 422),
        ("agents/a/reconcile", {"strategy": "merge", "conflict_data": {"theirs": {}, "base_version": 9}}, 404),
        (
            "agents/a/reconcile",
            {"strategy": "latest_wins", "conflict_data": {"theirs": {"x": 1}, "clock": "9999999999999999-00000-a"}},
            422,
        ),
    ],
)
async def test_bad_input_is_refused_with_the_next_step(runtime: Runtime, path: str, body: Any, status: int) -> None:
    async with served(runtime) as client:
        channel = await made(client, "a")
        content = json.dumps(body).replace("CHANNEL", channel)
        answer = await client.post(f"{ROOT}/{path.replace('CHANNEL', channel)}", content=content, headers=JSON)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        assert not answer.json()["detail"].startswith("Correct body:")  # it names what to correct
        count = (await client.get(f"{ROOT}/statistics")).json()
        assert (count["event_count"], count["snapshots"]) == (0, 0)


async def test_deep_nesting_is_refused(runtime: Runtime) -> None:
    async with served(runtime) as client:
        channel = await made(client, "a")
        for depth in (61, 5_000, 100_000):
            data = '{"x":' * depth + "1" + "}" * depth
            body = f'{{"source_agent_id": "a", "event_type": "x", "data": {data}}}'
            answer = await client.post(f"{ROOT}/channels/{channel}/publish", content=body, headers=JSON)
            assert answer.status_code in (400, 422), (depth, answer.text[:200])


async def test_another_tenant_and_a_key_without_the_right_see_no_values(runtime: Runtime) -> None:
    plain = (await keys.create("plain", role="operator", runtime=runtime)).secret
    personal = (await keys.create("personal", role="operator", personal=True, runtime=runtime)).secret
    other = (await keys.create("other", role="admin", personal=True, runtime=runtime.for_tenant("b"))).secret
    async with served(runtime) as client:
        channel = await made(client, "a")
        await client.post(f"{ROOT}/channels/{channel}/publish", json=EVENT)
        await client.post(f"{ROOT}/agents/a/snapshot", json={"state": EVENT["data"]})
        answers = {}
        for name, key in (("plain", plain), ("personal", personal), ("other", other)):
            headers = {"Authorization": f"Bearer {key}"}
            paths = ("agents/a/events", "agents/a/state", f"channels/{channel}")
            answers[name] = [await client.get(f"{ROOT}/{path}", headers=headers) for path in paths]
            joined = await client.post(f"{ROOT}/channels/{channel}/subscribe", json={"agent_id": "a"}, headers=headers)
            assert joined.status_code == (404 if name == "other" else 201)
    assert all("planted" in one.text for one in answers["personal"][:2])
    assert not any("planted" in one.text for one in answers["plain"])
    assert len(answers["plain"][0].json()["events"]) == 1
    assert [one.status_code for one in answers["other"]] == [404, 404, 404]


async def test_what_waits_is_decided_revived_and_ended_over_http_too(runtime: Runtime) -> None:
    async with served(runtime) as client:
        channel = await made(client, "a")
        terms = {"agent_id": "b", "max_deliver": 1, "ack_wait_seconds": 0.001}
        await client.post(f"{ROOT}/channels/{channel}/subscribe", json=terms)
        await client.post(f"{ROOT}/channels/{channel}/publish", json=EVENT)
        for _ in range(3):
            await client.post(f"{ROOT}/agents/b/fetch", params={"channel_id": channel})
            await asyncio.sleep(0.01)
        (letter,) = (await client.get(f"{ROOT}/agents/b/dead-letters")).json()
        place = {"channel_id": channel, "sequence": letter["sequence"]}
        assert (await client.post(f"{ROOT}/agents/b/dead-letters/revive", json=place)).status_code == 204
        assert (await client.post(f"{ROOT}/agents/b/dead-letters/revive", json=place)).status_code == 404
        again = (await client.post(f"{ROOT}/agents/b/fetch", params={"channel_id": channel})).json()["events"]
        assert [one["sequence"] for one in again] == [1]
        ended = [await client.delete(f"{ROOT}/channels/{channel}/subscriptions/b") for _ in range(2)]
        assert [one.status_code for one in ended] == [204, 404]
        left = (await client.get(f"{ROOT}/channels/{channel}/subscriptions")).json()
        assert [one["agent_id"] for one in left] == ["a"]
        await client.post(f"{ROOT}/agents/a/snapshot", json={"state": {"x": 1}})
        data = {"theirs": {"x": 2}, "base": {"x": 0}}
        met = await client.post(f"{ROOT}/agents/a/reconcile", json={"strategy": "merge", "conflict_data": data})
        path = f"{ROOT}/conflicts/{met.json()['conflicts'][0]['conflict_id']}/resolve"
        old = await client.post(path, json={"take": "theirs", "expected_version": 7})
        done = await client.post(path, json={"take": "value", "value": None, "expected_version": met.json()["version"]})
        twice = await client.post(path, json={"take": "theirs", "expected_version": done.json()["version"]})
    assert (old.status_code, done.json()["state"], twice.status_code) == (409, {"x": None}, 409)


async def test_the_jobs_forget_what_is_older_than_it_is_kept(runtime: Runtime) -> None:
    async with served(runtime) as client:
        channel = await made(client, "a")
        for _ in range(2):
            await client.post(f"{ROOT}/channels/{channel}/publish", json=EVENT)
        age = "update agents.agent_sync_events set published_at = now() - interval '99 days' where tenant_id = %(tenant_id)s and sequence = 1"
        await runtime.execute(age)
        await maintain(runtime.tenant_id, runtime)
        left = (await client.get(f"{ROOT}/agents/a/events", params={"offset": "-1"})).json()
    assert [one["sequence"] for one in left["events"]] == [2]
