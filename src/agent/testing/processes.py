"""Run the agent's own commands as processes of their own, on the databases of a test, with the model over HTTP.

async with agent_process(settings, "worker", model=server) as worker:
    worker.kill()
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx

from agent.settings import Settings
from agent.testing.openai_server import OpenAIServer

_ENDS_SECONDS = 30.0
_STARTS_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProcess:
    """A running process and the file that holds what it has printed."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Return the process's number."""
        return self.process.pid

    @property
    def said(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it at once, as the kernel would."""
        with suppress(ProcessLookupError):  # it has ended by itself
            self.process.kill()

    async def end(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), _ENDS_SECONDS)

    async def until_said(self, text: str) -> None:
        """Wait until it has printed `text`. Raises `AssertionError` with what it said instead."""
        for _ in range(int(_STARTS_SECONDS * 10)):
            if text in self.said:
                return
            if self.process.returncode is not None:
                break
            await asyncio.sleep(0.1)
        raise AssertionError(f"it did not say {text!r}:\n{self.said}")


@asynccontextmanager
async def agent_process(
    settings: Settings, *arguments: str, folder: Path, model: OpenAIServer | None = None, **variables: str
) -> AsyncIterator[AgentProcess]:
    """Run `agent <arguments>`, or `python -c <code>` for ("-c", code); it is killed at the end unless it has ended."""
    log = folder / f"agent-{uuid4().hex[:8]}.log"
    command = ["-c", *arguments[1:]] if arguments[0] == "-c" else ["-m", "agent.cli.main", *arguments]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env={**environment(settings, model), **variables}, cwd=folder, stdout=out, stderr=out
        )  # fmt: skip
    try:
        yield AgentProcess(process=process, log=log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def served_process(
    settings: Settings, *, folder: Path, model: OpenAIServer | None = None, **variables: str
) -> AsyncIterator[tuple[AgentProcess, httpx.AsyncClient]]:
    """Run `agent serve` on a free port, and yield it with a client."""
    port = free_port()
    async with (
        agent_process(settings, "serve", "--port", str(port), folder=folder, model=model, **variables) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        for _ in range(int(_STARTS_SECONDS * 10)):
            assert process.process.returncode is None, process.said  # noqa: S101  # a test's failure
            try:
                if (await client.get("/health")).status_code == 200:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        yield process, client


def environment(settings: Settings, model: OpenAIServer | None = None) -> dict[str, str]:
    """Return the variables that make a process use `settings` and `model`."""
    assert settings.database_url is not None  # noqa: S101  # settings of a `Cluster`
    assert settings.secret is not None  # noqa: S101  # settings of a `Cluster`
    values = {
        "PATH": os.environ.get("PATH", ""), "HOME": str(settings.home), "AGENT_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url.get_secret_value(), "AGENT_SECRET": settings.secret.get_secret_value(),
        "AGENT_USER": settings.user, "AGENT_ASK_FROM": settings.ask_from, "AGENT_EMBEDDER": "hashing:384", "AGENT_LOG_LEVEL": "info",
    }  # fmt: skip
    if model is not None:
        values |= {"AGENT_MODEL": "openai:scripted", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": model.url}
    return values


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
