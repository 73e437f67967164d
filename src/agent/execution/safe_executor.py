"""The one way to act: every action is assessed, then run, asked about or refused, and always recorded.

execute, execute_taken -> switches -> tool's arguments -> statement -> assess -> run | preview and ask | refuse -> log
run_approved -> the row's decision -> the effect, exactly once -> its recorded outcome
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import uuid4

import psycopg
import structlog

from agent.approval.decisions import DecisionRequest
from agent.approval.human_approval import Approval, Decision, human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import Permission, permissions
from agent.approval.preview import Preview
from agent.approval.requests import binding_of
from agent.approval.views import result_for_viewer
from agent.concurrency import gather_or_cancel
from agent.db import load_queries
from agent.errors import (
    ActionRefused,
    AgentError,
    DatabaseUnavailable,
    InvalidArguments,
    NotFound,
    OperatorError,
    PolicyError,
    UnknownTool,
)
from agent.execution import edits, effects
from agent.execution.action import Action, action_of, preview_for_approver, with_origins_assessed
from agent.execution.controls import ControlState, allow, controls
from agent.execution.created_tools import runs
from agent.execution.hidden_cells import hidden_in, with_sources, without_keys
from agent.execution.log import record
from agent.execution.permissions.matching import Allowance, permission_for
from agent.execution.permissions.scope import Always
from agent.execution.reads.reader import read
from agent.execution.reads.remarks import remarks_on
from agent.execution.run_approved import execute_approved, pending_result, with_edit_message
from agent.execution.run_context import RunContext
from agent.execution.tools.arguments import is_built_in
from agent.execution.undo.undo import UNDO, forget_old
from agent.learning.auto_discover import auto_discovery
from agent.learning.named_relations import NoSuchName
from agent.provenance.assessment import needs_a_human
from agent.provenance.conversation_context import ConversationContext, context_of_call, context_of_transcript, secret_in
from agent.runtime import Runtime, current_runtime
from agent.statements.policy import POLICY_VERSION
from agent.statements.risk import is_asked
from agent.statements.secret_use import SecretUse
from agent.threads import StoredCall, Transcript, threads
from agent.types import UNFINISHED, Assessment, CallKey, RiskLevel, ToolResult

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
# Undefined table, column, function, object, schema.
_NAME_IS_GONE = frozenset({"42P01", "42703", "42883", "42704", "3F000"})
_CHANGED = " The database's schema has changed since it was shown to you: look with describe_schema before you go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Who asks for what."""

    action: str
    arguments: Mapping[str, Any]
    require_approval: bool = True
    actor: str | None = None
    call: CallKey | None = None
    wait: bool = True
    by_model: bool = False
    conversation: ConversationContext = field(default_factory=ConversationContext)
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenCall:
    """A stored call that is about to be carried out, its conversation, and how the switches stand.

    Its `approval_id` is what it asked before.
    """

    stored: StoredCall
    conversation: ConversationContext
    switches: ControlState


class SafeExecutor:
    """Assesses and executes actions. Holds nothing; see the module docstring."""

    async def assess(self, action: str, arguments: Mapping[str, Any], *, runtime: Runtime | None = None) -> Assessment:
        """What an action is, without doing it, whatever is passed.

        Raises `UnknownTool` or `InvalidArguments`; `StatementFailed` for a statement that the server does not take; `NotFound` or
        `ActionRefused` where there is nothing to undo or a tool was tampered with; an `OperatorError` where whoever runs the
        agent must act: the database is away or not set up, a setting is missing. Nothing else.
        """
        runtime = runtime or await current_runtime()
        try:
            return (await action_of(action, arguments, runtime)).assessment
        except psycopg.Error as error:  # of the agent's own tables: what a statement ran into has been told by then
            raise DatabaseUnavailable(
                f"The agent's own tables cannot be read: {error}. Run `agent status`; if its rights are missing, `agent setup`."
            ) from error

    async def execute(
        self,
        action: str,
        arguments: Mapping[str, Any],
        require_approval: bool = True,  # noqa: FBT001, FBT002  # the public signature of the requirements
        *,
        actor: str | None = None,
        call: CallKey | None = None,
        by_model: bool = False,
        wait: bool = True,
        runtime: Runtime | None = None,
    ) -> ToolResult:
        """Run an action that is harmless, ask a human about one that is not, refuse one that never may be.

        With `wait=False` the result's status is "waiting" and its `approval_id` names the question; the same `call` is
        asked about once. With `require_approval=False` nothing is asked: what would need it is refused. Errors that the
        model can mend come back as a result; `OperatorError`s are raised. `by_model` says that a model chose the arguments
        in a conversation that is not kept here: then nobody is known to have said them.
        """
        runtime = runtime or await current_runtime()
        request = _Request(
            action=action, arguments=arguments, require_approval=require_approval, actor=actor, call=call, wait=wait,
            by_model=by_model or call is not None,
        )  # fmt: skip
        asked, switches, (request, plan) = await gather_or_cancel(
            _asked(call, runtime), controls.state(runtime=runtime), _with_action(request, runtime)
        )
        return await self._execute(request, plan, asked=asked, switches=switches, runtime=runtime)

    async def take(self, key: CallKey, *, runtime: Runtime | None = None) -> TakenCall | None:
        """A stored tool call that is still to be carried out; None when it was begun before. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["take_call"], **asdict(key))
        if row is None:
            raise NotFound(f"There is no tool call {key}.")
        stored = StoredCall.from_row(key.thread_id, row)
        if stored.status != "stored":
            return None
        transcript = Transcript.from_row(key.thread_id, row)
        conversation = context_of_transcript(transcript, trusted=runtime.settings.trusted_sources, until=key)
        return TakenCall(stored=stored, conversation=conversation, switches=ControlState.from_row(row))

    async def execute_taken(self, taken: TakenCall, *, runtime: Runtime | None = None) -> ToolResult:
        """`execute` a stored call without waiting for a human; its result, or that it waits, is stored with it."""
        runtime = runtime or await current_runtime()
        call = taken.stored
        request = _Request(action=call.tool, arguments=call.arguments, call=call.key, wait=False, by_model=True)
        asked = await human_approval_queue.unmasked(call.approval_id, runtime=runtime) if call.approval_id else None
        request, plan = await _with_action(request, runtime, known=taken.conversation)
        return await self._execute(request, plan, asked=asked, switches=taken.switches, runtime=runtime)

    async def _execute(
        self,
        request: _Request,
        plan: Action | AgentError,
        *,
        asked: Approval | None,
        switches: ControlState,
        runtime: Runtime,
    ) -> ToolResult:
        # A call that asked before is bound to that answer, even if the policy or the data would say otherwise by now.
        if asked is not None:
            return await self._answer(asked, request, runtime)
        assessment = _unknown(request.action)
        try:
            allow(switches, writing=False)
            if isinstance(plan, AgentError):
                raise plan
            assessment = plan.assessment
            request = _keyed(request, plan)
            if plan.writes and assessment.verdict != "refuse":
                return await self._propose(plan, request, runtime)
            result = await self._run(plan, request, runtime)
            if result.get("status") in UNFINISHED:
                return result
        except AgentError as error:
            # Another run of this call may be further: what it was told to do, and did, is no error.
            if (first := await _asked(request.call, runtime)) is not None:
                return await self._answer(first, request, runtime)
            result = _error_result(error)
            if await _schema_changed(error, runtime):
                result["error"] += _CHANGED
            await _record(request, assessment, result, runtime)
            if isinstance(error, OperatorError):
                raise
            return result
        except asyncio.CancelledError:
            cancelled = ToolResult(success=False, status="failed", error="cancelled by the user")
            await asyncio.shield(_record(request, assessment, cancelled, runtime, final=False))
            raise
        result["execution_id"] = await _record(request, assessment, result, runtime)
        return result

    async def _run(self, plan: Action, request: _Request, runtime: Runtime) -> ToolResult:
        """The result of what needs no approval; a tool that pauses for one goes on when a human has decided."""
        if plan.tool.pauses and not request.require_approval:
            raise _needs_approval("Its code may do what is asked about.")
        result = await _run(plan, request, runtime)
        while result.get("status") in UNFINISHED and request.wait:
            await human_approval_queue.wait(result["approval_id"], runtime=runtime)
            result = await _run(plan, request, runtime)
        if result.get("status") in UNFINISHED and request.call is not None:
            await threads.call_waits(request.call, result["approval_id"], runtime=runtime)
        return result

    async def outcome_of(self, call: StoredCall, *, runtime: Runtime | None = None) -> ToolResult:
        """What came of a stored call that waits for a human; the code of a created tool goes on with what was decided."""
        runtime = runtime or await current_runtime()
        assert call.approval_id is not None  # noqa: S101  # a waiting call has its row
        if not await runs.is_under_way(call.key, runtime=runtime):
            return await _run_approved(call.approval_id, runtime)
        request = _Request(action=call.tool, arguments=call.arguments, call=call.key, wait=False, by_model=True)
        (request, plan), switches = await gather_or_cancel(
            _with_action(request, runtime), controls.state(runtime=runtime)
        )
        try:
            return await self._execute(request, plan, asked=None, switches=switches, runtime=runtime)
        except OperatorError as error:  # recorded as the call's outcome; the turn goes on
            return _error_result(error)

    async def run_approved(
        self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> ToolResult:
        """Execute an approved row exactly once, whoever calls and how often; the outcome as `viewer` may see it.

        A row that a human edited stands for the one that replaced it. Status "waiting" while nobody has decided, "running"
        while another process is slow; "rejected", "expired" and "answered" (by a human, in the tool's place) are final; else
        the recorded outcome.
        """
        runtime = runtime or await current_runtime()
        result = await _run_approved(approval_id, runtime)
        return result_for_viewer(await people.membership(viewer, runtime=runtime), result)

    async def undo(
        self, execution_id: int, *, actor: str | None = None, wait: bool = True, runtime: Runtime | None = None
    ) -> ToolResult:
        """`execute` the inverse of an approved change: assessed, shown and approved like any other.

        Refused where its rows have changed since, are not kept any more, or cannot be found again.
        """
        return await self.execute(UNDO, {"execution_id": execution_id}, actor=actor, wait=wait, runtime=runtime)

    async def execute_left_over(self, *, runtime: Runtime | None = None) -> list[ToolResult]:
        """Execute what was approved and not carried out because its process died; for workers and at start-up."""
        runtime = runtime or await current_runtime()
        await forget_old(runtime=runtime)
        results = []
        for number in await effects.left_over(runtime=runtime):
            result = await _run_approved(number, runtime)
            results.append(result)
            call = (await human_approval_queue.latest(number, runtime=runtime)).call
            if call is not None and result["success"]:  # it was told that the agent was stopped
                await threads.call_done_after_all(call, result, runtime=runtime)
        return results

    async def _propose(self, plan: Action, request: _Request, runtime: Runtime) -> ToolResult:
        """Ask a human about an effect, or let the policy decide where the risk is below what a human is asked about."""
        asks = plan.assessment.verdict == "ask"
        if asks and not request.require_approval:
            raise _needs_approval(plan.assessment.sentence)
        await controls.check(writing=True, runtime=runtime)
        shown, risk, raised = await preview_for_approver(plan, runtime)
        asks = is_asked(risk, runtime.settings.ask_from)
        if asks and not request.require_approval:
            raise _needs_approval(shown.sentence or "")
        covered = asks and not needs_a_human(plan.assessment.reasons)
        reasons = (*plan.assessment.reasons, *raised)
        allowed = (
            await _permission(plan, request, shown=shown, risk=risk, reasons=reasons, runtime=runtime)
            if covered
            else None
        )
        approval = await human_approval_queue.request(
            request.action,
            request.arguments,
            risk_level=risk,
            reasons=reasons,
            summary=shown.sentence or "",
            preview=shown,
            policy_version=plan.assessment.policy_version,
            requested_by=request.actor,
            call=request.call,
            runtime=runtime,
        )
        # Another run of this call may have asked first, and have seen other data: then a human decides about what it saw.
        proposed = binding_of(request.action, request.arguments, plan.assessment.policy_version, shown)
        if not asks and approval.status == "pending":
            why = f"risk {risk} is below AGENT_ASK_FROM={runtime.settings.ask_from}"
            await human_approval_queue.approve_by_policy(
                approval.id, why, proposed=proposed, risk=risk, runtime=runtime
            )
        elif allowed is not None and approval.status == "pending":
            await permissions.use(allowed, approval, proposed=proposed, runtime=runtime)
        return await self._answer(approval, request, runtime)

    async def decide(
        self,
        approval_id: int,
        decision: Decision,
        *,
        decided_by: str | None = None,
        via: str = "python",
        comment: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        response: str | None = None,
        delegate_to: str | None = None,
        always: Always | None = None,
        binding: str | None = None,
        runtime: Runtime | None = None,
    ) -> Approval:
        """Take one person's decision of any kind; the request as it is then. Executes nothing: that is `run_approved`.

        "edit" assesses and tries `arguments` anew and puts a new request in the place of this one, approved by the same
        decision unless it goes beyond what was seen. "approve" with `always` makes a permission too. Else as
        `human_approval_queue.decide`. Raises also the errors of `assess`; the request then waits as before.
        """
        runtime = runtime or await current_runtime()
        if decision == "edit":
            said = DecisionRequest(
                decision="edit", by=decided_by or runtime.user, via=via, comment=comment, binding=binding
            )
            return await edits.edit(approval_id, said, arguments, runtime=runtime)
        grant = await edits.grant(approval_id, always, runtime=runtime) if always else None
        return await human_approval_queue.decide(
            approval_id, decision, decided_by=decided_by, via=via, comment=comment, response=response,
            delegate_to=delegate_to, binding=binding, grant=grant, runtime=runtime,
        )  # fmt: skip

    async def would_allow(
        self, approval_id: int, always: Always, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> Allowance:
        """What approving a request with `always` would allow, in words, before it is. Raises as `decide` would."""
        return await edits.allowance(approval_id, always, viewer, runtime=runtime or await current_runtime())

    async def reopen(
        self, approval_id: int, *, reopened_by: str | None = None, runtime: Runtime | None = None
    ) -> Approval:
        """Ask again, with a fresh preview, what nobody answered in time; once. Raises `InvalidInput`, `AlreadyDecided`."""
        runtime = runtime or await current_runtime()
        return await edits.reopen(approval_id, reopened_by, runtime=runtime)

    async def _answer(self, approval: Approval, request: _Request, runtime: Runtime) -> ToolResult:
        if request.wait:
            await human_approval_queue.wait(approval.id, runtime=runtime)
        result = await _run_approved(approval.id, runtime)
        if request.call is not None and result.get("status") in UNFINISHED:
            await threads.call_waits(request.call, result["approval_id"], runtime=runtime)
        elif request.call is not None:
            await threads.call_done(request.call, result, runtime=runtime)
        return result


safe_executor = SafeExecutor()


async def _run_approved(approval_id: int, runtime: Runtime) -> ToolResult:
    """What `run_approved` says, as who asked and the model are told it."""
    approval = await human_approval_queue.unmasked_latest(approval_id, runtime=runtime)
    if approval.status != "approved" or not approval.executable:
        return pending_result(approval)
    return with_edit_message(await execute_approved(approval, runtime), approval)


async def _asked(call: CallKey | None, runtime: Runtime) -> Approval | None:
    return await human_approval_queue.unmasked_of_call(call, runtime=runtime) if call else None


def _keyed(request: _Request, plan: Action) -> _Request:
    """A tool that pauses is found again by its call's key: outside of a conversation it gets one of its own."""
    if request.call is not None or not plan.tool.pauses:
        return request
    return replace(request, call=CallKey(thread_id=f"tool-{uuid4().hex[:12]}", turn=0, round=0, ordinal=0))


async def _with_action(
    request: _Request, runtime: Runtime, *, known: ConversationContext | None = None
) -> tuple[_Request, Action | AgentError]:
    """The request with its conversation, and what the action is or why it cannot be done.

    The error is a value because it is to be recorded first.
    """
    conversation, plan = await gather_or_cancel(
        _conversation_of(request.call, known, runtime), _action_or_error(request, runtime)
    )
    if request.by_model and isinstance(plan, Action):
        try:
            plan = await with_origins_assessed(plan, request.arguments, conversation, runtime)
        except AgentError as error:
            plan = error
    return replace(request, conversation=conversation), plan


async def _conversation_of(
    call: CallKey | None, known: ConversationContext | None, runtime: Runtime
) -> ConversationContext:
    return known if known is not None else await context_of_call(call, runtime=runtime)


async def _action_or_error(request: _Request, runtime: Runtime) -> Action | AgentError:
    try:
        return await action_of(request.action, request.arguments, runtime, request.call)
    except AgentError as error:
        return error


async def _permission(
    plan: Action,
    request: _Request,
    *,
    shown: Preview,
    risk: RiskLevel,
    reasons: Sequence[str],
    runtime: Runtime,
) -> Permission | None:
    return await permission_for(
        request.action, request.arguments, statement=plan.statement, shown=shown, risk=risk, reasons=reasons,
        policy=plan.assessment.policy_version, user=request.actor or runtime.user, runtime=runtime,
    )  # fmt: skip


def _needs_approval(sentence: str) -> ActionRefused:
    return ActionRefused(f"Not executed: it needs a human's approval, and none may be asked. {sentence}")


async def _run(plan: Action, request: _Request, runtime: Runtime) -> ToolResult:
    assessment = plan.assessment
    if assessment.verdict == "refuse":
        raise ActionRefused(f"Refused: {assessment.sentence}")
    if plan.tool.run is not None:
        context = RunContext(runtime=runtime, call=request.call, execute=safe_executor.execute)
        return await plan.tool.run(plan.arguments, context)
    assert plan.statement is not None  # noqa: S101  # a tool has a statement or runs by itself
    use = assessment.secrets or SecretUse()
    hidden = hidden_in(use, read_secrets=runtime.settings.read_secrets)
    rows = await read(plan.statement, hide=hidden, runtime=runtime)
    remarks = await remarks_on(rows, plan.statement, assessment.hidden, runtime=runtime)
    # The remarks come first: what is cut of a long result for a model is its end.
    result = ToolResult(
        success=True, status="succeeded", **({"remarks": remarks} if remarks else {}), columns=rows.columns, rows=rows.rows,
        row_count=len(rows.rows), truncated=rows.truncated, sql=plan.statement.sql,
    )  # fmt: skip
    if not runtime.settings.read_secrets:
        result = without_keys(result, plan.statement)
    if rows.cut_cells:
        result["cut_cells"] = rows.cut_cells
    if plan.note:
        result["message"] = plan.note
    # Without that, which of its values are secrets is told by names, of which AGENT_OPEN_COLUMNS may have opened some.
    known = any(use.sources) or bool(runtime.settings.open_columns)
    return with_sources(result, use, hidden) if known and plan.statement.kind == "SelectStmt" else result


def _unknown(action: str) -> Assessment:
    return Assessment(
        verdict="refuse", risk="LOW", reasons=("not-assessed",), sentence=f"{action!r:.200} was not assessed.",
        policy_version=POLICY_VERSION,
    )  # fmt: skip


async def _schema_changed(error: AgentError, runtime: Runtime) -> bool:
    """Whether the action failed on a name that is gone because the schema is another one; what is known is then read again."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state not in _NAME_IS_GONE and not isinstance(error, NoSuchName):
        return False
    try:
        return await auto_discovery.refresh_if_changed(runtime=runtime)
    except (AgentError, psycopg.Error) as failed:  # the action's own error is what the model must read
        _log.warning("refresh_failed", error=str(failed))
        return False


def _error_result(error: AgentError) -> ToolResult:
    refused = isinstance(error, (PolicyError, InvalidArguments, UnknownTool))
    return ToolResult(success=False, status="refused" if refused else "failed", error=str(error))


async def _record(
    request: _Request, assessment: Assessment, result: ToolResult, runtime: Runtime, *, final: bool = True
) -> int:
    """Log what came of it; unless it is to be tried again (`final`), it is the outcome of the tool call too."""
    arguments = request.arguments if isinstance(request.arguments, Mapping) else {"arguments": request.arguments}
    if secret_in(arguments, request.conversation.secrets):
        arguments = {}
    number = await record(
        request.action,
        arguments,
        assessment=assessment,
        result=result,
        actor=request.actor,
        call=request.call,
        final=final,
        duration_ms=(time.monotonic() - request.started) * 1000,
        runtime=runtime,
    )
    if final and request.call is not None and not is_built_in(request.action):
        await runs.forget(request.call, runtime=runtime)
    return number
