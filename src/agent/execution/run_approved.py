"""Executes a decided request once, or says why it never will be.

The rules in force at execution count: a request that was changed since it was asked, or that stricter rules forbid by
now, is used up as refused.
"""

from __future__ import annotations

import json

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.preview import as_statement
from agent.approval.views import arguments_for_everybody
from agent.errors import (
    ActionRefused,
    AgentStopped,
    AlreadyDecided,
    ConditionNotMet,
    InvalidArguments,
    InvalidInput,
    ModelError,
    NotFound,
    PolicyError,
    UnknownTool,
)
from agent.execution import effects
from agent.execution.action import new_request_for
from agent.execution.controls import controls
from agent.execution.digests import keyed, load_key
from agent.execution.execution_tools import tool_named
from agent.execution.guards.conditions import check_approved
from agent.execution.non_transactional import non_transactional_effect
from agent.execution.outside_effects import NonTransactionalEffect
from agent.execution.results import outcome_of
from agent.execution.tool_spans import traced
from agent.execution.undo.undo import inverse_of
from agent.provenance.conversation_context import call_key_of
from agent.runtime import Runtime
from agent.statements.assessment import assess_statement
from agent.statements.kinds import refuses_transaction
from agent.statements.parser import MOST_CHARACTERS, Statement, parse
from agent.statements.policy import POLICY_VERSION
from agent.statements.risk import (
    AS_WORDED,
    SEVERAL_AS_WORDED,
    as_worded,
    is_asked,
    is_refused,
    may_be_as_worded,
    under_settings,
)
from agent.types import Assessment, ToolResult


async def execute_approved(
    approval: Approval, runtime: Runtime, *, own: NonTransactionalEffect | None = None
) -> ToolResult:
    """Execute an approved request once, whoever calls and how often, and return its recorded outcome.

    `own` is the effect of a request that its caller carries out: no tool of the agent's.
    """
    row = await effects.recorded(approval.id, runtime=runtime)
    if row is not None and row["status"] != "running":
        return await _with_new_request(approval, outcome_of(row), runtime)
    run = _execute(approval, own, runtime, begun=row is not None)
    return await traced(run, approval.action, runtime=runtime, approval_id=approval.id)


async def _execute(
    approval: Approval, own: NonTransactionalEffect | None, runtime: Runtime, *, begun: bool
) -> ToolResult:
    try:
        await controls.check(writing=True, runtime=runtime)
        _check_database(approval, runtime)
        is_statement = own is None and tool_named(approval.action).outside is None
        await check_approved(approval, statement=is_statement, runtime=runtime)
        forbidden = _forbidden(approval, runtime)
        if own is not None:
            return await effects.carry_out(approval, own, forbidden=forbidden, runtime=runtime)
        effect, forbidden = await _effect_of(approval, forbidden, runtime)
        if not begun and forbidden is None:
            forbidden = await _refused_by_now(approval, effect, runtime)
        outcome = await effects.carry_out(approval, effect, forbidden=forbidden, runtime=runtime)
        return await _with_new_request(approval, outcome, runtime)
    except ConditionNotMet as error:
        message = f"Approval {approval.id} is approved and not done yet. {error}"
        return ToolResult(success=False, status="refused", error=message, approval_id=approval.id)
    except AgentStopped as error:
        message = (
            f"Approval {approval.id} is approved and not done yet: it is carried out after `agent resume`. {error}"
        )
        return ToolResult(success=False, status="refused", error=message, approval_id=approval.id)
    except (ActionRefused, InvalidInput, InvalidArguments, UnknownTool) as error:
        return ToolResult(success=False, status="refused", error=str(error), approval_id=approval.id)


async def _with_new_request(approval: Approval, outcome: ToolResult, runtime: Runtime) -> ToolResult:
    """Return the outcome of an approval; where its rows had changed, ask a human once about the rows as they are now."""
    if (outcome.get("data") or {}).get(effects.ROWS_CHANGED) is not True:
        return outcome
    if approval.decided_via == "policy":
        return outcome | ToolResult(error=f"{outcome['error']} Propose it again.")
    number = await human_approval_queue.successor(approval.id, runtime=runtime)
    try:
        if number is None:
            new = await new_request_for(
                approval.action, approval.arguments, call_key_of(approval), by_model=True, runtime=runtime
            )
            number = (await human_approval_queue.reopen(approval, new, runtime=runtime)).id
    except AlreadyDecided:  # another process was quicker
        number = await human_approval_queue.successor(approval.id, runtime=runtime)
    except (ModelError, PolicyError, InvalidInput) as error:
        return outcome | ToolResult(error=f"{outcome['error']} Nobody is asked again: {error}")
    message = f"{outcome['error']} A human is asked again, and shown what it would do now: approval {number}."
    return outcome | ToolResult(error=message, data={effects.ROWS_CHANGED: True, "asked_again_as": number})


def _check_database(approval: Approval, runtime: Runtime) -> None:
    if approval.database_id != runtime.database_id:
        raise InvalidInput(f"Approval {approval.id} is about another database ({approval.database_id}).")


async def _effect_of(
    approval: Approval, forbidden: ActionRefused | None, runtime: Runtime
) -> tuple[Statement | NonTransactionalEffect, ActionRefused | None]:
    """Return the effect to carry out, and why it may not be begun (None if it may)."""
    tool = tool_named(approval.action)
    if tool.outside is not None:
        return tool.outside, forbidden
    text = as_statement(approval.preview).sql
    if tool.from_kept_rows and forbidden is None:
        text, forbidden = await _rebuilt_statement(approval, runtime)
    # A forbidden effect is only looked for, never begun, and its text may be anything by now.
    statement = parse("SELECT" if forbidden else text, most_characters=None if tool.from_kept_rows else MOST_CHARACTERS)
    return non_transactional_effect(statement, runtime) if refuses_transaction(statement) else statement, forbidden


async def _rebuilt_statement(approval: Approval, runtime: Runtime) -> tuple[str, ActionRefused | None]:
    """Build the statement of an undo from the kept rows again, as when it was shown: its request does not hold their values."""
    try:
        text = await inverse_of(int(approval.arguments["execution_id"]), runtime=runtime)
    except (ActionRefused, NotFound) as error:
        return "", ActionRefused(str(error))
    await load_key(runtime)
    if keyed(text, purpose="statement", runtime=runtime) != as_statement(approval.preview).signature:
        return "", ActionRefused(
            f"Approval {approval.id} is not what would be done now; it is not executed. Ask again."
        )
    return text, None


def _forbidden(approval: Approval, runtime: Runtime) -> ActionRefused | None:
    """Return why an approved request may not be executed now: it is not what was decided, or the rules are stricter."""
    settings = runtime.settings
    if not approval.bound or not approval.preview or not approval.preview.fingerprint:
        why = "was changed after it was asked"
    elif approval.policy_version != POLICY_VERSION:
        why = "was given under an older policy"
    elif is_refused(approval.reasons, settings.refuse):
        why = "is of what AGENT_REFUSE forbids now"
    elif approval.decided_via == "policy" and is_asked(approval.risk_level, settings.ask_from):
        why = f"was given by the policy, which now asks a human from {settings.ask_from} on"
    else:
        return None
    return ActionRefused(f"Approval {approval.id} {why}; it is not executed. Ask again.")


async def _refused_by_now(
    approval: Approval, effect: Statement | NonTransactionalEffect, runtime: Runtime
) -> ActionRefused | None:
    """Assess a request that was not begun anew, and return why it may not be executed: refused by now, or more than was decided.

    What cannot be assessed any more (its table is gone, say) is left to fail by itself.
    """
    try:
        assessment = await _assessed_now(approval, effect, runtime)
    except ModelError:
        return None
    if assessment is None:
        return None
    further = sorted({*assessment.reasons} - {*approval.reasons, "one-row"})
    if assessment.verdict == "refuse":
        why = f"is of what is refused now; it is not executed. {assessment.sentence}"
    elif further:
        why = f"was given before this was known of it: {', '.join(further)}. It is not executed; ask again. {assessment.sentence}"
    elif approval.decided_via == "policy" and assessment.verdict == "ask":
        why = f"was given by the policy, and needs a human by now; it is not executed. Ask again. {assessment.sentence}"
    else:
        return None
    return ActionRefused(f"Approval {approval.id} {why}")


async def _assessed_now(
    approval: Approval, effect: Statement | NonTransactionalEffect, runtime: Runtime
) -> Assessment | None:
    """Assess the action as things are now; None for an effect outside the database that a human has decided."""
    tool, settings = tool_named(approval.action), runtime.settings
    if tool.outside is None:
        statement = effect if isinstance(effect, Statement) else parse(as_statement(approval.preview).sql)
        show = bool(approval.arguments.get("show_secrets"))
        assessment = await assess_statement(statement, show_secrets=show, runtime=runtime)
        if {AS_WORDED, SEVERAL_AS_WORDED} & {*approval.reasons} and may_be_as_worded(assessment):
            assessment = as_worded(assessment, several=SEVERAL_AS_WORDED in approval.reasons)
    elif approval.decided_via in {"policy", "permission"}:
        arguments = tool.check(approval.arguments)
        proposal = await tool.outside.propose(arguments, call=approval.call, runtime=runtime)
        assessment = proposal.assessment
    else:
        return None
    return under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)


def pending_result(approval: Approval) -> ToolResult:
    """Return the result of a request that is not there to be executed: undecided, refused, answered, expired or a question."""
    identifier = approval.id
    if approval.status == "pending":
        message = f"Waiting for a human to decide approval {identifier}. {approval.summary}"
        return ToolResult(success=False, status="waiting", approval_id=identifier, message=message)
    if approval.status == "approved":
        message = "Approved; the caller acts by itself."
        return ToolResult(success=True, status="succeeded", approval_id=identifier, message=message)
    if approval.status == "rejected":
        return _rejected(approval)
    if approval.status == "answered":
        message = f"{approval.decided_by} answered in the tool's place, and nothing was executed. They said: {approval.response}"
        answer = {"answered_by": approval.decided_by, "answer": approval.response}
        return ToolResult(success=True, status="answered", approval_id=identifier, message=message, data=answer)
    message = "Nobody answered in time; that is final and nothing was done."
    return ToolResult(success=False, status="expired", approval_id=identifier, error=message)


def _rejected(approval: Approval) -> ToolResult:
    """Return the result of a rejection. The human's words stand in it once, and again as `correction` for our own code."""
    said = f" They said: {approval.comment}" if approval.comment else ""
    rejected = ToolResult(success=False, status="rejected", approval_id=approval.id)
    if approval.correction is None:
        rejected["error"] = f"{approval.decided_by} rejected this; that is final and nothing was done.{said}"
        return rejected
    rejected["error"] = f"{approval.decided_by} rejected this; that is final for this call, and nothing was done.{said}"
    rejected["correction"] = approval.correction
    return rejected


def with_edit_message(result: ToolResult, approval: Approval) -> ToolResult:
    """Add to the result of an edited call that a human changed it: else the model would try to correct the change."""
    if approval.replaces is None or approval.call is None:
        return result
    changed = json.dumps(arguments_for_everybody(approval.arguments, approval.preview), ensure_ascii=False)
    note = f"A human changed the arguments before this ran, on purpose; used instead: {changed}."
    return result | ToolResult(message=f"{note} {result.get('message', '')}".strip())
