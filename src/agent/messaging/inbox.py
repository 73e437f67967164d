"""Takes what people do in a messaging service to the operations: decisions by button or text, links of accounts, questions.

A button's token names the message, the account names the person, and the operation decides whether they may.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

import structlog

from agent.access import accounts
from agent.access.identity import Identity
from agent.chat import ChatAnswer, chat
from agent.errors import AgentError, AlreadyDecided, InvalidInput, NotAuthenticated
from agent.messaging.base import Said, Service, Tap
from agent.messaging.cards import card_of
from agent.messaging.outbox import Message, Outbox
from agent.messaging.rendering import outcome
from agent.messaging.words import Command, command_in
from agent.operations import approvals, executions
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.text.visible import one_line

_PROCESSING_SECONDS = 2.0
_MOST_LISTED = 20
_log = structlog.get_logger(__name__)
_STALE = "This button is out of date. The message shows how the request stands; `pending` lists what waits."
_HELP = (
    "Ask me about your application, or say: pending; approve NUMBER; reject NUMBER why. "
    "To tell me who you are, run `agent people link` where the agent runs and send me here in private: link CODE"
)


@dataclass(frozen=True, slots=True)
class _Acting:
    """A person who does something, and the runtime that acts for them."""

    identity: Identity
    runtime: Runtime


class ServiceInbox:
    """What comes in from one service, for one tenant."""

    def __init__(self, runtime: Runtime, service: Service) -> None:
        self._runtime, self._service = runtime, service
        self._outbox = Outbox(runtime, service.name)
        self._holder = uuid4().hex

    async def may_receive(self) -> bool:
        """Return whether this process is the one that receives."""
        return await self._outbox.receives(self._holder)

    async def tapped(self, tap: Tap) -> str:
        """Carry out a decision by button. Return a sentence for the person."""
        try:
            message = await self._outbox.of_token(tap.token)
            if message is None:
                return _STALE
            acting = await self._acting(tap.account, message.approval_id)
            if message.message_id not in (None, tap.message_id):
                await self._close_copy(tap, message)
                return _STALE
            decision = HumanDecision(decision=tap.decision, comment=tap.comment, binding=message.binding)
            return await self._decide(acting, message.approval_id, decision, message)
        except AgentError as error:
            return str(error)

    async def said(self, said: Said) -> str:
        """Carry out a command, or answer a question. Return the text to reply with, '' for none."""
        try:
            answered = await self._outbox.of_posted(said.answers) if said.answers else None
            if (answered is None and not said.addressed) or not await self._outbox.first_time(said.key):
                return ""
            command = command_in(said.text, answers=answered is not None)
            if command is None:
                return await self._asked(said)
            return await self._commanded(said, command, answered)
        except AgentError as error:
            return str(error)

    async def _commanded(self, said: Said, command: Command, answered: Message | None) -> str:
        if command.kind == "help":
            return _HELP
        if command.kind == "link":
            return await self._linked(said, command.text or "")
        number = command.approval_id if command.approval_id is not None else answered.approval_id if answered else 0
        acting = await self._acting(said.account, number)
        if command.kind == "pending":
            return await self._pending(acting)
        binding = answered.binding if answered is not None and command.approval_id is None else None
        decision = HumanDecision(decision=command.kind, comment=command.text, binding=binding)
        return await self._decide(acting, number, decision, answered if binding else None)

    async def _decide(self, acting: _Acting, approval_id: int, decision: HumanDecision, message: Message | None) -> str:
        acting.identity.require("operator")
        view = await approvals.view(approval_id, runtime=acting.runtime)
        if decision.decision == "approve" and view.approval.status == "pending" and view.why_not:
            return view.why_not
        if message is not None and not await self._first(message, acting, decision.decision):
            return "Somebody was quicker: the message shows how the request stands."
        try:
            await approvals.decide_and_run(approval_id, decision, via=self._service.name, runtime=acting.runtime)
        except AlreadyDecided as error:
            return str(error)
        finally:
            if message is not None:
                await self._outbox.due(message)
        view = await approvals.view(approval_id, runtime=acting.runtime)
        if view.approval.status == "pending":
            return f"Noted. It needs {view.approval.votes_needed} people, and has {len(view.approval.approved_by)}."
        return outcome(view, await executions.of_request(approval_id, runtime=acting.runtime))

    async def _first(self, message: Message, acting: _Acting, verb: str) -> bool:
        """Use the buttons up and take them off the message. Return whether this person was the first."""
        if message.token is None or not await self._outbox.use_token(message):
            return False
        if message.message_id is not None:
            shown = (await card_of(message, self._runtime)).processing(acting.identity.person, verb)
            with suppress(AgentError, TimeoutError):  # the message is updated again after the decision
                async with asyncio.timeout(_PROCESSING_SECONDS):
                    await self._service.update(message.place, message.message_id, shown, None)
        return True

    async def _close_copy(self, tap: Tap, message: Message) -> None:
        """Take the buttons off a copy, which a process posted just before it died."""
        shown = await card_of(message, self._runtime)
        copy = replace(shown, outcome=shown.outcome or "This copy is out of date: another message shows the request.")
        with suppress(AgentError):
            await self._service.update(tap.place, tap.message_id, copy, None)

    async def _linked(self, said: Said, code: str) -> str:
        if not said.private:
            raise InvalidInput(
                "Send the code in private: here everybody reads it. Make a new one with `agent people link`."
            )
        account = await accounts.link(self._service.name, said.account, code, runtime=self._runtime)
        return f"You are {one_line(account.person, 100)} now. What waits for you comes here; `pending` lists it."

    async def _pending(self, acting: _Acting) -> str:
        waiting = await approvals.list_requests(_MOST_LISTED, runtime=acting.runtime)
        lines = [
            f"{one.approval.id} · {one.approval.risk_level} · {one_line(one.approval.summary, 200)}"
            + (f" ({one.why_not})" if one.why_not else "")
            for one in waiting.approvals
        ]
        return "\n".join(lines) or "Nothing waits."

    async def _asked(self, said: Said) -> str:
        acting = await self._acting(said.account, 0)
        acting.identity.require("operator")
        thread_id = f"{self._service.name}-{said.conversation}"
        answer = await chat.answer(said.text, thread_id=thread_id, runtime=acting.runtime)
        return _answer_text(answer)

    async def _acting(self, account: str, approval_id: int) -> _Acting:
        try:
            identity = await accounts.identity_of_account(
                self._service.name, account, runtime=self._runtime, approval_id=approval_id
            )
        except NotAuthenticated:
            _log.warning("unknown_account", service=self._service.name, account=account, approval_id=approval_id)
            raise
        runtime = self._runtime.for_tenant(identity.tenant_id, user=identity.person, masked=not identity.personal)
        return _Acting(identity, runtime)


def _answer_text(answer: ChatAnswer) -> str:
    if answer.status != "waiting":
        return answer.text or answer.error or "I have no answer."
    asked = "; ".join(f"{one.id}: {one_line(one.summary, 200)}" for one in answer.approvals)
    return f"A person must decide first ({asked}). Say approve NUMBER or reject NUMBER, or use the buttons."
