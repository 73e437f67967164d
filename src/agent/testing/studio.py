"""A Studio with the plugin of the bridge, for tests: a tree of scripts, the plugin's rules, and Roblox's limit of 500 requests a minute.

It does what `plugin/AgentBridge.luau` does: it pairs by a code, follows the stream or polls, asks before it first overwrites something,
keeps both where a script was changed in Studio, and makes one step for undo of what it applied together. Between two times it waits a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from agent.concurrency import end_tasks

_LIMIT, _MINUTE = 500, 60.0
_PAUSE = 1.0
_PATH = "/api/v1/integration/studio/plugin"


class TooManyRequests(Exception):
    """Roblox's HttpService refuses: more than 500 requests in a minute."""


class FakeStudio:
    """A Studio. `scripts` is the place: path -> text. `confirm` answers whether something may be overwritten for the first time."""

    def __init__(
        self,
        url: str,
        *,
        confirm: Callable[[str], bool] = lambda path: True,
        limit: int = _LIMIT,
        seconds: float = _MINUTE,
    ) -> None:
        self.scripts: dict[str, str] = {}
        self.undo_steps: list[list[str]] = []
        self.asked: list[str] = []
        self.requests: list[str] = []
        self._client = httpx.AsyncClient(base_url=url, timeout=40)
        self._confirm = confirm
        self._synced: dict[str, str] = {}  # path -> digest of the text that came from the bridge
        self._versions: dict[str, int] = {}
        self._times: deque[float] = deque()
        self._limit, self._seconds = limit, seconds
        self._announced = asyncio.Event()
        self._following: list[asyncio.Task[None]] = []

    async def pair(self, code: str) -> httpx.Response:
        """Pair by a code."""
        answer = await self._ask("POST", "/pair", json={"code": code, "place": "Test place"})
        if answer.is_success:
            self._client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return answer

    def follow(self, *, stream: bool = True) -> None:
        """Begin to apply what is sent: from the stream, or by asking again and again."""
        work = (self._stream(), self._apply_announced()) if stream else (self._poll(),)
        self._following = [asyncio.create_task(one) for one in work]

    async def close(self) -> None:
        """Close Studio. Raises `TooManyRequests` if it asked too often."""
        broken = [task.exception() for task in self._following if task.done()]
        await end_tasks(*self._following)
        await self._client.aclose()
        if broken and broken[0] is not None:
            raise broken[0]

    async def push(self, path: str) -> dict[str, Any]:
        """Send a script that was changed in Studio; on a conflict both are kept."""
        body = {"path": path, "source": self.scripts[path], "base_version": self._versions.get(path, 0)}
        answer = await self._ask("POST", "/scripts", json={"scripts": [body]})
        (found,) = answer.raise_for_status().json()["scripts"]
        if found["status"] == "conflict":
            self._keep_both(path, found["source"] or "")
        else:
            self._synced[path] = _digest(self.scripts[path])
        self._versions[path] = found["version"]
        return dict(found)

    async def say(self, level: str, text: str) -> httpx.Response:
        """Send a message."""
        return await self._ask("POST", "/messages", json={"messages": [{"level": level, "text": text}]})

    async def _stream(self) -> None:
        while True:
            self._count("GET /stream")
            with suppress(httpx.HTTPError):
                async with self._client.stream("GET", f"{_PATH}/stream") as answer:
                    async for line in answer.aiter_lines():
                        if line.startswith("data:") and "deployment_id" in line:
                            self._announced.set()
            await asyncio.sleep(0.2)

    async def _poll(self) -> None:
        while True:
            with suppress(httpx.HTTPError):
                found = await self._ask("GET", "/poll", params={"wait": 5})
                if found.raise_for_status().json()["deployments"]:
                    await self._apply()
                    await asyncio.sleep(_PAUSE)

    async def _apply_announced(self) -> None:
        """Apply what was announced; what is announced meanwhile comes together, after a pause."""
        while True:
            await self._announced.wait()
            self._announced.clear()
            with suppress(httpx.HTTPError):
                await self._apply()
            await asyncio.sleep(_PAUSE)

    async def _apply(self) -> None:
        batch = (await self._ask("GET", "/deployments")).raise_for_status().json()
        if not batch["deployments"]:
            return
        changed: list[str] = []
        results = [{"path": one["path"], "status": self._apply_one(one, changed)} for one in batch["scripts"]]
        if changed:
            self.undo_steps.append(changed)
        done = {"deployments": batch["deployments"], "results": results}
        (await self._ask("POST", "/deployments", json=done)).raise_for_status()

    def _apply_one(self, script: dict[str, Any], changed: list[str]) -> str:
        path, text = script["path"], script["source"]
        present = self.scripts.get(path)
        self._versions[path] = script["version"]
        if present is not None and present != text and path not in self._synced:
            self.asked.append(path)
            if not self._confirm(path):
                return "declined"
        elif present is not None and present != text and self._synced[path] != _digest(present):
            self._keep_both(path, text or "")
            changed.append(path)
            return "kept_both"
        if text is None:
            self.scripts.pop(path, None)
        else:
            self.scripts[path] = text
            self._synced[path] = _digest(text)
        changed.append(path)
        return "applied"

    def _keep_both(self, path: str, incoming: str) -> None:
        self.scripts[f"{path}_incoming"] = incoming

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        self._count(f"{method} {path}")
        return await self._client.request(method, _PATH + path, **more)

    def _count(self, what: str) -> None:
        now = time.monotonic()
        while self._times and now - self._times[0] > self._seconds:
            self._times.popleft()
        if len(self._times) >= self._limit:
            raise TooManyRequests
        self._times.append(now)
        self.requests.append(what)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
