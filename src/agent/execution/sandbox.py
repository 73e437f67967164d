"""Runs the code of tools that the agent made, in processes that can do nothing but think and ask.

    tool's code -> Monty (every limit set) -> worker process (resource limits, empty environment)
                -> bubblewrap, where it is present (no network, no files, its own process ids) -> frames over two pipes -> here

A worker serves one owner (a tenant's version of a tool) and is ended after any limit, failure of protocol or cancellation.
Without a worker nothing runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import struct
import sys
import sysconfig
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import structlog

from agent.errors import SandboxUnavailable
from agent.runtime import Runtime
from agent.settings import Settings
from agent.storable import storable, storable_json

_log = structlog.get_logger(__name__)

FailureKind = Literal["syntax", "typing", "error", "limit", "protocol"]
# What the code is followed by: its result as text.
CALL = "_agent_text(run(**_agent_given()))"
_START_SECONDS = 20.0
_GRACE_SECONDS = 2.0
_MOST_FRAME = 16_000_000
_MOST_IDLE = 4
_MOST_AT_ONCE = 8
_MOST_RUNS = 200
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run: `code`, then `then`. The clock and the seed make a second run of it go the same way."""

    code: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    functions: Sequence[str] = ()
    clock: datetime
    seed: str
    then: str = CALL


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCall:
    """The code waits for a host function's answer."""

    function: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The code came to its end; `value` is JSON."""

    value: Any
    printed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The code did not come to its end, and why, as text for the model."""

    kind: FailureKind
    text: str


Event: TypeAlias = HostCall | Finished | Failure


class _Gone(Exception):
    """The worker has ended, or says what no worker of ours says."""


class _Worker:
    """One process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.runs = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={}, start_new_session=True, cwd="/",
        )  # fmt: skip
        worker = cls(process)
        try:
            ready = await worker.receive(_START_SECONDS)
        except BaseException:
            await worker.end()
            raise
        if ready.get("is") != "ready":
            await worker.end()
            raise _Gone
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, frame: Mapping[str, Any]) -> None:
        data = json.dumps(frame, allow_nan=False).encode()
        assert self._process.stdin is not None  # noqa: S101  # it was started with pipes
        self._process.stdin.write(struct.pack(">I", len(data)) + data)
        try:
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise _Gone from error

    async def receive(self, seconds: float) -> dict[str, Any]:
        """The next frame. Raises `_Gone`, or `TimeoutError`."""
        assert self._process.stdout is not None  # noqa: S101  # it was started with pipes
        try:
            async with asyncio.timeout(seconds):
                (length,) = struct.unpack(">I", await self._process.stdout.readexactly(4))
                if length > _MOST_FRAME:
                    raise _Gone
                frame = json.loads(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, RecursionError) as error:
            raise _Gone from error
        if not isinstance(frame, dict):
            raise _Gone
        return frame

    async def end(self) -> None:
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class Run:
    """One run of one program in one worker: an event, the answer to it, the next event."""

    def __init__(self, worker: _Worker, limits: Limits) -> None:
        self._worker, self._limits = worker, limits
        self._functions: tuple[str, ...] = ()
        self.reusable = False

    async def start(self, program: Program) -> Event:
        """Begin, up to the first host call or the end."""
        return await self._exchange({
            "do": "run", "code": program.code, "then": program.then, "clock": program.clock.isoformat(), "seed": program.seed,
            **self._common(program.functions), "arguments": json.dumps(dict(program.arguments), allow_nan=False),
        })  # fmt: skip

    async def restore(self, state: bytes, answer: Mapping[str, Any], *, functions: Sequence[str], calls: int) -> Event:
        """Go on from `state`, in which `calls` host functions were called and the last of them is answered now."""
        return await self._exchange({
            "do": "restore", "state": base64.b64encode(state).decode(), "answer": json.dumps(answer, allow_nan=False),
            "calls": calls, **self._common(functions),
        })  # fmt: skip

    async def check(self, code: str, stubs: str, calls: str) -> Event:
        """Whether the code is one function `run`, and well typed, also as `calls` call it. Of the code, only `run` is not executed."""
        return await self._exchange({"do": "check", "code": code, "stubs": stubs, "calls": calls, **self._common(())})

    async def answer(self, answer: Mapping[str, Any]) -> Event:
        """Give the host function's answer: {"value": ...} or {"error": text}."""
        return await self._exchange({"do": "answer", "text": json.dumps(answer, allow_nan=False)})

    async def state(self) -> bytes:
        """The whole run, waiting at its host call, to be restored elsewhere. Raises `SandboxUnavailable`."""
        try:
            await self._worker.send({"do": "dump"})
            frame = await self._worker.receive(self._limits.seconds + _GRACE_SECONDS)
            return base64.b64decode(frame["state"], validate=True)
        except (_Gone, TimeoutError, KeyError, ValueError) as error:
            raise SandboxUnavailable("The tool's state could not be taken; call the tool again.") from error

    def _common(self, functions: Sequence[str]) -> dict[str, Any]:
        self._functions = tuple(functions)
        return {"functions": list(functions), "limits": asdict(self._limits)}

    async def _exchange(self, frame: Mapping[str, Any]) -> Event:
        self.reusable = False
        try:
            await self._worker.send(frame)
            answer = await self._worker.receive(self._limits.seconds + _GRACE_SECONDS)
        except TimeoutError:
            return Failure(kind="limit", text=f"It did not end within {self._limits.seconds:g} s.")
        except _Gone:
            return Failure(kind="limit", text="Its process ended: it needed more memory or time than a tool has.")
        event = _event(answer, self._functions, self._limits)
        self.reusable = isinstance(event, Finished) or (
            isinstance(event, Failure) and event.kind in {"error", "typing"}
        )
        return event


class Sandbox:
    """The workers of this process. `kind` says what holds them, once one has started."""

    def __init__(self, limits: Limits, *, bwrap: str | None) -> None:
        self.limits, self._bwrap = limits, bwrap
        self._idle: OrderedDict[str, _Worker] = OrderedDict()
        self._spare: asyncio.Task[_Worker] | None = None
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    @classmethod
    def of(cls, settings: Settings) -> Sandbox:
        """With the limits of the settings, and with bubblewrap where it is on the PATH."""
        return cls(Limits.of(settings), bwrap=shutil.which("bwrap"))

    @property
    def kind(self) -> str:
        """What holds a worker, in words."""
        limits = "resource limits and an empty environment"
        return f"bubblewrap without network, {limits}" if self._bwrap else limits

    @asynccontextmanager
    async def run(self, owner: str) -> AsyncIterator[Run]:
        """A worker for one run of `owner`'s. Raises `SandboxUnavailable`."""
        async with self._at_once:
            worker = self._idle.pop(owner, None)
            if worker is None or not worker.alive:
                worker = await self._fresh()
            run = Run(worker, self.limits)
            try:
                yield run
            except BaseException:
                run.reusable = False
                raise
            finally:
                worker.runs += 1
                await asyncio.shield(self._release(owner, worker, reusable=run.reusable))

    async def probe(self) -> str:
        """Start a worker and say what holds it. Raises `SandboxUnavailable`."""
        await (await self._start()).end()
        return self.kind

    async def close(self) -> None:
        """End every worker."""
        workers = list(self._idle.values())
        self._idle.clear()
        if self._spare is not None:
            with suppress(SandboxUnavailable):
                workers.append(await self._spare)
            self._spare = None
        for worker in workers:
            await worker.end()

    async def _fresh(self) -> _Worker:
        """A worker that has served nobody; another one is started for who comes next."""
        spare, self._spare = self._spare, None
        worker = await spare if spare is not None else await self._start()
        self._spare = asyncio.create_task(self._start())
        self._spare.add_done_callback(_heard)
        return worker if worker.alive else await self._start()

    async def _start(self) -> _Worker:
        if self._bwrap is not None:
            try:
                return await _Worker.start(_bwrap_command(self._bwrap, self.limits))
            except (_Gone, OSError, TimeoutError) as error:
                _log.warning("bubblewrap_does_not_work", error=repr(error))
                self._bwrap = None
        try:
            return await _Worker.start(_plain_command(self.limits))
        except (_Gone, OSError, TimeoutError) as error:
            raise SandboxUnavailable(
                "The sandbox for tools does not start, so no tool of the agent's making runs. Reinstall pydantic-monty, "
                "and see `agent status`."
            ) from error

    async def _release(self, owner: str, worker: _Worker, *, reusable: bool) -> None:
        if not reusable or not worker.alive or worker.runs >= _MOST_RUNS or owner in self._idle:
            await worker.end()
            return
        self._idle[owner] = worker
        while len(self._idle) > _MOST_IDLE:
            _, oldest = self._idle.popitem(last=False)
            await oldest.end()


def sandbox_of(runtime: Runtime) -> Sandbox:
    """The sandbox of a runtime, made at first use and closed with it."""
    made: Sandbox | None = runtime.made.get("sandbox")
    if made is None:
        made = Sandbox.of(runtime.settings)
        runtime.made["sandbox"] = made
        runtime.at_close.append(made.close)
    return made


def _heard(task: asyncio.Task[_Worker]) -> None:
    """A spare that failed is found by who wants it; asyncio is not to complain before."""
    if not task.cancelled():
        task.exception()


def _event(frame: Mapping[str, Any], functions: Sequence[str], limits: Limits) -> Event:
    """A frame of the worker's as a value, checked as if it came from the tool's code itself."""
    match frame:
        case {"is": "done", "text": str() as text, "printed": str() as printed} if len(text) <= limits.text:
            try:
                return Finished(value=_json(text), printed=storable(printed)[: limits.printed])
            except (ValueError, RecursionError) as error:
                return Failure(kind="error", text=f"What it returned is not JSON: {error}")
        case {"is": "call", "name": str() as name, "text": str() as text} if (
            name in functions and len(text) <= limits.text
        ):
            with suppress(ValueError, RecursionError):
                arguments = _json(text)
                if isinstance(arguments, dict):
                    return HostCall(function=name, arguments=arguments)
        case {
            "is": "failed",
            "kind": "syntax" | "typing" | "error" | "limit" | "protocol" as kind,
            "text": str() as text,
        }:
            return Failure(kind=kind, text=storable(text)[:4_000])
    return Failure(kind="protocol", text="The tool's process said what it may not say; it was ended.")


def _json(text: str) -> Any:
    return storable_json(json.loads(text, parse_constant=_not_json))


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _places() -> tuple[Path, Path, Path, list[Path]]:
    """The interpreter, the worker's program, Monty's binary and where its package is. Raises `SandboxUnavailable`."""
    from importlib.util import find_spec

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
    return Path(os.path.realpath(sys.executable)), Path(__file__).with_name("sandbox_worker.py"), binary, needed


def _bounds(limits: Limits) -> list[str]:
    """Of a worker's whole life: processor seconds, and address space in bytes, of which an interpreter needs some itself."""
    return [str(int(_MOST_RUNS * (limits.seconds + _GRACE_SECONDS))), str(limits.memory + _OWN_SPACE)]


def _plain_command(limits: Limits) -> list[str]:
    interpreter, program, binary, needed = _places()
    folders = dict.fromkeys(str(one.parent) for one in needed)
    return [str(interpreter), "-I", "-S", str(program), *_bounds(limits), str(binary), *folders]


def _bwrap_command(bwrap: str, limits: Limits) -> list[str]:
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
