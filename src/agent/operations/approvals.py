"""Show and decide requests for approval, and carry out what was approved, in the same way on every surface."""

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
from agent.execution.guards.conditions import guards_now, sentences
from agent.execution.log import executions
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.operations import questions
from agent.runtime import Runtime, current_runtime
from agent.types import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDecision:
    """One decision that a person took about a request. `detail` names the person to whom it was delegated."""

    decision: Decision
    decided_by: str
    via: str
    comment: str | None
    detail: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A request as its viewer may see it, and what the viewer can do about it.

    `waits_for_resume` says that it is approved and not carried out, because the agent is stopped or read-only. `why_not`
    says why the viewer may not approve it ('' when they may). `deciders` names who may; it is empty where nobody is named,
    because then everybody may. `conditions` says what is in force now for a request that is not finished: environment, freeze
    window, open break-glass. `decisions` holds those taken so far; a list of requests leaves them out.
    """

    approval: Approval
    waits_for_resume: bool
    why_not: str
    deciders: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    decisions: tuple[TakenDecision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalList:
    """Some requests, and the number of executions whose outcome a human still has to find out."""

    approvals: tuple[ApprovalView, ...]
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDecision:
    """A decision as a surface has read it from a person. `binding` is that of the request that the person saw.

    The comment of a rejection says what to do instead, unless the no is `final`.
    """

    decision: Decision
    comment: str | None = None
    arguments: Mapping[str, Any] | None = None
    response: str | None = None
    delegate_to: str | None = None
    always: Always | None = None
    binding: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOutcome:
    """A request after a decision, as its decider may see it.

    `result` is that of the action, if it was carried out. `waits_for_resume` says that the action waits for `agent resume`.
    `permission` is the one that was given with the decision.
    """

    approval: Approval
    result: ToolResult | None = None
    waits_for_resume: bool = False
    permission: Permission | None = None


async def list_requests(
    limit: int = 50,
    *,
    everything: bool = False,
    after: int | None = None,
    viewer: str | None = None,
    runtime: Runtime | None = None,
) -> ApprovalList:
    """Return the pending requests, the oldest first; with `everything` also the decided ones, the newest first.

    `after` is the last request of the page before.
    """
    runtime = runtime or await current_runtime()
    if everything:
        requests = await human_approval_queue.history(limit, before=after, viewer=viewer, runtime=runtime)
    else:
        requests = (await human_approval_queue.pending(after=after, viewer=viewer, runtime=runtime))[:limit]
    return ApprovalList(
        approvals=await views_of(requests, viewer=viewer, runtime=runtime),
        unknown=await executions.unknown(runtime=runtime),
    )


async def view(approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> ApprovalView:
    """Return one request with the decisions about it, as `viewer` may see it. Raises `NotFound`."""
    request = await human_approval_queue.get(approval_id, viewer=viewer, runtime=runtime)
    decisions = await human_approval_queue.decisions(approval_id, runtime=runtime)
    (request_view,) = await views_of([request], viewer=viewer, runtime=runtime)
    return replace(request_view, decisions=tuple(TakenDecision(**decision) for decision in decisions))


async def views_of(
    requests: Sequence[Approval], *, viewer: str | None = None, runtime: Runtime | None = None
) -> tuple[ApprovalView, ...]:
    """Return what `viewer` can do about each of `requests`, which are already masked for them."""
    runtime = runtime or await current_runtime()
    membership = await people.membership(viewer, runtime=runtime)
    everybody = await people.list_people(runtime=runtime)
    waiting = await _waiting_for_resume(runtime)
    conditions = sentences(await guards_now(runtime), environment=runtime.settings.environment)
    return tuple(
        ApprovalView(
            approval=request,
            waits_for_resume=request.id in waiting,
            why_not=why_not(request, "approve", membership),
            deciders=who_may_approve(request, everybody),
            conditions=conditions if request.executable and request.status in {"pending", "approved"} else (),
        )
        for request in requests
    )


async def decide(
    approval_id: int, human: HumanDecision, *, via: str, decided_by: str | None = None, runtime: Runtime | None = None
) -> DecisionOutcome:
    """Record one person's decision (default: the runtime's user's). An approved action runs when its conversation continues.

    Raises what `safe_executor.decide` raises; the request then waits as before.
    """
    runtime = runtime or await current_runtime()
    if human.decision == "respond":
        await questions.check_answer(approval_id, human.response, runtime=runtime)
    approval = await safe_executor.decide(
        approval_id, human.decision, decided_by=decided_by, via=via, comment=human.comment, arguments=human.arguments,
        response=human.response, delegate_to=human.delegate_to, always=human.always, binding=human.binding,
        final=human.final, runtime=runtime,
    )  # fmt: skip
    waits = approval.id in await _waiting_for_resume(runtime)
    given = await permissions.of_approval(approval.id, viewer=decided_by, runtime=runtime) if human.always else None
    return DecisionOutcome(approval=approval, waits_for_resume=waits, permission=given)


async def decide_and_run(
    approval_id: int, human: HumanDecision, *, via: str, decided_by: str | None = None, runtime: Runtime | None = None
) -> DecisionOutcome:
    """Record one person's decision, and run the action at once if that was the last approval that it needed."""
    runtime = runtime or await current_runtime()
    outcome = await decide(approval_id, human, via=via, decided_by=decided_by, runtime=runtime)
    approval = outcome.approval
    if approval.status != "approved" or not approval.executable:
        return outcome
    result = await run(approval.id, viewer=decided_by, runtime=runtime)
    waits = not result.get("success") and approval.id in await _waiting_for_resume(runtime)
    return replace(outcome, result=result, waits_for_resume=waits)


async def run(approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> ToolResult:
    """Run an approved action once, after the approved calls that come before it in the same round.

    Returns what `safe_executor.run_approved` returns, also if the request is not approved.
    """
    runtime = runtime or await current_runtime()
    approval = await human_approval_queue.latest(approval_id, runtime=runtime)
    call = approval.call
    if call is not None and approval.status == "approved":
        for other in await human_approval_queue.for_turn(call.thread_id, call.turn, runtime=runtime):
            if other.status == "approved" and other.round == call.round and (other.ordinal or 0) < call.ordinal:
                await safe_executor.run_approved(other.id, runtime=runtime)
    return await safe_executor.run_approved(approval.id, viewer=viewer, runtime=runtime)


async def approved_waiting(*, viewer: str | None = None, runtime: Runtime | None = None) -> tuple[Approval, ...]:
    """Return the approved requests that are not carried out yet, as `viewer` may see them."""
    runtime = runtime or await current_runtime()
    ids = await effects.left_over(runtime=runtime)
    return tuple([await human_approval_queue.get(one, viewer=viewer, runtime=runtime) for one in ids])


async def _waiting_for_resume(runtime: Runtime) -> frozenset[int]:
    """Return the ids of approved requests that are not carried out because the agent is stopped or read-only."""
    state = await controls.state(runtime=runtime)
    return frozenset(await effects.left_over(runtime=runtime) if state.stopped or state.read_only else ())
