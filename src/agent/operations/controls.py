"""Set and lift the stop switch and the read-only mode, and show which actions wait for that."""

from __future__ import annotations

from dataclasses import dataclass

from agent.approval.human_approval import Approval
from agent.execution.controls import ControlState, controls
from agent.operations.approvals import approved_waiting
from agent.runtime import Runtime, current_runtime
from agent.types import RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """The state of the switches, who set them, and the lowest risk at which a human is asked.

    `approved_waiting` holds the requests that are approved and not carried out yet; `stop` leaves it empty.
    """

    state: ControlState
    ask_from: RiskLevel
    approved_waiting: tuple[Approval, ...] = ()


async def current(*, viewer: str | None = None, runtime: Runtime | None = None) -> Switches:
    """Return the switches as they are now, and the approved actions that wait, as `viewer` may see them."""
    runtime = runtime or await current_runtime()
    return Switches(
        state=await controls.state(runtime=runtime),
        ask_from=runtime.settings.ask_from,
        approved_waiting=await approved_waiting(viewer=viewer, runtime=runtime),
    )


async def stop(reason: str = "", *, read_only: bool = False, runtime: Runtime | None = None) -> Switches:
    """Stop every process of the agent at once until `resume`; with `read_only`, stop only changes."""
    runtime = runtime or await current_runtime()
    if read_only:
        state = await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    else:
        state = await controls.stop(reason, runtime=runtime)
    return Switches(state=state, ask_from=runtime.settings.ask_from)


async def resume(*, runtime: Runtime | None = None) -> Switches:
    """Lift both switches. Raises `DecisionRefused` if the runtime's user may not decide."""
    runtime = runtime or await current_runtime()
    await controls.set_read_only(False, runtime=runtime)
    await controls.resume(runtime=runtime)
    return await current(runtime=runtime)
