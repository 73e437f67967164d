"""What an action is, before anything happens: its tool, its checked arguments, its assessment, and what an approver is shown."""

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
from agent.execution.outside_effects import Proposal
from agent.learning.named_relations import Made
from agent.provenance.assessment import weigh
from agent.provenance.conversation_context import ConversationContext, context_of_call, longer_context
from agent.remarks import beginning
from agent.runtime import Runtime
from agent.statements.assessment import assess_statement
from agent.statements.parser import MOST_CHARACTERS, Statement, parse
from agent.statements.policy import POLICY_VERSION
from agent.statements.risk import is_refused, risk_as_tried, under_settings
from agent.text.storable import storable_json
from agent.types import Assessment, CallKey, RiskLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action understood: its tool and checked arguments, the statement or proposal it makes (if any), and the assessment.

    `origins` are sentences about values that come neither from the user nor from a trusted place. `note` is told with the result.
    """

    tool: Tool
    arguments: Any
    assessment: Assessment
    statement: Statement | None = None
    proposal: Proposal | None = None
    origins: tuple[str, ...] = ()
    note: str = ""

    @property
    def writes(self) -> bool:
        """Whether it has an effect: a statement that is not provably a read, or something outside."""
        return self.proposal is not None or (self.statement is not None and self.assessment.reasons != ("read",))


async def action_of(action: str, arguments: Mapping[str, Any], runtime: Runtime, call: CallKey | None = None) -> Action:
    """What `action` would do. Raises `UnknownTool`, `InvalidArguments`, or what looking for it raises."""
    tool = await available_tools.find(action, runtime=runtime)
    if not isinstance(arguments, Mapping):
        raise InvalidArguments(f"{action} takes an object with its arguments, not {type(arguments).__name__}.")
    try:
        storable_json(arguments)
    except ValueError as error:
        raise InvalidArguments(f"{action} cannot take these arguments: {error}.") from error
    checked = tool.check(arguments)
    settings = runtime.settings
    if tool.outside is not None:
        proposal = await tool.outside.propose(checked, call=call, runtime=runtime)
        assessment = replace(proposal.assessment, policy_version=POLICY_VERSION)
        assessment = under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)
        return Action(tool=tool, arguments=checked, assessment=assessment, proposal=proposal)
    if tool.statement is None:
        return Action(tool=tool, arguments=checked, assessment=_own(tool.name))
    try:
        made = await tool.statement(checked, runtime)
        text, note = (made.sql, made.note) if isinstance(made, Made) else (made, "")
        statement = parse(text, most_characters=None if tool.from_kept_rows else MOST_CHARACTERS)
    except psycopg.Error as error:
        raise failure(error, settings) from error
    show = getattr(checked, "show_secrets", False)
    assessment = await assess_statement(statement, show_secrets=show, runtime=runtime)
    assessment = under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)
    return Action(tool=tool, arguments=checked, statement=statement, assessment=assessment, note=note)


async def with_origins_assessed(
    plan: Action, arguments: Mapping[str, Any], conversation: ConversationContext, runtime: Runtime
) -> Action:
    """The plan of what a model asks for, with where its values come from."""
    if plan.writes:
        conversation = await longer_context(conversation, runtime=runtime)
    assessment, origins = await weigh(
        plan.assessment,
        None if plan.tool.from_kept_rows else plan.statement,
        arguments,
        conversation,
        has_effect=plan.writes,
        runtime=runtime,
    )
    return replace(plan, assessment=assessment, origins=origins)


async def preview_for_approver(plan: Action, runtime: Runtime) -> tuple[Preview, RiskLevel, tuple[str, ...]]:
    """What the approver is shown, the risk that it has then, and the codes of what raised it.

    Raises `ActionRefused` where the operator refuses what only the trial has shown.
    """
    if plan.proposal is not None:
        proposed = plan.proposal.preview
        shown = signed(replace(proposed, origins=(*proposed.origins, *plan.origins)))
        return shown, plan.assessment.risk, ()
    assert plan.statement is not None  # noqa: S101  # what has an effect is a proposal or a statement
    tried = await preview(plan.statement, plan.assessment, of_kept_rows=plan.tool.from_kept_rows, runtime=runtime)
    risk, raised = risk_as_tried(plan.assessment.risk, tried, many_rows=runtime.settings.many_rows)
    if is_refused(raised, runtime.settings.refuse):
        raise ActionRefused(
            f"Refused: AGENT_REFUSE forbids what it was seen to do ({', '.join(raised)}). {tried.sentence}"
        )
    return signed(replace(tried, origins=plan.origins, remarks=_remarks(plan))), risk, raised


def _remarks(plan: Action) -> tuple[str, ...]:
    """The remark that its rows are not all that there are; the outcome carries it too."""
    writes = plan.statement is not None and plan.statement.kind in {
        "InsertStmt",
        "UpdateStmt",
        "DeleteStmt",
        "MergeStmt",
    }
    remark = beginning(plan.assessment.hidden, writes=writes)
    return (remark,) if remark else ()


async def new_request_for(
    action: str, arguments: Mapping[str, Any], place: CallKey | None, *, by_model: bool, runtime: Runtime
) -> NewRequest:
    """What would be asked if the tool were called like this now. Raises `ActionRefused` or `InvalidInput`.

    `place` says which conversation it belongs to, as `place_of` a request has it: there is heard who said its values.
    """
    plan = await action_of(action, arguments, runtime, place)
    if by_model:  # a human's own values come from a human
        plan = await with_origins_assessed(plan, arguments, await context_of_call(place, runtime=runtime), runtime)
    if plan.assessment.verdict == "refuse":
        raise ActionRefused(f"Refused: {plan.assessment.sentence} The request is as it was.")
    if not plan.writes:
        raise InvalidInput("That would change nothing, so it needs no approval. The request is as it was.")
    await controls.check(writing=True, runtime=runtime)
    shown, risk, raised = await preview_for_approver(plan, runtime)
    return NewRequest(
        action=action, arguments=arguments, risk_level=risk, reasons=(*plan.assessment.reasons, *raised),
        summary=shown.sentence or "", preview=shown, policy_version=plan.assessment.policy_version,
    )  # fmt: skip


def _own(tool: str) -> Assessment:
    return Assessment(
        verdict="run", risk="LOW", reasons=("own",), sentence=f"Uses {tool}.", policy_version=POLICY_VERSION
    )
