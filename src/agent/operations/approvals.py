"""Requests for approval on every surface: what is shown of them, who may decide, deciding, and carrying out what was approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agent.approval.eligibility import who_may_approve, why_not
from agent.approval.human_approval import Approval, Decision, human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import Permission, permissions
from agent.execution import effects
from agent.execution.controls import controls
from agent.execution.log import executions
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, current_runtime
from agent.types import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDecision:
    """What one person decided about a request. `detail` is to whom it was delegated."""

    decision: Decision
    decided_by: str
    via: str
    comment: str | None
    detail: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A request as its viewer may see it, and what can be done about it.

    `waits_for_resume`: it is approved, and not carried out because the agent is stopped or read-only. `why_not` says why the
    viewer may not approve it ('' when they may), `deciders` who may; where nobody is named, everybody may, and it is empty.
    `decisions` were taken so far; a list leaves them out.
    """

    approval: Approval
    waits_for_resume: bool
    why_not: str
    deciders: tuple[str, ...]
    decisions: tuple[TakenDecision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalList:
    """Requests, and how many executions wait for a human to say whether they happened."""

    approvals: tuple[ApprovalView, ...]
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDecision:
    """What a person decides, as a surface has read it. `binding` is that of the request as they saw it."""

    decision: Decision
    comment: str | None = None
    arguments: Mapping[str, Any] | None = None
    response: str | None = None
    delegate_to: str | None = None
    always: Always | None = None
    binding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A request after a decision, as its decider may see it.

    `result` came of carrying it out, `waits_for_resume` says that this waits for `agent resume`, `permission` was given with it.
    """

    approval: Approval
    result: ToolResult | None = None
    waits_for_resume: bool = False
    permission: Permission | None = None


async def listed(
    limit: int = 50, *, everything: bool = False, viewer: str | None = None, runtime: Runtime | None = None
) -> ApprovalList:
    """Return what waits, the oldest first; with `everything` also what is decided, the newest first."""
    runtime = runtime or await current_runtime()
    if everything:
        found = await human_approval_queue.history(limit, viewer=viewer, runtime=runtime)
    else:
        found = (await human_approval_queue.pending(viewer=viewer, runtime=runtime))[:limit]
    return ApprovalList(
        approvals=await views_of(found, viewer=viewer, runtime=runtime),
        unknown=await executions.unknown(runtime=runtime),
    )


async def view(approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> ApprovalView:
    """Return one request with the decisions about it, as `viewer` may see it. Raises `NotFound`."""
    found = await human_approval_queue.get(approval_id, viewer=viewer, runtime=runtime)
    taken = await human_approval_queue.decisions(approval_id, runtime=runtime)
    (shown,) = await views_of([found], viewer=viewer, runtime=runtime)
    return replace(shown, decisions=tuple(TakenDecision(**one) for one in taken))


async def views_of(
    found: Sequence[Approval], *, viewer: str | None = None, runtime: Runtime | None = None
) -> tuple[ApprovalView, ...]:
    """Return what `viewer` can do about requests that they have been shown."""
    runtime = runtime or await current_runtime()
    who = await people.membership(viewer, runtime=runtime)
    known = await people.list_people(runtime=runtime)
    held = await _waiting_for_resume(runtime)
    return tuple(
        ApprovalView(
            approval=one,
            waits_for_resume=one.id in held,
            why_not=why_not(one, "approve", who),
            deciders=who_may_approve(one, known),
        )
        for one in found
    )


async def decide(
    approval_id: int, said: HumanDecision, *, via: str, decided_by: str | None = None, runtime: Runtime | None = None
) -> Decided:
    """Take one person's decision (default: the runtime's user's). What it approves is carried out when its conversation goes on.

    Raises what `safe_executor.decide` raises; the request then waits as before.
    """
    runtime = runtime or await current_runtime()
    approval = await safe_executor.decide(
        approval_id, said.decision, decided_by=decided_by, via=via, comment=said.comment, arguments=said.arguments,
        response=said.response, delegate_to=said.delegate_to, always=said.always, binding=said.binding, runtime=runtime,
    )  # fmt: skip
    given = await permissions.of_approval(approval.id, viewer=decided_by, runtime=runtime) if said.always else None
    return Decided(
        approval=approval, waits_for_resume=approval.id in await _waiting_for_resume(runtime), permission=given
    )


async def decide_and_run(
    approval_id: int, said: HumanDecision, *, via: str, decided_by: str | None = None, runtime: Runtime | None = None
) -> Decided:
    """Take one person's decision, and carry the action out at once if that was the last yes that it needed."""
    runtime = runtime or await current_runtime()
    decided = await decide(approval_id, said, via=via, decided_by=decided_by, runtime=runtime)
    approval = decided.approval
    if approval.status != "approved" or not approval.executable:
        return decided
    result = await run(approval.id, viewer=decided_by, runtime=runtime)
    held = not result.get("success") and approval.id in await _waiting_for_resume(runtime)
    return replace(decided, result=result, waits_for_resume=held)


async def run(approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> ToolResult:
    """Carry out what was approved, once, after the approved calls that the model asked for before it in the same round.

    Returns what `safe_executor.run_approved` returns, also for a request that is not approved.
    """
    runtime = runtime or await current_runtime()
    approval = await human_approval_queue.latest(approval_id, runtime=runtime)
    call = approval.call
    if call is not None and approval.status == "approved":
        for one in await human_approval_queue.for_turn(call.thread_id, call.turn, runtime=runtime):
            if one.status == "approved" and one.round == call.round and (one.ordinal or 0) < call.ordinal:
                await safe_executor.run_approved(one.id, runtime=runtime)
    return await safe_executor.run_approved(approval.id, viewer=viewer, runtime=runtime)


async def approved_waiting(*, viewer: str | None = None, runtime: Runtime | None = None) -> tuple[Approval, ...]:
    """Return what was approved and is not carried out yet, as `viewer` may see it."""
    runtime = runtime or await current_runtime()
    numbers = await effects.left_over(runtime=runtime)
    return tuple([await human_approval_queue.get(number, viewer=viewer, runtime=runtime) for number in numbers])


async def _waiting_for_resume(runtime: Runtime) -> frozenset[int]:
    """Return which approved actions are not carried out because the agent is stopped or read-only."""
    state = await controls.state(runtime=runtime)
    return frozenset(await effects.left_over(runtime=runtime) if state.stopped or state.read_only else ())
