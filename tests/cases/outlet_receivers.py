"""Receivers of outlets that can be stopped and started: Debian's Redis and RabbitMQ, and a server on loopback that speaks Supabase Realtime."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
from redis.asyncio import Redis
from tests.integration.redis_server import RedisServer

from agent.testing.processes import free_port
from agent.testing.realtime_server import RealtimeServer

TARGET = "events"
_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in PATH changes to a user of its own


class RedisReceiver:
    """A reader of a stream."""

    kind, target = "redis", TARGET

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder)

    @property
    def settings(self) -> dict[str, Any]:
        return {"sync_redis_url": self.server.url}

    async def start(self) -> None:
        self.server.start()

    async def stop(self) -> None:
        self.server.kill()

    async def took(self) -> list[dict[str, Any]]:
        async with Redis.from_url(self.server.url) as client:
            return [json.loads(fields[b"event"]) for _, fields in await client.xrange(TARGET)]


class RabbitMQServer:
    """Debian's RabbitMQ in a folder, with a name service of its own for Erlang's nodes."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        names = free_port()
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = false\n")
        (folder / "plugins").write_text("[].")
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost", "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }  # fmt: skip
        self._names = subprocess.Popen(["epmd", "-port", str(names), "-address", "127.0.0.1"])
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(
            [_RABBITMQ], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip
        for _ in range(600):
            try:
                await (await aio_pika.connect(self.url, timeout=5)).close()
                return
            except OSError:
                assert self._process.poll() is None, "the RabbitMQ of the test has ended"
                await asyncio.sleep(0.1)
        raise AssertionError("the RabbitMQ of the test does not answer")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def end(self) -> None:
        self.kill()
        self._names.kill()
        self._names.wait()


class RabbitMQReceiver:
    """A reader of a queue: it keeps what it read when the server is killed."""

    kind = "rabbitmq"

    def __init__(self, server: RabbitMQServer) -> None:
        self.server, self.target = server, f"events-{uuid4().hex}"
        self.seen: list[dict[str, Any]] = []
        self.ids: list[str | None] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {"sync_rabbitmq_url": self.server.url}

    async def start(self) -> None:
        if self.server._process is None:
            await self.server.start()

    async def stop(self) -> None:
        self.server.kill()

    async def took(self) -> list[dict[str, Any]]:
        async with await aio_pika.connect(self.server.url) as connection:
            try:
                queue = await (await connection.channel()).get_queue(self.target, ensure=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return self.seen
            while message := await queue.get(fail=False):
                self.seen.append(json.loads(message.body))
                self.ids.append(message.message_id)
                await message.ack()
        return self.seen


class RealtimeReceiver(RealtimeServer):
    kind, target = "supabase", TARGET
    __slots__ = ()

    @property
    def settings(self) -> dict[str, Any]:
        return {"supabase_url": self.url, "sync_supabase_key": self.key}

    async def took(self) -> list[dict[str, Any]]:
        return [message["payload"] for message in self.broadcasts]


def once(events: list[dict[str, Any]]) -> list[int]:
    """The events as a reader keeps them: those that come twice are known by their place."""
    return [one["data"]["n"] for one in {(one["epoch"], one["sequence"]): one for one in events}.values()]
