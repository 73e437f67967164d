"""Events of plans reach whoever follows them, over server-sent events and WebSocket, in the order of each plan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import httpx
from websockets.asyncio.client import connect

from agent.orchestration import AgentOrchestrator, BaseAgent, store
from agent.orchestration.channel import publish
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.testing.served import served

ROOT = "/api/agent-sync/agents"


class Quick(BaseAgent):
    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        await asyncio.sleep(context["attempt"] * 0.01)
        if action == "fail":
            raise OSError("down")
        return "planted"


async def by_server_sent_events(client: httpx.AsyncClient, runs: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with client.stream("GET", f"{ROOT}/sse/events", headers={"Accept": "text/event-stream"}) as stream:
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "data":
                found.append(json.loads(value))
                if ended(found) == runs:
                    return found
    return found


async def by_websocket(client: httpx.AsyncClient, runs: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with connect(f"ws://{client.base_url.host}:{client.base_url.port}{ROOT}/ws/socket") as opened:
        await opened.send(json.dumps({"type": "hello"}))
        while ended(found) < runs:
            message = json.loads(await opened.recv())
            found += message.get("events", [])
    return found


def ended(found: Iterable[dict[str, Any]]) -> int:
    return sum(one["event_type"] == "plan:completed" for one in found)


async def test_both_ways_bring_every_event_in_the_order_of_its_plan(runtime: Runtime) -> None:
    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(Quick("q"))
    told: list[str] = []

    def fails(event: dict[str, Any]) -> None:
        told.append(event["stepId"])
        raise RuntimeError("a handler of a stranger")

    orchestrator.on("step:completed", fails)
    await orchestrator.orchestrate({"id": "first", "steps": [{"id": "a", "agentId": "q"}]})
    await publish(runtime=runtime)
    service = AgentSyncService(runtime)
    (channel,) = [one for one in await service.list_sync_channels() if one.name == "plans"]
    for agent in ("sse", "ws"):
        await service.subscribe_agent_to_channel(agent, channel.channel_id)
    steps = [{"id": f"s{at}", "agentId": "q", "dependencies": [f"s{at // 2}"] if at > 1 else []} for at in range(1, 8)]
    bad = {"id": "bad", "agentId": "q", "action": "fail", "retryPolicy": {"maxRetries": 1, "backoffMs": 1}}
    fallback = {"steps": [{"id": "else", "agentId": "q"}]}
    plans = [{"id": f"p{at}", "steps": [*steps, bad], "fallbackPlan": fallback} for at in range(3)]
    async with served(runtime) as client, asyncio.timeout(30):
        sse, socket, *results = await asyncio.gather(
            by_server_sent_events(client, 3), by_websocket(client, 3), *map(orchestrator.orchestrate, plans)
        )
    assert all(result.success for result in results)
    assert told.count("s1") == 3
    assert [one["data"] for one in sse] == [one["data"] for one in socket]
    assert "planted" not in str(sse)
    for result in results:
        for run_id in (UUID(result.run_id), (await store.row_of(UUID(result.run_id), runtime=runtime))["fallback_id"]):
            stored = [(one.id, one.kind) for one in await store.events(run_id, runtime=runtime)]
            seen = [(one["data"]["eventId"], one["event_type"]) for one in sse if one["data"]["runId"] == str(run_id)]
            assert seen == stored
            assert (seen[0][1], seen[-1][1]) in {("plan:started", "plan:fallback"), ("plan:started", "plan:completed")}
