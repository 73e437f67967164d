"""Clients in processes of their own: they take commands as JSON lines, and print what happens as JSON lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


class Client:
    """A process of a client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seen: list[tuple[str, Any]] = []

    async def do(self, command: str, argument: Any = None) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([command, argument]).encode() + b"\n")
        await self._process.stdin.drain()

    async def until(self, what: str, **data: Any) -> Any:
        """Return the first line of `what` that holds `data`; each line is taken once."""

        def fits(line: tuple[str, Any]) -> bool:
            return line[0] == what and all((line[1] or {}).get(name) == value for name, value in data.items())

        assert self._process.stdout
        async with asyncio.timeout(20):
            while not any(map(fits, self.seen)):
                line = await self._process.stdout.readline()
                assert line, self.seen
                self.seen.append(tuple(json.loads(line)))
        found = next(filter(fits, self.seen))
        self.seen.remove(found)
        return found[1]


@asynccontextmanager
async def client_process(program: str, script: Path, **options: Any) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        program, str(script), json.dumps(options), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
