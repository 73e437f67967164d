"""What our own agent does and learns is on its channel by itself: once, whole, and without anybody's values."""

from __future__ import annotations

import asyncio

import psycopg

from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.sync.own_events import CHANNEL, publish_news, say_alive
from agent.testing.served import served


async def test_turns_results_and_knowledge_are_published_once_by_however_many_processes(runtime: Runtime) -> None:
    service = AgentSyncService(runtime)
    assert (await publish_news(runtime=runtime), await service.list_sync_channels()) == (0, [])
    assert runtime.settings.database_url
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.notes (id int primary key, text text)")
    await agent_memory.save("The mayor's number is 555-0199.", kind="fact")
    await safe_executor.execute("execute_sql", {"sql": "select 'planted' as x"}, runtime=runtime)
    waits = await safe_executor.execute(
        "execute_sql", {"sql": "insert into notes values (1, 'planted')"}, wait=False, runtime=runtime
    )
    async with served(runtime) as client:
        answer = await client.post("/api/chat", json={"message": "How many notes are there?"})
        await asyncio.gather(*(publish_news(runtime=runtime) for _ in range(4)))
        await say_alive(runtime=runtime)
        (own,) = [one for one in await service.list_agents() if one.agent_id == "agent"]
        assert (own.online, own.status) == (True, "waiting")
        await safe_executor.decide(waits["approval_id"], "approve", runtime=runtime)
        await safe_executor.run_approved(waits["approval_id"], runtime=runtime)
        await asyncio.gather(*(publish_news(runtime=runtime) for _ in range(4)))
    channel = await service.find_sync_channel(CHANNEL)
    await service.subscribe_agent_to_channel("reader", channel.channel_id, start="all")
    events = (await service.get_agent_events("reader", limit=1000)).events
    assert [one.sequence for one in events] == list(range(1, channel.last_sequence + 1))
    results = [(one.data["action"], one.data["status"]) for one in events if one.event_type == "result"]
    assert results.count(("execute_sql", "succeeded")) >= 2
    turns = [one.data for one in events if one.event_type == "status_update"]
    assert {"thread_id": answer.json()["thread_id"], "turn": 1, "status": "done"} in turns
    assert {True, "fact"} <= {one.data.get("structure") or one.data.get("kind") for one in events}
    assert len({(one.event_type, str(one.data)) for one in events}) == len(events)
    assert not any(word in str(events) for word in ("planted", "555-0199", "mayor"))
