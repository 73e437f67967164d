"""Set and lift the stop switch, the read-only mode and a break-glass, and show what holds changes up and which actions wait."""

from __future__ import annotations

from dataclasses import dataclass

from agent.approval.human_approval import Approval
from agent.execution.controls import ControlState, controls
from agent.execution.guards.break_glass import MINUTES, BreakGlass, open_break_glass
from agent.execution.guards.break_glass import end_break_glass as close_break_glass
from agent.execution.guards.conditions import guards_now
from agent.operations.approvals import approved_waiting
from agent.runtime import Runtime, current_runtime
from agent.types import RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """The state of the switches, who set them, and the lowest risk at which a human is asked.

    `environment` is the operator's label. `frozen` says which freeze window is in force ('' for none), `break_glass` what
    lifts it. `approved_waiting` holds the requests that are approved and not carried out yet; `stop` leaves it empty.
    """

    state: ControlState
    ask_from: RiskLevel
    environment: str = ""
    frozen: str = ""
    break_glass: BreakGlass | None = None
    approved_waiting: tuple[Approval, ...] = ()


async def current(*, viewer: str | None = None, runtime: Runtime | None = None) -> Switches:
    """Return the switches as they are now, and the approved actions that wait, as `viewer` may see them."""
    runtime = runtime or await current_runtime()
    guards = await guards_now(runtime)
    return Switches(
        state=await controls.state(runtime=runtime),
        ask_from=runtime.settings.ask_from,
        environment=runtime.settings.environment,
        frozen=guards.freeze.sentence if guards.freeze else "",
        break_glass=guards.break_glass,
        approved_waiting=await approved_waiting(viewer=viewer, runtime=runtime),
    )


async def stop(reason: str = "", *, read_only: bool = False, runtime: Runtime | None = None) -> Switches:
    """Stop every process of the agent at once until `resume`; with `read_only`, stop only changes."""
    runtime = runtime or await current_runtime()
    if read_only:
        state = await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    else:
        state = await controls.stop(reason, runtime=runtime)
    return Switches(state=state, ask_from=runtime.settings.ask_from, environment=runtime.settings.environment)


async def resume(*, runtime: Runtime | None = None) -> Switches:
    """Lift both switches. Raises `DecisionRefused` if the runtime's user may not decide."""
    runtime = runtime or await current_runtime()
    await controls.set_read_only(False, runtime=runtime)
    await controls.resume(runtime=runtime)
    return await current(runtime=runtime)


async def break_glass(reason: str, *, minutes: float = MINUTES, runtime: Runtime | None = None) -> BreakGlass:
    """Lift the freeze and the recovery condition for some minutes, and tell everybody.

    Raises `DecisionRefused` unless the runtime's user is a named admin, `InvalidInput` without a reason or for too long.
    """
    return await open_break_glass(reason, minutes=minutes, runtime=runtime or await current_runtime())


async def end_break_glass(*, runtime: Runtime | None = None) -> bool:
    """End a break-glass before its time. Return whether one was open."""
    return await close_break_glass(runtime=runtime or await current_runtime())
