"""Runs one call of a created tool: its code in the sandbox, its host calls through the safe executor, pauses for a human.

    run -> host call -> safe executor -> answer -> ... -> result
                        or: a human is asked -> the interpreter's state is signed and stored -> (another process) -> taken once,
                        checked -> answer -> ...

Every answer is kept until the run ends. A run that is repeated after a crash has the same clock, the same seed and the same
answers, so it comes to the same point; each of its effects has a key, and is carried out once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.errors import ActionRefused, InvalidArguments, OperatorError
from agent.execution.created_tools.host_functions import answer_of
from agent.execution.created_tools.parameters import bound
from agent.execution.created_tools.signing import is_signed, sign
from agent.execution.created_tools.store import CreatedTool
from agent.execution.run_context import RunContext
from agent.runtime import Runtime
from agent.sandbox.sandbox import Event, Failure, Finished, HostCall, Program, Run, sandbox_of
from agent.types import UNFINISHED, CallKey, ToolResult

_QUERIES = load_queries(__package__, "runs.sql")
_PURPOSE = "state of a tool"
_MOST_PRINTED = 2_000
# A tool without host calls may run outside of a conversation: nothing is kept under this key.
_NO_CALL = CallKey(thread_id="tool", turn=0, round=0, ordinal=0)
_log = structlog.get_logger(__name__)


class _Overtaken(Exception):
    """Another process is ahead with this run: its outcome counts, not this one's."""


@dataclass(slots=True, kw_only=True)
class _Journal:
    """How far a run has come. `answers` are those of its host calls so far; `asked` is the host call that waits for a human."""

    key: CallKey
    tool: CreatedTool
    arguments: Mapping[str, Any]
    clock: datetime
    answers: list[dict[str, Any]]
    asked: dict[str, Any] | None = None
    state: bytes = b""
    signature: str | None = None
    waiting: bool = False
    stored: bool = False

    @property
    def owner(self) -> str:
        return f"{self.tool.content_hash}/{self.tool.id}"

    @property
    def program(self) -> Program:
        content = self.tool.content
        return Program(
            code=content.code, arguments=self.arguments, functions=content.capabilities, clock=self.clock,
            seed=f"{self.tool.content_hash}/{self.clock.isoformat()}",
        )  # fmt: skip

    def signed_parts(self, state: bytes) -> tuple[Any, ...]:
        """Return what the signature of a stored state covers: this version of the tool, this call, this step, these bytes."""
        return (
            self.tool.id,
            self.tool.content_hash,
            asdict(self.key),
            len(self.answers),
            self.asked,
            hashlib.sha256(state).digest(),
        )


async def run_tool(tool: CreatedTool, arguments: Mapping[str, Any], context: RunContext) -> ToolResult:
    """Run a tool, or go on with the run of this call. Status "waiting" names the approval that a human has to decide.

    Raises `SandboxUnavailable`, or `ActionRefused` for a stored state that is not what was stored.
    """
    runtime = context.runtime
    journal = await _journal(tool, arguments, context.call or _NO_CALL, runtime)
    approval_id = 0
    try:
        if not journal.waiting:
            async with sandbox_of(runtime).run(f"{runtime.tenant_id}/{journal.owner}") as run:
                event = await run.start(journal.program)
                return await _drive(run, event, journal, context, again=tuple(journal.answers))
        assert journal.asked is not None  # noqa: S101  # a run that waits has asked
        _check_state(journal, journal.state, journal.signature, runtime)
        result = await _perform(journal, journal.asked["function"], journal.asked["arguments"], context)
        approval_id = result.get("approval_id", 0)
        return result if result.get("status") in UNFINISHED else await _resume(journal, result, context)
    except _Overtaken:
        error = "Another process goes on with this tool; its outcome will be there later."
        return ToolResult(success=False, status="running", approval_id=approval_id, error=error)


async def is_under_way(call: CallKey, *, runtime: Runtime) -> bool:
    """Return whether a run of this call has begun; `run_tool` then goes on with it."""
    return await _row(call, runtime) is not None


async def forget(call: CallKey, *, runtime: Runtime) -> None:
    """Delete what was kept of a run whose outcome is recorded."""
    await runtime.execute(_QUERIES["forget"], **asdict(call))


async def _resume(journal: _Journal, result: ToolResult, context: RunContext) -> ToolResult:
    """Take the stored state once and go on with the answer. Raises `_Overtaken` where another process has taken it."""
    runtime = context.runtime
    row = await runtime.one(_QUERIES["take_state"], **_key(journal, runtime), before=len(journal.answers))
    if row is None:
        raise _Overtaken
    state = bytes(row["state"] or b"")
    _check_state(journal, state, row["signature"], runtime)
    assert journal.asked is not None  # noqa: S101  # a run that waits has asked
    function, arguments = journal.asked["function"], journal.asked["arguments"]
    answer = await _keep(journal, function, arguments, result, runtime)
    async with sandbox_of(runtime).run(f"{runtime.tenant_id}/{journal.owner}") as run:
        functions = journal.tool.content.capabilities
        event = await run.restore(state, answer, functions=functions, calls=len(journal.answers))
        return await _drive(run, event, journal, context)


def _check_state(journal: _Journal, state: bytes, signature: str | None, runtime: Runtime) -> None:
    if not is_signed(signature, _PURPOSE, *journal.signed_parts(state), runtime=runtime):
        _log.error("tool_state_refused", tool=journal.tool.name, thread_id=journal.key.thread_id)
        raise ActionRefused(
            f"The stored state of {journal.tool.name} is not what was stored, so it does not go on. Call it again."
        )


async def _drive(
    run: Run, event: Event, journal: _Journal, context: RunContext, *, again: Sequence[Any] = ()
) -> ToolResult:
    """Answer the run's host calls until it ends or waits for a human; `again` are the answers that an earlier try got."""
    earlier, runtime = iter(again), context.runtime
    while isinstance(event, HostCall):
        if (kept := next(earlier, None)) is not None:
            answer = _kept_answer(kept, event)
        else:
            await _begin(journal, runtime)
            result = await _perform(journal, event.function, event.arguments, context)
            if result.get("status") in UNFINISHED:
                await _pause(run, event, journal, runtime)
                return result
            answer = await _keep(journal, event.function, event.arguments, result, runtime)
        event = await run.answer(answer)
    return _result(event, journal.tool)


async def _perform(journal: _Journal, function: str, arguments: Mapping[str, Any], context: RunContext) -> ToolResult:
    """Carry out one host call through the safe executor; its key is the same at every try, so it is asked and done once."""
    if function not in journal.tool.content.capabilities:
        raise ActionRefused(f"{journal.tool.name} may not call {function}.")
    key = journal.key.host_call(len(journal.answers) + 1)
    try:
        given = bound(function, arguments)
        return await context.execute(function, given, call=key, wait=False, runtime=context.runtime)
    except (OperatorError, InvalidArguments) as error:
        return ToolResult(success=False, status="failed", error=str(error))


async def _pause(run: Run, event: HostCall, journal: _Journal, runtime: Runtime) -> None:
    journal.asked = {"function": event.function, "arguments": event.arguments}
    state = await run.state()
    signature = sign(_PURPOSE, *journal.signed_parts(state), runtime=runtime)
    more = {"asked": Jsonb(journal.asked), "state": state, "signature": signature, "before": len(journal.answers)}
    if await _write("wait", journal, runtime, **more) is None:
        raise _Overtaken


async def _keep(
    journal: _Journal, function: str, arguments: Mapping[str, Any], result: ToolResult, runtime: Runtime
) -> Mapping[str, Any]:
    """Store the answer of a host call before the code gets it, and return it."""
    answer = answer_of(function, result, most=sandbox_of(runtime).limits.text)
    kept = {"function": function, "arguments": _digest(arguments), "answer": answer}
    if await _write("answered", journal, runtime, answer=Jsonb([kept]), before=len(journal.answers)) is None:
        raise _Overtaken
    journal.answers.append(kept)
    return answer


def _kept_answer(kept: Mapping[str, Any], event: HostCall) -> Mapping[str, Any]:
    if (kept["function"], kept["arguments"]) != (event.function, _digest(event.arguments)):
        raise ActionRefused(
            f"When it ran again after a crash, the tool made another call than before: {event.function} in place of "
            f"{kept['function']}, or other arguments. It does not go on. Look at what it did, then call it again."
        )
    answer: Mapping[str, Any] = kept["answer"]
    return answer


def _digest(arguments: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()


def _result(event: Event, tool: CreatedTool) -> ToolResult:
    if isinstance(event, Finished):
        result = ToolResult(success=True, status="succeeded", data=event.value)
        if event.printed:
            result["message"] = f"It printed: {event.printed[:_MOST_PRINTED]}"
        return result
    assert isinstance(event, Failure)  # noqa: S101  # host calls are answered above
    error = f"{tool.name} version {tool.content.version} failed: {event.text}"
    return ToolResult(success=False, status="failed", error=error)


async def _journal(tool: CreatedTool, arguments: Mapping[str, Any], call: CallKey, runtime: Runtime) -> _Journal:
    # Nothing is stored of a tool without host calls.
    row = await _row(call, runtime) if tool.content.capabilities else None
    if row is None:
        return _Journal(key=call, tool=tool, arguments=arguments, clock=datetime.now(UTC), answers=[])
    if row["tool_id"] != tool.id:
        raise ActionRefused(f"{tool.name} has another version since this call began; call it again.")
    return _Journal(
        key=call, tool=tool, arguments=row["arguments"], clock=row["clock"].astimezone(UTC), answers=row["answers"],
        asked=row["asked"], state=bytes(row["state"] or b""), signature=row["signature"],
        waiting=row["status"] == "waiting", stored=True,
    )  # fmt: skip


async def _row(call: CallKey, runtime: Runtime) -> dict[str, Any] | None:
    return await runtime.one(_QUERIES["run"], **asdict(call))


async def _begin(journal: _Journal, runtime: Runtime) -> None:
    if journal.stored:
        return
    values = {"tool_id": journal.tool.id, "arguments": Jsonb(dict(journal.arguments)), "clock": journal.clock}
    await runtime.execute(_QUERIES["begin"], **_key(journal, runtime), **values)
    journal.stored = True


async def _write(query: str, journal: _Journal, runtime: Runtime, **values: Any) -> dict[str, Any] | None:
    async with runtime.connection() as conn:
        cursor = await conn.execute(_QUERIES[query], {**_key(journal, runtime), **values})
        return await cursor.fetchone() if cursor.description else None


def _key(journal: _Journal, runtime: Runtime) -> dict[str, Any]:
    return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id, **asdict(journal.key)}
