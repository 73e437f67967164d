"""Receivers of outlets that can be stopped and started: Debian's Redis, and a server on loopback that speaks Supabase Realtime."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from agent.testing.realtime_server import RealtimeServer

TARGET = "events"


class RedisReceiver:
    """Debian's Redis in a folder, which it keeps over a restart."""

    kind = "redis"

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def settings(self) -> dict[str, Any]:
        return {"sync_redis_url": self.url}

    async def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--dir",
                str(self.folder),
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.1):
                    return
            except OSError:
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    async def took(self) -> list[dict[str, Any]]:
        async with Redis.from_url(self.url) as client:
            return [json.loads(fields[b"event"]) for _, fields in await client.xrange(TARGET)]


class RealtimeReceiver(RealtimeServer):
    kind = "supabase"
    __slots__ = ()

    @property
    def settings(self) -> dict[str, Any]:
        return {"supabase_url": self.url, "sync_supabase_key": self.key}

    async def took(self) -> list[dict[str, Any]]:
        return [message["payload"] for message in self.broadcasts]


def once(events: list[dict[str, Any]]) -> list[int]:
    """The events as a reader keeps them: those that come twice are known by their place."""
    return [one["data"]["n"] for one in {(one["epoch"], one["sequence"]): one for one in events}.values()]
