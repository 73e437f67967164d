"""Stand between clients and a Postgres server, and lose a COMMIT or its answer. The connection is then closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

Loses = Literal["nothing", "the answer", "the commit"]


class LossyProxy:
    """A proxy before the server at a Unix socket. `loses` says what the next COMMIT loses; `lost` counts the losses."""

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        self._path = f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}"
        self._tasks: set[asyncio.Task[None]] = set()
        self.loses: Loses = "nothing"
        self.lost = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a port of 127.0.0.1 until the `async with` block ends; yield the port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._path)
        answers = asyncio.create_task(_pass_on(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"COMMIT\0" in data and self.loses != "nothing":
                    await self._lose(data, server_writer, answers)
                    break
                server_writer.write(data)
                await server_writer.drain()
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for stream in (writer, server_writer):
                stream.close()
                with suppress(OSError):
                    await stream.wait_closed()

    async def _lose(self, data: bytes, server: asyncio.StreamWriter, answers: asyncio.Task[None]) -> None:
        loses, self.loses = self.loses, "nothing"
        self.lost += 1
        answers.cancel()
        if loses == "the answer":
            server.write(data)
            await server.drain()
            await asyncio.sleep(0.1)  # long enough for the server to commit


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
