"""Works out what a call of a tool would do, before anything happens: tool, checked arguments, assessment, preview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from agent.approval.preview import Preview, signed
from agent.approval.requests import NewRequest
from agent.db.statement_failures import failure
from agent.errors import ActionRefused, InvalidArguments, InvalidInput
from agent.execution import available_tools
from agent.execution.controls import controls
from agent.execution.dry_run.preview import preview
from agent.execution.execution_tools import Tool
from agent.execution.guards.conditions import check_rows, guards_now, labelled, recovery_sentence, rows_changed
from agent.execution.outside_effects import Proposal
from agent.execution.undo.undo import not_restored_by
from agent.learning.named_relations import BuiltStatement
from agent.provenance.assessment import weigh
from agent.provenance.conversation_context import ConversationContext, context_of_call, longer_context
from agent.remarks import hidden_rows_remark
from agent.runtime import Runtime
from agent.statements.assessment import assess_statement
from agent.statements.parser import MOST_CHARACTERS, Statement, parse
from agent.statements.policy import POLICY_VERSION
from agent.statements.risk import SEVERAL_AS_WORDED, is_refused, risk_after_dry_run, under_settings
from agent.text.storable import storable_json
from agent.types import Assessment, CallKey, RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A call of a tool, assessed: the tool, its checked arguments, and the statement or proposal that it makes (if any).

    `given` are the arguments as they were given, with the types that the tool takes; they are what is stored.
    `origins` are sentences about values that come neither from the user nor from a trusted place. `note` goes into the
    result's message.
    """

    tool: Tool
    given: Mapping[str, Any]
    arguments: Any
    assessment: Assessment
    statement: Statement | None = None
    proposal: Proposal | None = None
    origins: tuple[str, ...] = ()
    note: str = ""

    @property
    def writes(self) -> bool:
        """Return whether it has an effect: a statement that is not provably a read, or something outside the database."""
        return self.proposal is not None or (self.statement is not None and self.assessment.reasons != ("read",))


async def action_of(action: str, arguments: Mapping[str, Any], runtime: Runtime, call: CallKey | None = None) -> Action:
    """Return what a call of the tool named `action` would do.

    Raises `UnknownTool`, `InvalidArguments`, or an error of the database that is asked about it.
    """
    tool = await available_tools.find(action, runtime=runtime)
    if not isinstance(arguments, Mapping):
        raise InvalidArguments(f"{action} takes an object with its arguments, not {type(arguments).__name__}.")
    try:
        storable_json(arguments)
    except ValueError as error:
        raise InvalidArguments(f"{action} cannot take these arguments: {error}.") from error
    given = tool.typed(arguments)
    checked = tool.check(given)
    settings = runtime.settings
    if tool.outside is not None:
        proposal = await tool.outside.propose(checked, call=call, runtime=runtime)
        assessment = replace(proposal.assessment, policy_version=POLICY_VERSION)
        assessment = under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)
        return Action(tool=tool, given=given, arguments=checked, assessment=assessment, proposal=proposal)
    if tool.statement is None:
        return Action(tool=tool, given=given, arguments=checked, assessment=_needs_no_approval(tool.name))
    try:
        built = await tool.statement(checked, runtime)
        text, note = (built.sql, built.note) if isinstance(built, BuiltStatement) else (built, "")
        statement = parse(text, most_characters=None if tool.from_kept_rows else MOST_CHARACTERS)
    except psycopg.Error as error:
        raise failure(error, settings) from error
    show = getattr(checked, "show_secrets", False)
    assessment = await assess_statement(statement, show_secrets=show, runtime=runtime)
    assessment = under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)
    return Action(tool=tool, given=given, arguments=checked, statement=statement, assessment=assessment, note=note)


async def with_origins_assessed(
    action: Action, arguments: Mapping[str, Any], conversation: ConversationContext, runtime: Runtime
) -> Action:
    """Return a model's action, assessed also by where its values come from."""
    if action.writes:
        conversation = await longer_context(conversation, runtime=runtime)
    assessment, origins = await weigh(
        action.assessment,
        None if action.tool.from_kept_rows else action.statement,
        arguments,
        conversation,
        has_effect=action.writes,
        runtime=runtime,
    )
    return replace(action, assessment=assessment, origins=origins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """What an approver is shown, the risk after the dry run with all its reasons, and how many people must approve at least.

    `asks` says whether a human is asked.
    """

    preview: Preview
    risk: RiskLevel
    reasons: tuple[str, ...]
    votes: int = 1
    asks: bool = True


async def preview_for_approver(action: Action, runtime: Runtime) -> Previewed:
    """Try an action under the operator's conditions, and return what its approver is shown.

    Raises `ActionRefused` where AGENT_REFUSE or a bound forbids what the dry run showed, `ConditionNotMet` where a condition
    holds changes up, `AgentStopped`.
    """
    await controls.check(writing=True, runtime=runtime)
    guards = await guards_now(runtime)
    guards.check_proposal()
    tried, risk, reasons = await _tried(action, runtime)
    recovery = "" if action.statement is None else await recovery_sentence(guards, risk, reasons, runtime)
    shown = labelled(tried, guards, environment=runtime.settings.environment, recovery=recovery)
    asks = guards.asks(risk, ask_from=runtime.settings.ask_from)
    return Previewed(preview=signed(shown), risk=risk, reasons=reasons, votes=guards.votes, asks=asks)


async def _tried(action: Action, runtime: Runtime) -> tuple[Preview, RiskLevel, tuple[str, ...]]:
    """Return the preview of the action's effect, its risk and its reasons."""
    assessed = action.assessment
    if action.proposal is not None:
        proposed = action.proposal.preview
        return replace(proposed, origins=(*proposed.origins, *action.origins)), assessed.risk, assessed.reasons
    assert action.statement is not None  # noqa: S101  # what has an effect is a proposal or a statement
    tried = await preview(action.statement, assessed, of_kept_rows=action.tool.from_kept_rows, runtime=runtime)
    several = SEVERAL_AS_WORDED in assessed.reasons
    risk, added_reasons = risk_after_dry_run(
        assessed.risk, tried, many_rows=runtime.settings.many_rows, several=several
    )
    if is_refused(added_reasons, runtime.settings.refuse):
        raise ActionRefused(
            f"Refused: AGENT_REFUSE forbids what it was seen to do ({', '.join(added_reasons)}). {tried.sentence}"
        )
    check_rows(rows_changed(tried), runtime.settings.max_changed_rows)
    if action.tool.from_kept_rows:
        tried = replace(tried, not_restored=await not_restored_by(action.arguments.execution_id, runtime=runtime))
    shown = replace(tried, origins=action.origins, remarks=_remarks(action))
    return shown, risk, (*assessed.reasons, *added_reasons)


def _remarks(action: Action) -> tuple[str, ...]:
    """Return the remark that row-level security hides some rows, if it does; the outcome carries it too."""
    writes = action.statement is not None and action.statement.kind in {
        "InsertStmt",
        "UpdateStmt",
        "DeleteStmt",
        "MergeStmt",
    }
    remark = hidden_rows_remark(action.assessment.hidden, writes=writes)
    return (remark,) if remark else ()


async def new_request_for(
    action: str, arguments: Mapping[str, Any], place: CallKey | None, *, by_model: bool, runtime: Runtime
) -> NewRequest:
    """Return the request that this call of a tool would make now. Raises `ActionRefused` or `InvalidInput`.

    `place` names the call's conversation (see `call_key_of`); what was said there tells where a model's values come from.
    """
    assessed = await action_of(action, arguments, runtime, place)
    if by_model:  # a human's own values come from a human
        assessed = await with_origins_assessed(
            assessed, assessed.given, await context_of_call(place, runtime=runtime), runtime
        )
    if assessed.assessment.verdict == "refuse":
        raise ActionRefused(f"Refused: {assessed.assessment.sentence} The request is as it was.")
    if not assessed.writes:
        raise InvalidInput("That would change nothing, so it needs no approval. The request is as it was.")
    previewed = await preview_for_approver(assessed, runtime)
    return NewRequest(
        action=action, arguments=assessed.given, risk_level=previewed.risk, reasons=previewed.reasons, votes=previewed.votes,
        summary=previewed.preview.sentence or "", preview=previewed.preview, policy_version=assessed.assessment.policy_version,
    )  # fmt: skip


def _needs_no_approval(tool: str) -> Assessment:
    return Assessment(
        verdict="run", risk="LOW", reasons=("own",), sentence=f"Uses {tool}.", policy_version=POLICY_VERSION
    )
