"""`/api/controls`: the stop switch, the read-only mode and a break-glass, for every process of the agent."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.execution.controls import ControlState
from agent.execution.guards.break_glass import MINUTES, MOST_MINUTES, BreakGlass
from agent.operations import controls
from agent.types import RiskLevel

router = APIRouter(prefix="/api/controls", tags=["controls"], route_class=IdempotentRoute)


class Switches(BaseModel):
    """The switches, the conditions of a change, and the approved requests that are not carried out yet.

    `frozen` says which freeze window is in force ("" for none), `break_glass` what lifts it for some minutes.
    """

    state: ControlState
    ask_from: RiskLevel
    environment: str
    frozen: str
    break_glass: BreakGlass | None
    approved_waiting: list[int]


class Reason(BaseModel):
    """Why the agent is stopped, for whoever finds it so."""

    reason: str = Field("", max_length=1_000)


class BreakGlassRequest(BaseModel):
    """Why the freeze and the recovery condition are lifted, which everybody is told, and for how long."""

    reason: str = Field(min_length=1, max_length=500)
    minutes: int = Field(MINUTES, ge=1, le=MOST_MINUTES)


def _document(switches: controls.Switches) -> Switches:
    waiting = [approval.id for approval in switches.approved_waiting]
    return Switches(
        state=switches.state, ask_from=switches.ask_from, environment=switches.environment, frozen=switches.frozen,
        break_glass=switches.break_glass, approved_waiting=waiting,
    )  # fmt: skip


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


@router.post("/break-glass", **needs("admin"))
async def break_glass(body: BreakGlassRequest, runtime: Acting) -> BreakGlass:
    """Lift the freeze and the recovery condition for some minutes; everybody is told."""
    return await controls.break_glass(body.reason, minutes=body.minutes, runtime=runtime)


@router.post("/break-glass/end", **needs("operator"))
async def end_break_glass(runtime: Acting) -> Switches:
    """End a break-glass before its time."""
    await controls.end_break_glass(runtime=runtime)
    return _document(await controls.current(runtime=runtime))
