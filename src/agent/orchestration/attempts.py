"""One attempt of a step: the agent is called, bounded in time, and whatever it does becomes a value.

Of one step never two attempts run at the same time in this process: an agent that was cancelled has some seconds to end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from agent.errors import InvalidInput
from agent.orchestration.agents.base import REPORT, BaseAgent, NonRetryable, Report
from agent.privacy.typed_secrets import without_typed_secrets
from agent.sync.payloads import json_text
from agent.text.storable import storable

MOST_OUTPUT_BYTES = 1_048_576
_MOST_ERROR = 2_000
_END_SECONDS = 2.0
Call = tuple[str, str]
# The attempts that run in this process, also those that nobody waits for any more, by run and step.
_RUNNING: dict[Call, asyncio.Task[Outcome]] = {}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt gave: an output as JSON text, or an error. `final` says that no retry would help, or may be made.

    `stuck`: the agent did not end when it was cancelled, and may still run.
    """

    output: str | None = None
    error: str | None = None
    kind: str = ""
    final: bool = False
    stuck: bool = False

    @property
    def counts(self) -> bool:
        """Return whether this is a failure of the agent for its circuit; what it refuses for good is none."""
        return self.error is not None and (self.stuck or not self.final)

    @property
    def data(self) -> Any:
        """Return the output as it will also be read after a crash."""
        return None if self.output is None else json.loads(self.output)


async def attempt(
    agent: BaseAgent, action: str, given: Mapping[str, Any], *, seconds: float | None, report: Report, context: Mapping[str, Any]
) -> Outcome:  # fmt: skip
    """Call the agent, and return what came of it. One that does not end in time is cancelled, and left if it refuses to end."""
    call = (str(context["run_id"]), str(context["step_id"]))
    before = _RUNNING.get(call)
    if before is not None and not await _has_ended(before):
        return _stuck(agent, f"An earlier attempt of agent {agent.agent_id!r} at this step still runs.")
    work = _RUNNING[call] = asyncio.create_task(_called(agent, action, given, report, context))
    work.add_done_callback(partial(_forget, call))
    try:
        done, _ = await asyncio.wait({work}, timeout=seconds)
    finally:
        work.cancel()
    if not done:
        late = f"The agent did not answer within {seconds:g} s."
        return Outcome(error=late, kind="TimeoutError") if await _has_ended(work) else _stuck(agent, late)
    if work.cancelled():
        return Outcome(error="The agent cancelled itself.", kind="CancelledError")
    return work.result()


async def still_running(run_id: str, *, seconds: float) -> list[str]:
    """Wait so long for the attempts of a run that was stopped, and return the steps whose agents have not ended."""
    left = {work: step for (run, step), work in _RUNNING.items() if run == run_id}
    if left:
        await asyncio.wait(left, timeout=seconds)
    return [step for work, step in left.items() if not work.done()]


async def _has_ended(work: asyncio.Task[Outcome]) -> bool:
    """Wait some seconds for an attempt that was cancelled, and return whether it has ended."""
    done, _ = await asyncio.wait({work}, timeout=_END_SECONDS)
    return bool(done)


def _stuck(agent: BaseAgent, why: str) -> Outcome:
    """Return the end of a step that must not be tried again, because two attempts would run at the same time."""
    _log.warning("agent_does_not_end", agent=agent.agent_id)
    said = f"{why} It was cancelled and did not end within {_END_SECONDS:g} s, so it is not tried again: agent {agent.agent_id!r} must let asyncio.CancelledError pass."
    return Outcome(error=said, kind="AgentStuck", final=True, stuck=True)


async def _called(
    agent: BaseAgent, action: str, given: Mapping[str, Any], report: Report, context: Mapping[str, Any]
) -> Outcome:
    REPORT.set(report)
    try:
        value = await agent.execute(action, dict(given), **context)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # an agent is a stranger's code, and SystemExit must not end the process
        return _failed(error)
    try:
        text = json_text(value, what=f"What agent {agent.agent_id!r} returned")
    except (InvalidInput, RecursionError) as error:
        return Outcome(error=str(error)[:_MOST_ERROR], kind="InvalidInput", final=True)
    if len(text) > MOST_OUTPUT_BYTES:
        said = f"Agent {agent.agent_id!r} returned more than {MOST_OUTPUT_BYTES:,} characters: return where it is."
        return Outcome(error=said, kind="InvalidInput", final=True)
    return Outcome(output=text)


def _failed(error: BaseException) -> Outcome:
    try:
        text = str(error)
    except Exception:  # an error may have any __str__
        text = ""
    said = without_typed_secrets(storable(text))[:_MOST_ERROR] or f"The agent raised {type(error).__name__}."
    return Outcome(error=said, kind=type(error).__name__, final=isinstance(error, NonRetryable))


def _forget(call: Call, work: asyncio.Task[Outcome]) -> None:
    if _RUNNING.get(call) is work:
        del _RUNNING[call]
    if not work.cancelled():
        work.exception()  # so that nobody is told that it was never looked at
