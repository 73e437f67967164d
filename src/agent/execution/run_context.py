"""What a running tool is handed: the runtime, the call that it answers, and the way to act through the safe executor.

The executor runs the tools, so no tool imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.runtime import Runtime
from agent.types import CallKey, ToolResult


class Execute(Protocol):
    """Carry out one action as `SafeExecutor.execute` does: assessed, asked about where it must be, and logged."""

    async def __call__(
        self, action: str, arguments: Mapping[str, Any], *, call: CallKey | None, wait: bool, runtime: Runtime
    ) -> ToolResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and for whom a tool runs. `call` is None outside of a conversation."""

    runtime: Runtime
    call: CallKey | None
    execute: Execute
