"""What is set up, what was posted, and whether each place can be reached."""

from __future__ import annotations

from dataclasses import dataclass

from agent.access import accounts
from agent.access.accounts import Account
from agent.errors import AgentError
from agent.messaging.base import Service
from agent.messaging.outbox import Message, recent
from agent.messaging.services import services_of
from agent.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The services that have a token, the linked accounts, and the newest messages."""

    services: tuple[str, ...]
    accounts: tuple[Account, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Whether a test message reached a place; `message` says so, or what is wrong. Without a place, the bot itself."""

    service: str
    place: str
    works: bool
    message: str


async def overview(limit: int, *, runtime: Runtime) -> Overview:
    """Return what is set up and what was posted."""
    services = services_of(runtime.settings)
    for service in services:
        await service.close()
    return Overview(
        services=tuple(service.name for service in services),
        accounts=tuple(await accounts.linked(runtime=runtime)),
        messages=tuple(await recent(limit, runtime=runtime)),
    )


async def try_out(*, runtime: Runtime) -> list[Tried]:
    """Ask each service who the bot is, and send a test message to each of its places."""
    linked = await accounts.linked(runtime=runtime)
    tried: list[Tried] = []
    for service in services_of(runtime.settings):
        try:
            tried += await _tried(
                service,
                service.places or (*service.people, *(one.account for one in linked if one.service == service.name)),
            )
        finally:
            await service.close()
    return tried


async def _tried(service: Service, places: tuple[str, ...]) -> list[Tried]:
    try:
        me = await service.check()
    except AgentError as error:
        return [Tried(service=service.name, place="", works=False, message=str(error))]
    found = [Tried(service=service.name, place="", works=True, message=f"I am {me}.")]
    if not places:
        text = "No place yet: run `agent people link`, and send the code to the bot in private."
        return [*found, Tried(service=service.name, place="", works=False, message=text)]
    for place in places:
        try:
            await service.send(place, "This is a test of your agent. Nothing has to be decided.")
            found.append(Tried(service=service.name, place=place, works=True, message="The test message was sent."))
        except AgentError as error:
            found.append(Tried(service=service.name, place=place, works=False, message=str(error)))
    return found
