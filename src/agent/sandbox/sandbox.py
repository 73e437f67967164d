"""Runs the code of created tools in processes that can only compute and call host functions.

    tool's code -> Monty (every limit set) -> worker process (resource limits, empty environment)
                -> bubblewrap, where it is installed (no network, no files, own process ids) -> frames over two pipes -> here

A worker serves one owner (a tenant's version of a tool). It is ended after a limit, a protocol failure or a cancellation.
Nothing runs outside of a worker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

import structlog

from agent.errors import SandboxUnavailable
from agent.runtime import Runtime
from agent.sandbox import process
from agent.sandbox.process import GRACE_SECONDS, MAX_RUNS, Limits, Worker, WorkerEnded
from agent.settings import Settings
from agent.text.storable import storable, storable_json

_log = structlog.get_logger(__name__)

FailureKind = Literal["syntax", "typing", "error", "limit", "protocol"]
# This expression calls the code and turns its result into text.
CALL = "_agent_text(run(**_agent_input()))"
_MAX_IDLE = 4
_MAX_RUNS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: `code`, then `then`. With the same clock and seed, a second run takes the same course."""

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
    """The code ended with a result; `value` is JSON."""

    value: Any
    printed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The code ended without a result; `text` tells the model why."""

    kind: FailureKind
    text: str


Event: TypeAlias = HostCall | Finished | Failure


class Run:
    """One run of one program in one worker: it gives an event, takes the answer, and gives the next event."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
        self._worker, self._limits = worker, limits
        self._functions: tuple[str, ...] = ()
        self.reusable = False

    async def start(self, program: Program) -> Event:
        """Run `program` up to its first host call or its end."""
        return await self._exchange({
            "do": "run", "code": program.code, "then": program.then, "clock": program.clock.isoformat(), "seed": program.seed,
            **self._common(program.functions), "arguments": json.dumps(dict(program.arguments), allow_nan=False),
        })  # fmt: skip

    async def restore(self, state: bytes, answer: Mapping[str, Any], *, functions: Sequence[str], calls: int) -> Event:
        """Continue from `state`, in which the code made `calls` host calls; `answer` is for the last one."""
        return await self._exchange({
            "do": "restore", "state": base64.b64encode(state).decode(), "answer": json.dumps(answer, allow_nan=False),
            "calls": calls, **self._common(functions),
        })  # fmt: skip

    async def check(self, code: str, stubs: str, calls: str) -> Event:
        """Check that the code is one well-typed function `run`, also as `calls` call it. The rest of the code is executed, `run` is not."""
        return await self._exchange({"do": "check", "code": code, "stubs": stubs, "calls": calls, **self._common(())})

    async def answer(self, answer: Mapping[str, Any]) -> Event:
        """Give the host function's answer, {"value": ...} or {"error": text}, and continue."""
        return await self._exchange({"do": "answer", "text": json.dumps(answer, allow_nan=False)})

    async def state(self) -> bytes:
        """Return the whole run, waiting at its host call, so that it can be restored elsewhere. Raises `SandboxUnavailable`."""
        try:
            frame = await self._worker.ask({"do": "dump"}, self._limits.seconds + GRACE_SECONDS)
            return base64.b64decode(frame["state"], validate=True)
        except (WorkerEnded, TimeoutError, KeyError, ValueError) as error:
            raise SandboxUnavailable("The state of the tool's run could not be saved; call the tool again.") from error

    def _common(self, functions: Sequence[str]) -> dict[str, Any]:
        self._functions = tuple(functions)
        return {"functions": list(functions), "limits": asdict(self._limits)}

    async def _exchange(self, frame: Mapping[str, Any]) -> Event:
        self.reusable = False
        try:
            answer = await self._worker.ask(frame, self._limits.seconds + GRACE_SECONDS)
        except TimeoutError:
            return Failure(kind="limit", text=f"The tool did not end within {self._limits.seconds:g} s.")
        except WorkerEnded:
            return Failure(kind="limit", text="The tool's process ended: it needed too much memory or time.")
        event = _event(answer, self._functions, self._limits)
        self.reusable = isinstance(event, Finished) or (
            isinstance(event, Failure) and event.kind in {"error", "typing"}
        )
        return event


class Sandbox:
    """The workers of this process. `kind` describes what confines them, once one has started."""

    def __init__(self, limits: Limits, *, bwrap: str | None = None, required: bool = False) -> None:
        """Find bubblewrap on the PATH if `bwrap` is None; "" does without it. With `required`, nothing runs without it."""
        self.limits, self._bwrap, self._required = limits, bwrap, required
        self._in_bwrap = self._closed = False
        self._idle: OrderedDict[str, Worker] = OrderedDict()
        self._spare: asyncio.Task[Worker] | None = None
        self._at_once = asyncio.Semaphore(_MAX_RUNS_AT_ONCE)

    @classmethod
    def of(cls, settings: Settings) -> Sandbox:
        """Return a sandbox with the limits of the settings."""
        return cls(Limits.of(settings), required=settings.tool_require_bubblewrap)

    @property
    def kind(self) -> str:
        """Return what confines a worker, in words."""
        limits = "resource limits and an empty environment"
        return f"bubblewrap without network, {limits}" if self._in_bwrap else limits

    @asynccontextmanager
    async def run(self, owner: str) -> AsyncIterator[Run]:
        """Give a worker for one run to `owner`. Raises `SandboxUnavailable`."""
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
        """Start a worker and return what confines it. Raises `SandboxUnavailable`."""
        await (await self._start()).end()
        return self.kind

    async def close(self) -> None:
        """End the idle workers now and the others after their runs."""
        self._closed = True
        workers = list(self._idle.values())
        self._idle.clear()
        if self._spare is not None:
            with suppress(SandboxUnavailable):
                workers.append(await self._spare)
            self._spare = None
        for worker in workers:
            await worker.end()

    async def _fresh(self) -> Worker:
        """Return a worker that has served nobody, and start another one for the next owner."""
        spare, self._spare = self._spare, None
        worker = await spare if spare is not None else await self._start()
        self._spare = asyncio.create_task(self._start())
        self._spare.add_done_callback(_retrieve_exception)
        return worker if worker.alive else await self._start()

    async def _start(self) -> Worker:
        """Start a worker in bubblewrap; without it only if it never worked and is not required. Raises `SandboxUnavailable`."""
        program = "the sandbox for tools"
        if bwrap := await asyncio.to_thread(self._bwrap_path):
            with suppress(WorkerEnded, OSError, TimeoutError):
                worker = await Worker.start(await asyncio.to_thread(process.bwrap_command, bwrap, self.limits))
                self._in_bwrap = True
                return worker
            program = f"{bwrap}, in which tools run,"
            _log.warning("bubblewrap_does_not_work", program=bwrap)
        if not self._in_bwrap and not self._required:
            self._bwrap = ""
            with suppress(WorkerEnded, OSError, TimeoutError):
                return await Worker.start(await asyncio.to_thread(process.plain_command, self.limits))
        raise SandboxUnavailable(
            f"Created tools cannot run, because {program} does not start. Reinstall pydantic-monty (and bubblewrap, where "
            "AGENT_TOOL_REQUIRE_BUBBLEWRAP asks for it), and see `agent status`."
        )

    def _bwrap_path(self) -> str:
        if self._bwrap is None:
            self._bwrap = shutil.which("bwrap") or ""
        return self._bwrap

    async def _release(self, owner: str, worker: Worker, *, reusable: bool) -> None:
        if self._closed or not reusable or not worker.alive or worker.runs >= MAX_RUNS or owner in self._idle:
            await worker.end()
            return
        self._idle[owner] = worker
        while len(self._idle) > _MAX_IDLE:
            _, oldest = self._idle.popitem(last=False)
            await oldest.end()


def sandbox_of(runtime: Runtime) -> Sandbox:
    """Return the sandbox of a runtime; it is created at first use and closed with the runtime."""
    sandbox: Sandbox | None = runtime.made.get("sandbox")
    if sandbox is None:
        sandbox = Sandbox.of(runtime.settings)
        runtime.made["sandbox"] = sandbox
        runtime.at_close.append(sandbox.close)
    return sandbox


def _retrieve_exception(task: asyncio.Task[Worker]) -> None:
    """Mark the exception of a failed spare as retrieved: who awaits the spare gets it, and asyncio must not log it before."""
    if not task.cancelled():
        task.exception()


def _event(frame: Mapping[str, Any], functions: Sequence[str], limits: Limits) -> Event:
    """Return a frame of the worker as an event, checked as if it came from the tool's code itself."""
    match frame:
        case {"is": "done", "text": str() as text, "printed": str() as printed} if len(text) <= limits.text:
            try:
                return Finished(value=_json(text), printed=storable(printed)[: limits.printed])
            except (ValueError, RecursionError) as error:
                return Failure(kind="error", text=f"The tool's result is not JSON: {error}")
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
    return Failure(kind="protocol", text="The tool's process sent a message that is not allowed; it was ended.")


def _json(text: str) -> Any:
    return storable_json(json.loads(text, parse_constant=_not_json))


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
