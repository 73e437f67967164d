"""Takes what people do in a messaging service to the operations: decisions by button or text, links of accounts, questions.

A button's token names the message, the account names the person, and the operation decides whether they may.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import structlog

from agent.access import accounts
from agent.access.identity import Identity
from agent.errors import AgentError, AlreadyDecided, InvalidInput, NotAuthenticated, NotFound
from agent.messaging.answers import answer
from agent.messaging.base import Reaction, Said, Service, Shown, Tap, Writer
from agent.messaging.cards import card_of
from agent.messaging.outbox import Message, Outbox
from agent.messaging.rendering import details, outcome
from agent.messaging.texts import answer_shown
from agent.messaging.words import Command, command_in
from agent.operations import approvals, executions, feedback
from agent.operations.approvals import HumanDecision
from agent.operations.edits import new_arguments, present
from agent.runtime import Runtime
from agent.text.visible import one_line

_PROCESSING_SECONDS = 2.0
_MOST_LISTED = 20
_log = structlog.get_logger(__name__)
_STALE = "This button is out of date. The message shows how the request stands; `pending` lists what waits."
_HELP = (
    "Ask me about your application, or say: pending; approve NUMBER; reject NUMBER why; edit NUMBER and the new statement. "
    "To tell me who you are, run `agent people link` where the agent runs and send me here in private: link CODE"
)


@dataclass(frozen=True, slots=True)
class _Acting:
    """A person who does something, and the runtime that acts for them."""

    account: str
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

    async def tapped(self, tap: Tap, noted: asyncio.Event) -> str:
        """Carry out a decision by button. Return a sentence for the person. It survives this process once it is `noted`."""
        try:
            message = await self._outbox.of_token(tap.token)
            if message is None:
                return _STALE
            acting = await self._acting(tap.account, message.approval_id)
            if message.service != self._service.name or message.message_id not in (None, tap.message_id):
                await self._close_copy(tap, message)
                return _STALE
            decision = await self._decision(tap, message, acting)
            return await self._decide(acting, message.approval_id, decision, message, noted)
        except AgentError as error:
            return str(error)
        finally:
            noted.set()

    async def carry_out(self, message: Message) -> None:
        """Carry a decision out that a process took in before it died."""
        given = message.decision or {}
        _log.info("decision_carried_on", approval_id=message.approval_id)
        try:
            acting = await self._acting(given["account"], message.approval_id)
            decision = HumanDecision(
                decision=given["decision"], comment=given["comment"], arguments=given["arguments"], binding=message.binding
            )  # fmt: skip
            await approvals.decide_and_run(
                message.approval_id, decision, via=self._service.name, runtime=acting.runtime
            )
        except AgentError as error:  # it was carried out, or the person may not; the message shows how it stands
            _log.info("decision_not_carried_on", approval_id=message.approval_id, error=str(error))
        await self._outbox.carried_out(message)

    async def looked(self, tap: Tap) -> Shown:
        """Return all that the user of a button may see of its request. Raises `NotFound` for a button that is out of date."""
        live = await self._outbox.of_token(tap.token)
        message = live or await self._outbox.of_posted(tap.message_id)
        if message is None:
            raise NotFound(_STALE)
        acting = await self._acting(tap.account, message.approval_id)
        view = await approvals.view(message.approval_id, runtime=acting.runtime)
        execution = await executions.of_request(message.approval_id, runtime=acting.runtime)
        return Shown(
            approval_id=message.approval_id,
            text=details(view, execution),
            editable=present(view.approval, indent=2),
            open=live is not None and view.approval.status == "pending",
            why_not=view.why_not,
        )

    async def first_time(self, key: str) -> bool:
        """Return whether something comes in for the first time."""
        return await self._outbox.first_time(key)

    async def said(self, said: Said, writer: Writer) -> str:
        """Carry out a command, or answer a question through `writer`. Return the text to reply with, '' for none."""
        try:
            answered = await self._outbox.of_posted(said.answers) if said.answers else None
            if (answered is None and not said.addressed) or not await self._outbox.first_time(said.key):
                return ""
            command = command_in(said.text, answers=answered is not None)
            if command is None:
                return await self._asked(said, writer)
            return await self._commanded(said, command, answered)
        except AgentError as error:
            return str(error)

    async def reacted(self, reaction: Reaction) -> str:
        """Take a thumb under an answer as a yes or no to it. Return a sentence, '' where it counts for nothing."""
        try:
            shown = await answer_shown(self._service.name, reaction.message_id, runtime=self._runtime)
            if shown is None or not await self._outbox.first_time(f"reaction/{reaction.key}"):
                return ""
            acting = await self._acting(reaction.account, 0)
            acting.identity.require("operator")
            return await feedback.give(*shown, right=reaction.right, via=self._service.name, runtime=acting.runtime)
        except AgentError as error:
            return str(error)

    async def _decision(self, tap: Tap, message: Message, acting: _Acting) -> HumanDecision:
        arguments = None
        if tap.decision == "edit":
            arguments = await self._edited(tap.edited or "", message.approval_id, acting)
        return HumanDecision(
            decision=tap.decision, comment=tap.comment, arguments=arguments, binding=message.binding
        )  # fmt: skip

    @staticmethod
    async def _edited(text: str, approval_id: int, acting: _Acting) -> dict[str, Any]:
        """Return the arguments in a text. Raises `InvalidInput` if it changes nothing."""
        view = await approvals.view(approval_id, runtime=acting.runtime)
        arguments = new_arguments(view.approval, text)
        if not arguments:
            raise InvalidInput(f"Nothing was changed: approval {approval_id} waits as it is.")
        return arguments

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
        if command.kind == "edit":
            arguments = await self._edited(command.text or "", number, acting)
            decision = HumanDecision(decision="edit", arguments=arguments, binding=binding)
        else:
            decision = HumanDecision(decision=command.kind, comment=command.text, binding=binding)
        return await self._decide(acting, number, decision, answered if binding else None, asyncio.Event())

    async def _decide(
        self,
        acting: _Acting,
        approval_id: int,
        decision: HumanDecision,
        message: Message | None,
        noted: asyncio.Event,
    ) -> str:
        acting.identity.require("operator")
        view = await approvals.view(approval_id, runtime=acting.runtime)
        if decision.decision == "approve" and view.approval.status == "pending" and view.why_not:
            return view.why_not
        if message is not None and not await self._first(message, acting, decision, noted):
            return "Somebody was quicker: the message shows how the request stands."
        processing = asyncio.ensure_future(self._show_processing(message, acting, decision))
        try:
            done = await approvals.decide_and_run(approval_id, decision, via=self._service.name, runtime=acting.runtime)
        except AlreadyDecided as error:
            return str(error)
        finally:
            await processing
            if message is not None:
                await self._outbox.carried_out(message)
        if done.approval.id != approval_id and done.approval.status == "pending":
            return f"What you wrote does more than was shown: approval {done.approval.id} asks for it."
        view = await approvals.view(done.approval.id, runtime=acting.runtime)
        if view.approval.status == "pending":
            return f"Noted. It needs {view.approval.votes_needed} people, and has {len(view.approval.approved_by)}."
        return outcome(view, await executions.of_request(view.approval.id, runtime=acting.runtime))

    async def _first(self, message: Message, acting: _Acting, decision: HumanDecision, noted: asyncio.Event) -> bool:
        """Use the buttons up, so that the decision survives this process. Return whether this person was the first."""
        given = {
            "account": acting.account, "decision": decision.decision, "comment": decision.comment,
            "arguments": decision.arguments,
        }  # fmt: skip
        if message.token is None or not await self._outbox.use_token(message, given):
            return False
        noted.set()
        return True

    async def _show_processing(self, message: Message | None, acting: _Acting, decision: HumanDecision) -> None:
        """Take the buttons off the message while the decision is carried out; it is updated again after that."""
        if message is None or message.message_id is None:
            return
        with suppress(AgentError, TimeoutError):
            async with asyncio.timeout(_PROCESSING_SECONDS):
                shown = await card_of(message, self._runtime, people=self._service.people)
                await self._service.update(
                    message.place, message.message_id, shown.processing(acting.identity.person, decision.decision), None
                )

    async def _close_copy(self, tap: Tap, message: Message) -> None:
        """Take the buttons off a copy, which a process posted just before it died."""
        shown = await card_of(message, self._runtime, people=self._service.people)
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

    async def _asked(self, said: Said, writer: Writer) -> str:
        acting = await self._acting(said.account, 0)
        acting.identity.require("operator")
        return await answer(said, writer, service=self._service.name, runtime=acting.runtime)

    async def _acting(self, account: str, approval_id: int) -> _Acting:
        try:
            if person := self._service.people.get(account):
                identity = await accounts.identity_of_person(person, runtime=self._runtime)
            else:
                identity = await accounts.identity_of_account(
                    self._service.name, account, runtime=self._runtime, approval_id=approval_id
                )
        except NotAuthenticated:
            _log.warning("unknown_account", service=self._service.name, account=account, approval_id=approval_id)
            raise
        runtime = self._runtime.for_tenant(identity.tenant_id, user=identity.person, masked=not identity.personal)
        return _Acting(account, identity, runtime)
