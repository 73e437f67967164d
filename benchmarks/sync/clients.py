"""Follow events as many agents: `python -m benchmarks.sync.clients sockets|streams URL CLIENTS EVENTS`.

Prints `ready` when all are connected, and at the end how many events came in their order, and the seconds that each took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

CONNECTING, PATIENCE = 50, 120


class Clients:
    """All clients of one run."""

    def __init__(self, url: str, count: int, events: int) -> None:
        self.url, self.events = url.rstrip("/") + "/api/agent-sync/agents", events
        self.right, self.times = [0] * count, list[float]()
        self.ready = 0
        self._limit = asyncio.Semaphore(CONNECTING)
        self._sockets: list[ClientConnection] = []

    async def read(self, number: int, kind: str, session: aiohttp.ClientSession) -> None:
        """Read until all events have come."""
        stream = self.socket(number) if kind == "sockets" else self.stream(number, session)
        async for data in stream:
            self.times.append(time.perf_counter() - data["at"])
            self.right[number] += data["n"] == self.right[number]
            if self.right[number] == self.events:
                return

    async def socket(self, number: int) -> AsyncIterator[dict[str, float]]:
        """Yield the data of events over a WebSocket."""
        async with self._limit:
            address = f"{self.url.replace('http', 'ws', 1)}/sockets-{number}/socket"
            opened = await connect(address, open_timeout=120, ping_interval=None)
            await opened.send('{"type": "hello"}')
            await opened.recv()
            self._sockets.append(opened)
            self.ready += 1
        while True:
            for one in json.loads(await opened.recv()).get("events", ()):
                yield one["data"]

    async def stream(self, number: int, session: aiohttp.ClientSession) -> AsyncIterator[dict[str, float]]:
        """Yield the data of server-sent events."""
        async with self._limit:
            answer = await session.get(f"{self.url}/streams-{number}/events", headers={"Accept": "text/event-stream"})
            answer.raise_for_status()
            self.ready += 1
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])["data"]

    async def beat(self) -> None:
        """Say that all WebSockets live."""
        while True:
            await asyncio.sleep(8)
            for one in list(self._sockets):
                with suppress(ConnectionClosed):
                    await one.send('{"type": "heartbeat"}')


async def main(kind: str, url: str, count: int, events: int) -> None:
    clients = Clients(url, count, events)
    unlimited = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=unlimited, timeout=aiohttp.ClientTimeout(None)) as session:
        tasks = [asyncio.create_task(clients.read(number, kind, session)) for number in range(count)]
        beating = asyncio.create_task(clients.beat())
        while clients.ready < count and not any(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        for task in tasks:
            if task.done():
                task.result()  # it was refused: that ends this process
        print("ready", flush=True)
        await asyncio.wait(tasks, timeout=PATIENCE)
        for task in (*tasks, beating):
            task.cancel()
        await asyncio.gather(*tasks, beating, return_exceptions=True)
    print(json.dumps({"right": sum(clients.right), "times": clients.times}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
