"""Reads a request as whoever reads a place may see it, and makes its card."""

from __future__ import annotations

from collections.abc import Mapping

from agent.access import accounts
from agent.messaging.outbox import Message
from agent.messaging.rendering import Card, card
from agent.operations import approvals, executions
from agent.runtime import Runtime


async def card_of(message: Message, runtime: Runtime, *, people: Mapping[str, str]) -> Card:
    """Return what a message shows now. `people` gives the accounts of the service whose person the settings name."""
    acting = await _reader_of(message, runtime, people)
    view = await approvals.view(message.approval_id, runtime=acting)
    execution = await executions.of_request(message.approval_id, runtime=acting)
    return card(view, execution, environment=runtime.database_name)


async def _reader_of(message: Message, runtime: Runtime, people: Mapping[str, str]) -> Runtime:
    """Return a runtime that sees what the readers of a place may see: a person in their own chat, or a group of anybody."""
    linked = await accounts.linked(runtime=runtime)
    person = people.get(message.place) or next(
        (one.person for one in linked if (one.service, one.account) == (message.service, message.place)), "messaging"
    )
    return runtime.for_tenant(runtime.tenant_id, user=person, masked=not runtime.settings.messaging_personal)
