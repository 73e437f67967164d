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
from agent.sandbox.process import GRACE_SECONDS, MOST_RUNS, Limits, Worker, WorkerEnded
from agent.settings import Settings
from agent.text.storable import storable, storable_json

_log = structlog.get_logger(__name__)

FailureKind = Literal["syntax", "typing", "error", "limit", "protocol"]
# What the code is followed by: its result as text.
CALL = "_agent_text(run(**_agent_given()))"
_MOST_IDLE = 4
_MOST_AT_ONCE = 8


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


class Run:
    """One run of one program in one worker: an event, the answer to it, the next event."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
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
            frame = await self._worker.ask({"do": "dump"}, self._limits.seconds + GRACE_SECONDS)
            return base64.b64decode(frame["state"], validate=True)
        except (WorkerEnded, TimeoutError, KeyError, ValueError) as error:
            raise SandboxUnavailable("The tool's state could not be taken; call the tool again.") from error

    def _common(self, functions: Sequence[str]) -> dict[str, Any]:
        self._functions = tuple(functions)
        return {"functions": list(functions), "limits": asdict(self._limits)}

    async def _exchange(self, frame: Mapping[str, Any]) -> Event:
        self.reusable = False
        try:
            answer = await self._worker.ask(frame, self._limits.seconds + GRACE_SECONDS)
        except TimeoutError:
            return Failure(kind="limit", text=f"It did not end within {self._limits.seconds:g} s.")
        except WorkerEnded:
            return Failure(kind="limit", text="Its process ended: it needed more memory or time than a tool has.")
        event = _event(answer, self._functions, self._limits)
        self.reusable = isinstance(event, Finished) or (
            isinstance(event, Failure) and event.kind in {"error", "typing"}
        )
        return event


class Sandbox:
    """The workers of this process. `kind` says what holds them, once one has started."""

    def __init__(self, limits: Limits, *, bwrap: str | None = None, required: bool = False) -> None:
        """`bwrap`: None looks for it on the PATH, "" does without. `required`: nothing runs without it."""
        self.limits, self._bwrap, self._required = limits, bwrap, required
        self._in_bwrap = self._closed = False
        self._idle: OrderedDict[str, Worker] = OrderedDict()
        self._spare: asyncio.Task[Worker] | None = None
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    @classmethod
    def of(cls, settings: Settings) -> Sandbox:
        """With the limits of the settings."""
        return cls(Limits.of(settings), required=settings.tool_require_bubblewrap)

    @property
    def kind(self) -> str:
        """What holds a worker, in words."""
        limits = "resource limits and an empty environment"
        return f"bubblewrap without network, {limits}" if self._in_bwrap else limits

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
        """End every worker; those at work are ended when they are done."""
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
        """A worker that has served nobody; another one is started for who comes next."""
        spare, self._spare = self._spare, None
        worker = await spare if spare is not None else await self._start()
        self._spare = asyncio.create_task(self._start())
        self._spare.add_done_callback(_conversation_of)
        return worker if worker.alive else await self._start()

    async def _start(self) -> Worker:
        """A worker in bubblewrap; without it only where it never worked and need not. Raises `SandboxUnavailable`."""
        where = "the sandbox for tools"
        if bwrap := await asyncio.to_thread(self._find_bwrap):
            with suppress(WorkerEnded, OSError, TimeoutError):
                worker = await Worker.start(await asyncio.to_thread(process.bwrap_command, bwrap, self.limits))
                self._in_bwrap = True
                return worker
            where = f"{bwrap}, in which tools run,"
            _log.warning("bubblewrap_does_not_work", program=bwrap)
        if not self._in_bwrap and not self._required:
            self._bwrap = ""
            with suppress(WorkerEnded, OSError, TimeoutError):
                return await Worker.start(await asyncio.to_thread(process.plain_command, self.limits))
        raise SandboxUnavailable(
            f"No tool of the agent's making runs, because {where} does not start. Reinstall pydantic-monty (and bubblewrap, where "
            "AGENT_TOOL_REQUIRE_BUBBLEWRAP asks for it), and see `agent status`."
        )

    def _find_bwrap(self) -> str:
        if self._bwrap is None:
            self._bwrap = shutil.which("bwrap") or ""
        return self._bwrap

    async def _release(self, owner: str, worker: Worker, *, reusable: bool) -> None:
        if self._closed or not reusable or not worker.alive or worker.runs >= MOST_RUNS or owner in self._idle:
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


def _conversation_of(task: asyncio.Task[Worker]) -> None:
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
