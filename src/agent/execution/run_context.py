"""Defines what a running tool is given: the runtime, the call that it answers, and the safe executor's `execute`.

The executor runs the tools, so no tool imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.runtime import Runtime
from agent.types import CallKey, ToolResult


class Execute(Protocol):
    """`SafeExecutor.execute` as a tool may call it: the action is assessed, asked about where it must be, and logged."""

    async def __call__(
        self, action: str, arguments: Mapping[str, Any], *, call: CallKey | None, wait: bool, runtime: Runtime
    ) -> ToolResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and for whom a tool runs. `call` is None outside of a conversation."""

    runtime: Runtime
    call: CallKey | None
    execute: Execute
