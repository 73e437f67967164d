"""Runs every action of the agent: assesses it, then runs it, asks a human or refuses it, and records it.

execute, execute_taken -> switches -> tool's arguments -> statement -> assess -> run | preview and ask | refuse -> log
run_approved -> the request's decision -> the effect, exactly once -> its recorded outcome
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import uuid4

import psycopg
import structlog

from agent.approval.decisions import DecisionRequest
from agent.approval.human_approval import Approval, Decision, human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import Permission, permissions
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
from agent.execution.action import Action, Previewed, action_of, preview_for_approver, with_origins_assessed
from agent.execution.after_rejection import check_not_rejected
from agent.execution.assessed_read import run_read
from agent.execution.controls import ControlState, allow, controls
from agent.execution.created_tools import runs
from agent.execution.log import record
from agent.execution.permissions.matching import Allowance, permission_for
from agent.execution.permissions.scope import Always
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
from agent.threads import StoredCall, Transcript, threads
from agent.types import UNFINISHED, Assessment, CallKey, ToolResult

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
# Undefined table, column, function, object, schema.
_UNDEFINED_NAME = frozenset({"42P01", "42703", "42883", "42704", "3F000"})
_CHANGED = " The database's schema has changed since it was shown to you: look with describe_schema before you go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One call of an action: who asks for it, with which arguments, in which conversation."""

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
    """A stored call that is about to be carried out, its conversation, and the switches; `stored` names its earlier request."""

    stored: StoredCall
    conversation: ConversationContext
    switches: ControlState


class SafeExecutor:
    """Assesses and executes actions. Holds no state; see the module docstring."""

    async def assess(self, action: str, arguments: Mapping[str, Any], *, runtime: Runtime | None = None) -> Assessment:
        """Assess an action without doing it. Any arguments may be passed.

        Raises `UnknownTool` or `InvalidArguments`; `StatementFailed` for a statement that the server does not take; `NotFound` or
        `ActionRefused` where there is nothing to undo or a tool was tampered with; an `OperatorError` where the operator must
        act: the database is away or not set up, a setting is missing. Nothing else.
        """
        runtime = runtime or await current_runtime()
        try:
            return (await action_of(action, arguments, runtime)).assessment
        except psycopg.Error as error:  # of the agent's own tables: an error of the statement is an AgentError by now
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
        """Run a harmless action, ask a human about another one, refuse one that is never allowed.

        With `wait=False` the result's status is "waiting" and its `approval_id` names the request; the same `call` is
        asked about once. With `require_approval=False` an action that needs approval is refused. Errors that the model can
        correct come back as a result; `OperatorError`s are raised. `by_model` says that a model chose the arguments in a
        conversation that is not stored here: then no value counts as the user's.
        """
        runtime = runtime or await current_runtime()
        request = _Request(
            action=action, arguments=arguments, require_approval=require_approval, actor=actor, call=call, wait=wait,
            by_model=by_model or call is not None,
        )  # fmt: skip
        earlier, switches, (request, resolved) = await gather_or_cancel(
            _earlier_request(call, runtime), controls.state(runtime=runtime), _with_action(request, runtime)
        )
        return await self._execute(request, resolved, earlier=earlier, switches=switches, runtime=runtime)

    async def take(self, key: CallKey, *, runtime: Runtime | None = None) -> TakenCall | None:
        """Return a stored tool call that is still to be carried out; None when it was begun before. Raises `NotFound`."""
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
        """Carry out a stored call as `execute` does, without waiting for a human; its result or its wait is stored."""
        runtime = runtime or await current_runtime()
        call = taken.stored
        request = _Request(action=call.tool, arguments=call.arguments, call=call.key, wait=False, by_model=True)
        earlier = await human_approval_queue.unmasked(call.approval_id, runtime=runtime) if call.approval_id else None
        request, resolved = await _with_action(request, runtime, known=taken.conversation)
        return await self._execute(request, resolved, earlier=earlier, switches=taken.switches, runtime=runtime)

    async def _execute(
        self,
        request: _Request,
        resolved: Action | AgentError,
        *,
        earlier: Approval | None,
        switches: ControlState,
        runtime: Runtime,
    ) -> ToolResult:
        # A call that made a request before is bound to its answer, even if the policy or the data would say otherwise by now.
        if earlier is not None:
            return await self._answer(earlier, request, runtime)
        assessment = _not_assessed(request.action)
        try:
            allow(switches, writing=False)
            if isinstance(resolved, AgentError):
                raise resolved
            assessment = resolved.assessment
            request = _with_key(request, resolved)
            if resolved.writes and assessment.verdict != "refuse":
                return await self._propose(resolved, request, runtime)
            result = await self._run(resolved, request, runtime)
            if result.get("status") in UNFINISHED:
                return result
        except AgentError as error:
            # Another run of this call may have made a request meanwhile: its answer counts, and this error does not.
            if (first := await _earlier_request(request.call, runtime)) is not None:
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

    async def _run(self, action: Action, request: _Request, runtime: Runtime) -> ToolResult:
        """Run an action that needs no approval; a tool that pauses for one goes on when a human has decided."""
        if action.tool.pauses and not request.require_approval:
            raise _needs_approval("Its code may do what is asked about.")
        result = await _run(action, request, runtime)
        while result.get("status") in UNFINISHED and request.wait:
            await human_approval_queue.wait(result["approval_id"], runtime=runtime)
            result = await _run(action, request, runtime)
        if result.get("status") in UNFINISHED and request.call is not None:
            await threads.call_waits(request.call, result["approval_id"], runtime=runtime)
        return result

    async def outcome_of(self, call: StoredCall, *, runtime: Runtime | None = None) -> ToolResult:
        """Return the outcome of a stored call that waits for a human; a created tool's code goes on with the decision."""
        runtime = runtime or await current_runtime()
        assert call.approval_id is not None  # noqa: S101  # a waiting call has its row
        if not await runs.is_under_way(call.key, runtime=runtime):
            return await _run_approved(call.approval_id, runtime)
        request = _Request(action=call.tool, arguments=call.arguments, call=call.key, wait=False, by_model=True)
        (request, resolved), switches = await gather_or_cancel(
            _with_action(request, runtime), controls.state(runtime=runtime)
        )
        try:
            return await self._execute(request, resolved, earlier=None, switches=switches, runtime=runtime)
        except OperatorError as error:  # recorded as the call's outcome; the turn goes on
            return _error_result(error)

    async def run_approved(
        self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> ToolResult:
        """Execute an approved request exactly once, whoever calls and how often; return the outcome as `viewer` may see it.

        An edited request stands for the one that replaced it. Status "waiting" while nobody has decided, "running" while
        another process is slow; "rejected", "expired" and "answered" (by a human, in the tool's place) are final; else the
        recorded outcome.
        """
        runtime = runtime or await current_runtime()
        result = await _run_approved(approval_id, runtime)
        return result_for_viewer(await people.membership(viewer, runtime=runtime), result)

    async def undo(
        self, execution_id: int, *, actor: str | None = None, wait: bool = True, runtime: Runtime | None = None
    ) -> ToolResult:
        """Execute the inverse of an approved change: it is assessed, previewed and approved like any other change.

        Refused where its rows have changed since, are not kept any more, or cannot be found again.
        """
        return await self.execute(UNDO, {"execution_id": execution_id}, actor=actor, wait=wait, runtime=runtime)

    async def execute_left_over(self, *, runtime: Runtime | None = None) -> list[ToolResult]:
        """Execute the approvals whose process died before it carried them out; for workers and at start-up."""
        runtime = runtime or await current_runtime()
        await forget_old(runtime=runtime)
        numbers = await effects.left_over(runtime=runtime)
        return [await self.execute_one_left_over(number, runtime=runtime) for number in numbers]

    async def execute_one_left_over(self, approval_id: int, *, runtime: Runtime) -> ToolResult:
        """Execute an approval that its process did not carry out, and correct what its call was told in the meantime."""
        result = await _run_approved(approval_id, runtime)
        call = (await human_approval_queue.latest(approval_id, runtime=runtime)).call
        if call is not None and result["success"]:  # its result said that the agent was stopped
            await threads.call_done_after_all(call, result, runtime=runtime)
        return result

    async def _propose(self, action: Action, request: _Request, runtime: Runtime) -> ToolResult:
        """Ask a human about an effect, or let a permission, or the policy for a low risk, approve it."""
        asks = action.assessment.verdict == "ask"
        if asks and not request.require_approval:
            raise _needs_approval(action.assessment.sentence)
        shown = await preview_for_approver(action, runtime)
        after_a_no = await check_not_rejected(
            request.action, request.arguments, shown.preview, request.call, runtime=runtime
        )
        asks = after_a_no or shown.asks
        if asks and not request.require_approval:
            raise _needs_approval(shown.preview.sentence or "")
        permission = None
        if asks and not after_a_no and not needs_a_human(action.assessment.reasons):
            permission = await _permission(action, request, shown, runtime)
        policy = action.assessment.policy_version
        approval = await human_approval_queue.request(
            request.action, request.arguments, risk_level=shown.risk, reasons=shown.reasons, summary=shown.preview.sentence or "",
            preview=shown.preview, policy_version=policy, requested_by=request.actor, call=request.call, votes=shown.votes,
            runtime=runtime,
        )  # fmt: skip
        # Another run of this call may have asked first, about other data: then a human decides about that request.
        proposed = binding_of(request.action, request.arguments, policy, shown.preview)
        if not asks and approval.status == "pending":
            why = f"risk {shown.risk} is below AGENT_ASK_FROM={runtime.settings.ask_from}"
            await human_approval_queue.approve_by_policy(
                approval.id, why, proposed=proposed, risk=shown.risk, runtime=runtime
            )
        elif permission is not None and approval.status == "pending":
            await permissions.use(permission, approval, proposed=proposed, runtime=runtime)
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
        final: bool = False,
        runtime: Runtime | None = None,
    ) -> Approval:
        """Take one person's decision of any kind and return the request as it is then; `run_approved` executes it.

        "edit" assesses and previews the call with `arguments` and puts a new request in the place of this one, approved by
        the same decision unless it goes beyond what the editor saw. "approve" with `always` grants a permission too. "reject"
        with a `comment` says what to do instead, and the model may propose that, unless the no is `final`. Every
        other decision works as in `human_approval_queue.decide`. Raises also the errors of `assess`; the request then waits
        as before.
        """
        runtime = runtime or await current_runtime()
        if decision == "edit":
            edit = DecisionRequest(
                decision="edit", by=decided_by or runtime.user, via=via, comment=comment, binding=binding
            )
            return await edits.edit(approval_id, edit, arguments, runtime=runtime)
        grant = await edits.grant(approval_id, always, runtime=runtime) if always else None
        return await human_approval_queue.decide(
            approval_id, decision, decided_by=decided_by, via=via, comment=comment, response=response,
            delegate_to=delegate_to, binding=binding, grant=grant, final=final, runtime=runtime,
        )  # fmt: skip

    async def would_allow(
        self, approval_id: int, always: Always, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> Allowance:
        """Return in words what approving a request with `always` would allow. Raises as `decide` would."""
        return await edits.allowance(approval_id, always, viewer, runtime=runtime or await current_runtime())

    async def reopen(
        self, approval_id: int, *, reopened_by: str | None = None, runtime: Runtime | None = None
    ) -> Approval:
        """Ask again, once, about a request that expired, with a new preview. Raises `InvalidInput` or `AlreadyDecided`."""
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
    """Return the result of `run_approved` for whoever asked and for the model, which is not masked for a viewer."""
    approval = await human_approval_queue.unmasked_latest(approval_id, runtime=runtime)
    if approval.status != "approved" or not approval.executable:
        return pending_result(approval)
    return with_edit_message(await execute_approved(approval, runtime), approval)


async def _earlier_request(call: CallKey | None, runtime: Runtime) -> Approval | None:
    return await human_approval_queue.unmasked_of_call(call, runtime=runtime) if call else None


def _with_key(request: _Request, action: Action) -> _Request:
    """Give a tool that pauses a call key of its own where it has none: its run is found again by that key."""
    if request.call is not None or not action.tool.pauses:
        return request
    return replace(request, call=CallKey(thread_id=f"tool-{uuid4().hex[:12]}", turn=0, round=0, ordinal=0))


async def _with_action(
    request: _Request, runtime: Runtime, *, known: ConversationContext | None = None
) -> tuple[_Request, Action | AgentError]:
    """Return the request with its conversation, and its action or the error why there is none.

    The error is a value, because the caller records it before it raises it.
    """
    conversation, resolved = await gather_or_cancel(
        _conversation_of(request.call, known, runtime), _action_or_error(request, runtime)
    )
    if isinstance(resolved, Action):
        request = replace(request, arguments=resolved.given)
    if request.by_model and isinstance(resolved, Action):
        try:
            resolved = await with_origins_assessed(resolved, request.arguments, conversation, runtime)
        except AgentError as error:
            resolved = error
    return replace(request, conversation=conversation), resolved


async def _conversation_of(
    call: CallKey | None, known: ConversationContext | None, runtime: Runtime
) -> ConversationContext:
    return known if known is not None else await context_of_call(call, runtime=runtime)


async def _action_or_error(request: _Request, runtime: Runtime) -> Action | AgentError:
    try:
        return await action_of(request.action, request.arguments, runtime, request.call)
    except AgentError as error:
        return error


async def _permission(action: Action, request: _Request, shown: Previewed, runtime: Runtime) -> Permission | None:
    return await permission_for(
        request.action, request.arguments, statement=action.statement, preview=shown.preview, risk=shown.risk, reasons=shown.reasons,
        policy=action.assessment.policy_version, user=request.actor or runtime.user, runtime=runtime,
    )  # fmt: skip


def _needs_approval(sentence: str) -> ActionRefused:
    return ActionRefused(f"Not executed: it needs a human's approval, and none may be asked. {sentence}")


async def _run(action: Action, request: _Request, runtime: Runtime) -> ToolResult:
    assessment = action.assessment
    if assessment.verdict == "refuse":
        raise ActionRefused(f"Refused: {assessment.sentence}")
    if action.tool.run is not None:
        context = RunContext(runtime=runtime, call=request.call, execute=safe_executor.execute)
        return await action.tool.run(action.arguments, context)
    assert action.statement is not None  # noqa: S101  # a tool has a statement or runs by itself
    return await run_read(action.statement, assessment, note=action.note, runtime=runtime)


def _not_assessed(action: str) -> Assessment:
    return Assessment(
        verdict="refuse", risk="LOW", reasons=("not-assessed",), sentence=f"{action!r:.200} was not assessed.",
        policy_version=POLICY_VERSION,
    )  # fmt: skip


async def _schema_changed(error: AgentError, runtime: Runtime) -> bool:
    """Return whether the action failed on a missing name because the schema has changed; reads the schema again then."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state not in _UNDEFINED_NAME and not isinstance(error, NoSuchName):
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
    """Log an action's result and return the row's id; a `final` one is also the outcome of its tool call."""
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
