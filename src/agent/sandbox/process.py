"""One process of the sandbox: how it is started, what bounds it from outside, and the two pipes to it.

The command is `worker.py` under an interpreter without site packages; where bubblewrap is there, around both of them
a root that holds the interpreter, its libraries and Monty, read-only, and no network.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import struct
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.errors import SandboxUnavailable
from agent.settings import Settings

GRACE_SECONDS = 2.0
# A worker is replaced after so many runs, and its bounds are for all of them.
MOST_RUNS = 200
_START_SECONDS = 20.0
_MOST_FRAME = 16_000_000
_OWN_SPACE = 1_000_000_000
_IN_BWRAP = "/sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one run. `seconds` of computing, `memory` bytes of heap, `text` characters of each result and host call."""

    seconds: float = 2.0
    memory: int = 64_000_000
    recursion: int = 200
    calls: int = 50
    text: int = 256_000
    printed: int = 20_000

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those that the settings give."""
        return cls(
            seconds=settings.tool_seconds, memory=settings.tool_memory_mb * 1_000_000, calls=settings.tool_calls,
            text=settings.max_result_bytes,
        )  # fmt: skip


class WorkerEnded(Exception):
    """The worker has ended, or says what no worker of ours says."""


class Worker:
    """One process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.runs = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Worker:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={}, start_new_session=True, cwd="/",
        )  # fmt: skip
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await worker._receive()
        except BaseException:
            await worker.end()
            raise
        if ready.get("is") != "ready":
            await worker.end()
            raise WorkerEnded
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, frame: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a frame and return the one that answers it. Raises `Gone`, or `TimeoutError`: also when it reads nothing."""
        async with asyncio.timeout(seconds):
            await self._send(frame)
            return await self._receive()

    async def _send(self, frame: Mapping[str, Any]) -> None:
        data = json.dumps(frame, allow_nan=False).encode()
        assert self._process.stdin is not None  # noqa: S101  # it was started with pipes
        self._process.stdin.write(struct.pack(">I", len(data)) + data)
        try:
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerEnded from error

    async def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  # it was started with pipes
        try:
            (length,) = struct.unpack(">I", await self._process.stdout.readexactly(4))
            if length > _MOST_FRAME:
                raise WorkerEnded
            frame = json.loads(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, RecursionError) as error:
            raise WorkerEnded from error
        if not isinstance(frame, dict):
            raise WorkerEnded
        return frame

    async def end(self) -> None:
        """Kill it. What it may have left behind sees the end of its input, and is not waited for without end."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await self._process.wait()
        finally:
            self._process._transport.close()  # type: ignore[attr-defined]  # its pipe outlives a process that is known to have ended


def _places() -> tuple[Path, Path, Path, list[Path]]:
    """The interpreter, the worker's program, Monty's binary and where its package is. Raises `SandboxUnavailable`."""
    found = find_spec("pydantic_monty")
    if found is None or found.origin is None:
        raise SandboxUnavailable(
            "The package pydantic-monty is missing, so no tool of the agent's making runs: install it."
        )
    package = Path(found.origin).parent
    binaries = [Path(sysconfig.get_path("scripts")) / "monty", Path(shutil.which("monty") or "")]
    binary = next((one for one in binaries if one.is_file()), None)
    if binary is None:
        raise SandboxUnavailable(
            "Monty's program is missing, so no tool of the agent's making runs: reinstall pydantic-monty."
        )
    extensions = find_spec("typing_extensions")
    needed = [package, *([Path(extensions.origin)] if extensions and extensions.origin else [])]
    return Path(os.path.realpath(sys.executable)), Path(__file__).with_name("worker.py"), binary, needed


def _bounds(limits: Limits) -> list[str]:
    """Of a worker's whole life: processor seconds, and address space in bytes, of which an interpreter needs some itself."""
    return [str(int(MOST_RUNS * (limits.seconds + GRACE_SECONDS))), str(limits.memory + _OWN_SPACE)]


def plain_command(limits: Limits) -> list[str]:
    interpreter, program, binary, needed = _places()
    folders = dict.fromkeys(str(one.parent) for one in needed)
    return [str(interpreter), "-I", "-S", str(program), *_bounds(limits), str(binary), *folders]


def bwrap_command(bwrap: str, limits: Limits) -> list[str]:
    """Only the interpreter, its libraries and Monty are there, read-only; no network, no other process, no right."""
    interpreter, program, binary, needed = _places()
    shown = ["/usr", sys.base_prefix, sys.base_exec_prefix]
    command = [
        bwrap,
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    for folder in ("/lib", "/lib64", "/lib32"):
        command += ["--ro-bind-try", folder, folder]
    for folder in dict.fromkeys(shown):
        command += ["--ro-bind", folder, folder]
    for file in (program, binary, *needed):
        command += ["--ro-bind", str(file), f"{_IN_BWRAP}/{file.name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/", "--"]
    inside = [f"{_IN_BWRAP}/{program.name}", *_bounds(limits), f"{_IN_BWRAP}/{binary.name}", _IN_BWRAP]
    return [*command, str(interpreter), "-I", "-S", *inside]
