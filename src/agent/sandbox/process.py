"""Starts one process of the sandbox, bounds it from outside, and exchanges frames with it over two pipes.

The process runs `worker.py` under an interpreter without site packages. Where bubblewrap is installed, both run in a read-only
root that holds only the interpreter, its libraries and Monty, without a network.
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
# A worker is replaced after this many runs; its limits hold for all of them together.
MAX_RUNS = 200
_START_TIMEOUT = 20.0
_MAX_FRAME = 16_000_000
_INTERPRETER_SPACE = 1_000_000_000
_IN_BWRAP = "/sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one run: `seconds` of computing, `memory` bytes of heap, `text` characters of each result and host call."""

    seconds: float = 2.0
    memory: int = 64_000_000
    recursion: int = 200
    calls: int = 50
    text: int = 256_000
    printed: int = 20_000

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that the settings give."""
        return cls(
            seconds=settings.tool_seconds, memory=settings.tool_memory_mb * 1_000_000, calls=settings.tool_calls,
            text=settings.max_result_bytes,
        )  # fmt: skip


class WorkerEnded(Exception):
    """The worker has ended, or sent what no worker sends."""


class Worker:
    """One worker process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.runs = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Worker:
        """Start a worker and wait until it is ready. Raises `WorkerEnded`, `OSError` or `TimeoutError`."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={}, start_new_session=True, cwd="/",
        )  # fmt: skip
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_TIMEOUT):
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
        """Send a frame and return the answer. Raises `WorkerEnded`, or `TimeoutError`, also when the worker does not read."""
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
            if length > _MAX_FRAME:
                raise WorkerEnded
            frame = json.loads(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, RecursionError) as error:
            raise WorkerEnded from error
        if not isinstance(frame, dict):
            raise WorkerEnded
        return frame

    async def end(self) -> None:
        """Kill the worker. Processes that it started see the end of their input; the wait for its end has a time-out."""
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


def _paths() -> tuple[Path, Path, Path, list[Path]]:
    """Return the interpreter, the worker's program, Monty's binary and the packages to import. Raises `SandboxUnavailable`."""
    monty = find_spec("pydantic_monty")
    if monty is None or monty.origin is None:
        raise SandboxUnavailable("The package pydantic-monty is missing, so created tools cannot run: install it.")
    package = Path(monty.origin).parent
    binaries = [Path(sysconfig.get_path("scripts")) / "monty", Path(shutil.which("monty") or "")]
    binary = next((path for path in binaries if path.is_file()), None)
    if binary is None:
        raise SandboxUnavailable("Monty's program is missing, so created tools cannot run: reinstall pydantic-monty.")
    extensions = find_spec("typing_extensions")
    packages = [package, *([Path(extensions.origin)] if extensions and extensions.origin else [])]
    return Path(os.path.realpath(sys.executable)), Path(__file__).with_name("worker.py"), binary, packages


def _bounds(limits: Limits) -> list[str]:
    """Return the limits of a worker's whole life: processor seconds, and address space in bytes with the interpreter's own need."""
    return [str(int(MAX_RUNS * (limits.seconds + GRACE_SECONDS))), str(limits.memory + _INTERPRETER_SPACE)]


def plain_command(limits: Limits) -> list[str]:
    """Return the command of a worker without bubblewrap."""
    interpreter, program, binary, packages = _paths()
    folders = dict.fromkeys(str(path.parent) for path in packages)
    return [str(interpreter), "-I", "-S", str(program), *_bounds(limits), str(binary), *folders]


def bwrap_command(bwrap: str, limits: Limits) -> list[str]:
    """Return the command of a worker in bubblewrap: read-only files, no network, no other process, no capability."""
    interpreter, program, binary, packages = _paths()
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
    for folder in dict.fromkeys(["/usr", sys.base_prefix, sys.base_exec_prefix]):
        command += ["--ro-bind", folder, folder]
    for file in (program, binary, *packages):
        command += ["--ro-bind", str(file), f"{_IN_BWRAP}/{file.name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/", "--"]
    inside = [f"{_IN_BWRAP}/{program.name}", *_bounds(limits), f"{_IN_BWRAP}/{binary.name}", _IN_BWRAP]
    return [*command, str(interpreter), "-I", "-S", *inside]
