"""Publishes or consumes events until it is killed: `python sync_worker.py publish|consume CHANNEL`."""

from __future__ import annotations

import asyncio
import os
import sys

import psycopg

from agent.runtime import open_runtime
from agent.sync import AgentSyncService, Event

TOTAL = 300


async def main(role: str, channel: str) -> None:
    runtime = await open_runtime()
    service = AgentSyncService(runtime)
    if role == "publish":
        for number in range(TOTAL):
            event = {"source_agent_id": "p", "event_type": "n", "data": {"n": number}, "dedupe_key": f"k{number}"}
            await service.publish_sync_event(channel, event)
            await asyncio.sleep(0.005)
        await runtime.close()
        return
    conn = await psycopg.AsyncConnection.connect(os.environ["SEEN"], autocommit=True)

    async def note(event: Event) -> None:
        await conn.execute("insert into public.seen values (%s)", [event.sequence])

    await service.consume("r", channel, note)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
