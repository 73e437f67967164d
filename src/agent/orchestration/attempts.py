"""One attempt of a step: the agent is called, bounded in time, and whatever it does becomes a value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidInput
from agent.orchestration.agents.base import REPORT, BaseAgent, NonRetryable, Report
from agent.privacy.typed_secrets import without_typed_secrets
from agent.sync.payloads import json_text
from agent.text.storable import storable

MOST_OUTPUT_BYTES = 1_048_576
_MOST_ERROR = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt gave: an output as JSON text, or an error. `final` says that no retry would help."""

    output: str | None = None
    error: str | None = None
    kind: str = ""
    final: bool = False

    @property
    def data(self) -> Any:
        """Return the output as it will also be read after a crash."""
        return None if self.output is None else json.loads(self.output)


async def attempt(
    agent: BaseAgent, action: str, given: Mapping[str, Any], *, seconds: float | None, report: Report, context: Mapping[str, Any]
) -> Outcome:  # fmt: skip
    """Call the agent, and return what came of it. An agent that does not end in time is cancelled, and left if it refuses to end."""
    work = asyncio.create_task(_called(agent, action, given, report, context))
    try:
        done, _ = await asyncio.wait({work}, timeout=seconds)
    finally:
        if not work.done():
            work.cancel()
            work.add_done_callback(_ignored)
    if not done:
        return Outcome(error=f"The agent did not answer within {seconds:g} s.", kind="TimeoutError")
    if work.cancelled():
        return Outcome(error="The agent cancelled itself.", kind="CancelledError")
    return work.result()


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


def _ignored(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled():
        task.exception()  # so that nobody is told that it was never looked at
