"""Reads and sets the stop switch and the read-only mode: one row per tenant, which every process obeys before it acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import structlog

from agent.approval.people import people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import AgentStopped
from agent.runtime import Runtime, current_runtime
from agent.text.storable import storable

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """The switches of a tenant, and who changed them last."""

    stopped: bool = False
    read_only: bool = False
    reason: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> ControlState:
        """Read the switches from a row of agents.controls; no row means that nothing is switched off."""
        if row is None or row["stopped"] is None:
            return cls()
        return cls(**{field.name: row[field.name] for field in fields(cls)})


class Controls:
    """The switches of the current tenant. Holds no state: each call reads the row."""

    async def stop(self, reason: str = "", *, runtime: Runtime | None = None) -> ControlState:
        """Stop the agent: from now on no process executes anything until `resume`."""
        return await _set(runtime, reason=reason, stopped=True)

    async def resume(self, *, runtime: Runtime | None = None) -> ControlState:
        """Take back `stop`; the read-only mode stays. Raises `DecisionRefused` for a person who may not decide."""
        await people.decider(runtime=runtime)
        return await _set(runtime, stopped=False)

    async def set_read_only(
        self,
        on: bool,  # noqa: FBT001  # the switch itself
        reason: str = "",
        *,
        runtime: Runtime | None = None,
    ) -> ControlState:
        """Switch the read-only mode: reads run, and everything else is refused, approved or not.

        Anybody may switch it on. Raises `DecisionRefused` for a person who may not switch it off.
        """
        if not on:
            await people.decider(runtime=runtime)
        return await _set(runtime, reason=reason, read_only=on)

    async def state(self, *, runtime: Runtime | None = None) -> ControlState:
        """Return the switches as they are now."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["controls"])
        return ControlState.from_row(row)

    async def check(self, *, writing: bool, runtime: Runtime | None = None) -> None:
        """Raise `AgentStopped` when the switches forbid reading, or `writing`."""
        allow(await self.state(runtime=runtime), writing=writing)


controls = Controls()


def allow(state: ControlState, *, writing: bool) -> None:
    """Raise `AgentStopped` when `state` forbids what is about to be done."""
    why = f": {state.reason}" if state.reason else ""
    if state.stopped:
        raise AgentStopped(f"The agent was stopped by {state.changed_by!r}{why}. `agent resume` lifts that.")
    if writing and state.read_only:
        raise AgentStopped(
            f"The agent is in read-only mode, set by {state.changed_by!r}{why}. `agent resume` lifts that."
        )


async def _set(
    runtime: Runtime | None, *, reason: str = "", stopped: bool | None = None, read_only: bool | None = None
) -> ControlState:
    runtime = runtime or await current_runtime()
    row = await runtime.one(
        _QUERIES["set_controls"],
        stopped=stopped,
        read_only=read_only,
        reason=storable(reason)[:1000],
        user=runtime.user,
    )
    assert row is not None  # noqa: S101  # an upsert returns its row
    seal_soon(runtime)
    _log.warning("controls_changed", stopped=row["stopped"], read_only=row["read_only"])
    return ControlState(**row)
