"""`/api/controls`: the stop switch and the read-only mode, for every process of the agent."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.execution.controls import ControlState
from agent.operations import controls
from agent.types import RiskLevel

router = APIRouter(prefix="/api/controls", tags=["controls"], route_class=IdempotentRoute)


class Switches(BaseModel):
    """The switches, the lowest risk at which a human is asked, and the approved requests that wait for `resume`."""

    state: ControlState
    ask_from: RiskLevel
    approved_waiting: list[int]


class Reason(BaseModel):
    """Why the agent is stopped, for whoever finds it so."""

    reason: str = Field("", max_length=1_000)


def _document(switches: controls.Switches) -> Switches:
    waiting = [approval.id for approval in switches.approved_waiting]
    return Switches(state=switches.state, ask_from=switches.ask_from, approved_waiting=waiting)


@router.get("", **needs("viewer"))
async def get_controls(runtime: Acting) -> Switches:
    """Return the switches."""
    return _document(await controls.current(runtime=runtime))


@router.post("/stop", **needs("operator"))
async def stop(body: Reason, runtime: Acting) -> Switches:
    """Stop the agent in every process at once."""
    return _document(await controls.stop(body.reason, runtime=runtime))


@router.post("/read-only", **needs("operator"))
async def read_only(body: Reason, runtime: Acting) -> Switches:
    """Let the agent only read, in every process."""
    return _document(await controls.stop(body.reason, read_only=True, runtime=runtime))


@router.post("/resume", **needs("approver"))
async def resume(runtime: Acting) -> Switches:
    """Lift both switches."""
    return _document(await controls.resume(runtime=runtime))
