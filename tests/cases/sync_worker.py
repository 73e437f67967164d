"""Publishes, consumes or follows events until it is killed: `python sync_worker.py publish|consume|follow CHANNEL`.

`publish` posts to the server at SERVER, and repeats what it got no answer to. `consume` takes a durable subscription, and `follow`
reads the server's WebSocket from the offset that it kept. Both write down what they saw in the database SEEN.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import httpx
import psycopg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from agent.runtime import open_runtime
from agent.sync import AgentSyncService, Event

TOTAL = 300
API = f"{os.environ['SERVER']}/api/agent-sync"
NOTE = "insert into public.seen values (%s, %s)"


async def publish(channel: str) -> None:
    async with httpx.AsyncClient(base_url=API, timeout=10) as client:
        for number in range(TOTAL):
            event = {"source_agent_id": "p", "event_type": "n", "data": {"n": number}, "dedupe_key": f"k{number}"}
            while True:
                try:
                    answer = await client.post(f"/channels/{channel}/publish", json=event)
                except httpx.HTTPError:  # the server is away, or was killed while it answered
                    await asyncio.sleep(0.05)
                    continue
                answer.raise_for_status()
                break


async def consume(channel: str) -> None:
    runtime = await open_runtime()
    conn = await psycopg.AsyncConnection.connect(os.environ["SEEN"], autocommit=True)

    async def note(event: Event) -> None:
        await conn.execute(NOTE, ["consume", event.sequence])

    await AgentSyncService(runtime).consume("r", channel, note)


async def follow(_channel: str) -> None:
    conn = await psycopg.AsyncConnection.connect(os.environ["SEEN"], autocommit=True)
    while True:
        row = await (await conn.execute("select value from public.reached")).fetchone()
        try:
            async with connect(f"{API.replace('http', 'ws', 1)}/agents/f/socket") as opened:
                await opened.send(json.dumps({"type": "hello", "offset": row[0] if row else "-1"}))
                async for text in opened:
                    message = json.loads(text)
                    if message["type"] != "events":
                        continue
                    assert message["recovered"]
                    async with conn.transaction():
                        for one in message["events"]:
                            await conn.execute(NOTE, ["follow", one["sequence"]])
                        await conn.execute("delete from public.reached")
                        await conn.execute("insert into public.reached values (%s)", [message["offset"]])
        except (OSError, WebSocketException):
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run({"publish": publish, "consume": consume, "follow": follow}[sys.argv[1]](sys.argv[2]))
