"""Asks about calls of tools that are not the agent's own, and has their effects carried out once by the caller.

Only the caller has the code of such a tool. So no worker executes the request: the process that asked does, behind a row of
the log that is written before. After a crash nobody repeats an effect that may have happened.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.preview import ToolPreview, signed
from agent.approval.requests import binding_of
from agent.errors import ActionRefused, InvalidArguments
from agent.execution.controls import controls
from agent.execution.guards.conditions import guards_now, labelled
from agent.execution.log import record
from agent.execution.outside_effects import Happened, NonTransactionalEffect
from agent.execution.run_approved import execute_approved, pending_result
from agent.runtime import Runtime
from agent.statements.policy import POLICY_VERSION
from agent.statements.risk import is_asked, under_settings
from agent.text.storable import storable_json
from agent.types import Assessment, CallKey, RiskLevel, ToolResult

_NOT_TRIED = "The agent does not know this tool's code: nothing was tried, and its effect cannot be undone here."
_MOST_SHOWN = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallersCall:
    """One call of a caller's tool; `reads` says that the caller vouches that it only reads."""

    tool: str
    arguments: Mapping[str, Any]
    description: str
    risk: RiskLevel
    reads: bool = False
    key: CallKey | None = None

    def assessment(self, runtime: Runtime) -> Assessment:
        """Return what the operator's settings say about the call."""
        settings = runtime.settings
        assessed = Assessment(
            verdict="run", risk="LOW" if self.reads else self.risk, reasons=("outside:tool", f"tool:{self.tool}"),
            sentence=f"Calls {self.tool}, a tool that is not the agent's own.", policy_version=POLICY_VERSION,
        )  # fmt: skip
        return under_settings(assessed, ask_from=settings.ask_from, refused=settings.refuse)

    async def check(self, *, runtime: Runtime) -> Assessment:
        """Return the assessment of a call that may be made now. Raises `ActionRefused`, `AgentStopped` or `InvalidArguments`."""
        try:
            storable_json(self.arguments)
        except ValueError as error:
            raise InvalidArguments(f"{self.tool} cannot take these arguments: {error}.") from error
        assessment = self.assessment(runtime)
        if assessment.verdict == "refuse":
            raise ActionRefused(f"Refused: {assessment.sentence}")
        await controls.check(writing=not self.reads, runtime=runtime)
        return assessment


async def ask(call: CallersCall, *, runtime: Runtime) -> Approval:
    """Return the request about a call: the first one of its key, approved already where the operator lets its risk run.

    Raises `ActionRefused`, `AgentStopped`, `ConditionNotMet` or `InvalidArguments`.
    """
    earlier = await human_approval_queue.unmasked_of_call(call.key, runtime=runtime) if call.key else None
    if earlier is not None:
        return earlier
    assessment = await call.check(runtime=runtime)
    guards = await guards_now(runtime)
    guards.check_proposal()
    preview = signed(labelled(_preview(call, assessment), guards, environment=runtime.settings.environment))
    approval = await human_approval_queue.request(
        call.tool, call.arguments, risk_level=assessment.risk, reasons=assessment.reasons, summary=preview.sentence or "",
        preview=preview, policy_version=POLICY_VERSION, call=call.key, executable=False, votes=guards.votes, runtime=runtime,
    )  # fmt: skip
    if guards.votes > 1 or is_asked(assessment.risk, runtime.settings.ask_from):
        return approval
    why = f"risk {assessment.risk} is below AGENT_ASK_FROM={runtime.settings.ask_from}"
    proposed = binding_of(call.tool, call.arguments, POLICY_VERSION, preview)
    await human_approval_queue.approve_by_policy(
        approval.id, why, proposed=proposed, risk=assessment.risk, runtime=runtime
    )
    return await human_approval_queue.unmasked(approval.id, runtime=runtime)


async def carry_out(
    approval_id: int,
    run: Callable[[], Awaitable[ToolResult]],
    *,
    happened: Callable[[Mapping[str, Any]], Awaitable[Happened]] | None,
    seconds: float,
    runtime: Runtime,
) -> ToolResult:
    """Run a decided call once, whoever asks and how often, and return its recorded outcome, or why it is not run.

    `happened` says after a crash whether the effect of a call with these arguments is there; without it a human is asked.
    """

    async def effect(approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
        return await run()

    async def look(approval: Approval, *, key: str, runtime: Runtime) -> Happened:
        return await happened(approval.arguments) if happened else "unknown"

    approval = await human_approval_queue.unmasked_latest(approval_id, runtime=runtime)
    if approval.status != "approved":
        return pending_result(approval)
    own = NonTransactionalEffect(carry_out=effect, look=look, seconds=seconds)
    return await execute_approved(approval, runtime, own=own)


async def log(call: CallersCall, result: ToolResult, *, duration_ms: float, runtime: Runtime) -> None:
    """Keep a call that nobody was asked about: one that reads, or one that was refused."""
    await record(
        call.tool, call.arguments, assessment=call.assessment(runtime), result=result, actor=None, call=call.key, final=False,
        duration_ms=duration_ms, runtime=runtime,
    )  # fmt: skip


def _preview(call: CallersCall, assessment: Assessment) -> ToolPreview:
    text = json.dumps(dict(call.arguments), ensure_ascii=False, indent=2, default=str)
    about = " ".join(call.description.split())[:300]
    remarks = [_NOT_TRIED, f"It says of itself: {about}" if about else ""]
    if len(text) > _MOST_SHOWN:
        remarks.append(f"Its arguments have {len(text):,} characters; {_MOST_SHOWN:,} are shown.")
    return ToolPreview(
        sentence=assessment.sentence, masked_sentence=assessment.sentence, text=text[:_MOST_SHOWN],
        not_previewed=tuple(filter(None, remarks)),
    )  # fmt: skip
