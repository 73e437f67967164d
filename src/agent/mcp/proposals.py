"""Propose a change: the client asks its person where it can; elsewhere the request waits with a link, and a tool says what became of it.

The row of the queue decides here too. What a client sends back only proposes a decision to it: the state that it returns is
sealed, names the request as the person saw it, and belongs to the caller who got it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import structlog
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field, ValidationError

from agent.approval.human_approval import Approval, human_approval_queue
from agent.errors import AgentError, AlreadyDecided, InvalidInput
from agent.graph.interrupts import description
from agent.mcp.callers import Caller
from agent.mcp.results import document, shown
from agent.operations import approvals, proposals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.types import UNFINISHED

_MODERN = "2026-07-28"
_QUESTION = "decision"
_MOST_MESSAGE = 8_000
_log = structlog.get_logger(__name__)


class Answer(BaseModel):
    """What the person at the client decides."""

    decision: Literal["approve", "reject"] = Field(description="Whether this may be done.")
    comment: str = Field("", description="With a rejection: what to do instead.")


async def propose(
    sql: str, *, again: bool, context: Context[Any], caller: Caller, seconds: float
) -> CallToolResult | InputRequiredResult:
    """Propose one statement, and ask the person at the client for at most `seconds` where that is possible."""
    if context.request_state is not None:
        return await _answered(context, caller)
    runtime = caller.runtime
    arguments = {"sql": sql}
    result = await proposals.propose("execute_sql", arguments, via="mcp", again=again, runtime=runtime)
    if result.get("status") not in UNFINISHED or not (number := result.get("approval_id")):
        return await shown(result, caller, tool="execute_sql", arguments=arguments)
    approval = await human_approval_queue.get(number, runtime=runtime)
    if approval.status != "pending" or not caller.identity.allows("approver") or not _can_ask(context):
        return await status(number, caller=caller)
    if is_version_at_least(context.protocol_version or "", _MODERN):
        return InputRequiredResult(
            input_requests={_QUESTION: _question(approval, runtime)}, request_state=f"{approval.id}:{approval.binding}"
        )
    return await _asked_now(approval, context, caller, seconds)


async def status(approval_id: int, *, caller: Caller, seconds: float = 0.0) -> CallToolResult:
    """Return what became of a request, after at most `seconds` if it waits, with the places where it can be decided."""
    runtime = caller.runtime
    if seconds > 0:
        try:
            async with asyncio.timeout(seconds):
                await human_approval_queue.wait(approval_id, runtime=runtime)
        except TimeoutError:
            pass
    approval = await human_approval_queue.latest(approval_id, runtime=runtime)
    result = await approvals.run(approval.id, runtime=runtime)
    if approval.status != "pending":
        return await shown(result, caller, tool=approval.action, arguments=approval.arguments)
    return document(
        {
            "status": "waiting", "request_id": approval.id, "summary": approval.summary, "risk": approval.risk_level,
            "expires_at": approval.expires_at.isoformat(), "link": link(approval.id, runtime),
            "next": f"Nothing was done. Tell the user: a person decides at the link or with `agent approvals approve {approval.id}`. "
            f"request_status({approval.id}) says what became of it.",
        }
    )  # fmt: skip


def link(approval_id: int, runtime: Runtime) -> str:
    """Return the address at which a request is shown and decided."""
    settings = runtime.settings
    base = settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"
    return f"{base}/api/approvals/{approval_id}"


def _can_ask(context: Context[Any]) -> bool:
    """Return whether the client shows forms to its person, and can be sent one with this message."""
    capabilities = context.client_capabilities
    form = capabilities.elicitation if capabilities else None
    if form is None or (form.form is None and form.url is not None):
        return False
    return is_version_at_least(context.protocol_version or "", _MODERN) or context.session.can_send_request


def _question(approval: Approval, runtime: Runtime) -> ElicitRequest:
    schema = Answer.model_json_schema()
    schema["properties"] = {name: {**value, "title": name.capitalize()} for name, value in schema["properties"].items()}
    form = {"type": "object", "properties": schema["properties"], "required": ["decision"]}
    return ElicitRequest(params=ElicitRequestFormParams(message=_message(approval, runtime), requested_schema=form))


def _message(approval: Approval, runtime: Runtime) -> str:
    text = description(approval, database=runtime.app.target("agent_actor"))
    if len(text) <= _MOST_MESSAGE:
        return text
    return f"{text[:_MOST_MESSAGE]}…\n\nThis is cut: {link(approval.id, runtime)} shows all of it."


async def _asked_now(approval: Approval, context: Context[Any], caller: Caller, seconds: float) -> CallToolResult:
    """Ask within the call, as clients before 2026-07-28 are asked. Without an answer the request goes on waiting."""
    try:
        async with asyncio.timeout(seconds):
            asked = await context.elicit(_message(approval, caller.runtime), Answer)
    except (TimeoutError, ValueError):  # it never answered, or not in the form's terms
        return await status(approval.id, caller=caller)
    content = asked.data.model_dump() if asked.action == "accept" else None
    return await _take(approval.id, approval.binding, ElicitResult(action=asked.action, content=content), caller)


async def _answered(context: Context[Any], caller: Caller) -> CallToolResult:
    """Take the answer that a client brings back with the sealed state of its first call."""
    number, _, binding = (context.request_state or "").partition(":")
    answer = (context.input_responses or {}).get(_QUESTION)
    if not number.isdecimal():
        raise InvalidInput("The state of this call is not one of this tool: propose the change again.")
    return await _take(int(number), binding, answer if isinstance(answer, ElicitResult) else None, caller)


async def _take(approval_id: int, binding: str, answer: ElicitResult | None, caller: Caller) -> CallToolResult:
    """Propose a person's answer to the row of the queue, and return what became of the request."""
    human = _decision(answer, binding)
    if human is not None:
        caller.identity.require("approver")
        try:
            await approvals.decide_and_run(approval_id, human, via="mcp", runtime=caller.runtime)
        except AlreadyDecided:
            _log.info("decision_came_second", approval_id=approval_id)
        except AgentError as error:  # somebody else must decide: it waits as before
            _log.info("decision_refused", approval_id=approval_id, error=str(error))
    return await status(approval_id, caller=caller)


def _decision(answer: ElicitResult | None, binding: str) -> HumanDecision | None:
    """Return the decision in an answer; None for one that leaves the request as it is."""
    if answer is None or answer.action == "cancel":
        return None
    if answer.action == "decline":
        return HumanDecision(decision="reject", binding=binding)
    try:
        given = Answer.model_validate(answer.content)
    except ValidationError:
        return None
    comment = given.comment if given.decision == "reject" else None
    return HumanDecision(decision=given.decision, comment=comment or None, binding=binding)
