"""An address on this machine that keeps what is posted to it, for tests of what is sent to others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request that was taken: its path with the query, its headers, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Keeps what it takes. `answers` are the statuses of the next answers, after which it is 200; 0 hangs."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Answer one request, and keep it if the answer is 200."""
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            await asyncio.sleep(3_600)
        body = await request.read()
        if status == 200:
            self.got.append(Received(path=request.path_qs, headers=dict(request.headers), body=body))
        return web.Response(status=status, headers={"Location": "/elsewhere", "Retry-After": "0"})

    def bodies(self, path: str) -> list[Any]:
        """Return what came to a path, as JSON, the oldest first."""
        return [one.json for one in self.got if one.path.startswith(path)]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()
