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
    """How the switches stand and who set them, from which risk on a human is asked, and the approvals not carried out yet."""

    state: ControlState
    ask_from: RiskLevel
    approved_waiting: tuple[Approval, ...]


async def current(*, runtime: Runtime | None = None) -> Switches:
    """Return how the switches stand now."""
    runtime = runtime or await current_runtime()
    return Switches(
        state=await controls.state(runtime=runtime),
        ask_from=runtime.settings.ask_from,
        approved_waiting=await approved_waiting(runtime=runtime),
    )


async def stop(reason: str = "", *, read_only: bool = False, runtime: Runtime | None = None) -> Switches:
    """Stop every process of the agent at once, or with `read_only` only its changes, until `resume`."""
    if read_only:
        await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    else:
        await controls.stop(reason, runtime=runtime)
    return await current(runtime=runtime)


async def resume(*, runtime: Runtime | None = None) -> Switches:
    """Lift both switches. Raises `DecisionRefused` for who decides nothing here."""
    await controls.set_read_only(False, runtime=runtime)
    await controls.resume(runtime=runtime)
    return await current(runtime=runtime)
