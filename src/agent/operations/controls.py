"""The stop switch and the read-only mode: set them, lift them, and see what waits for that."""

from __future__ import annotations

from dataclasses import dataclass

from agent.approval.human_approval import Approval
from agent.execution.controls import ControlState, controls
from agent.operations.approvals import approved_waiting
from agent.runtime import Runtime, current_runtime
from agent.types import RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How the switches stand and who set them, and from which risk on a human is asked.

    `approved_waiting` was approved and is not carried out yet; `stop` leaves that out.
    """

    state: ControlState
    ask_from: RiskLevel
    approved_waiting: tuple[Approval, ...] = ()


async def current(*, viewer: str | None = None, runtime: Runtime | None = None) -> Switches:
    """Return how the switches stand now, and what waits for them as `viewer` may see it."""
    runtime = runtime or await current_runtime()
    return Switches(
        state=await controls.state(runtime=runtime),
        ask_from=runtime.settings.ask_from,
        approved_waiting=await approved_waiting(viewer=viewer, runtime=runtime),
    )


async def stop(reason: str = "", *, read_only: bool = False, runtime: Runtime | None = None) -> Switches:
    """Stop every process of the agent at once, or with `read_only` only its changes, until `resume`."""
    runtime = runtime or await current_runtime()
    if read_only:
        state = await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    else:
        state = await controls.stop(reason, runtime=runtime)
    return Switches(state=state, ask_from=runtime.settings.ask_from)


async def resume(*, runtime: Runtime | None = None) -> Switches:
    """Lift both switches. Raises `DecisionRefused` for who decides nothing here."""
    runtime = runtime or await current_runtime()
    await controls.set_read_only(False, runtime=runtime)
    await controls.resume(runtime=runtime)
    return await current(runtime=runtime)
