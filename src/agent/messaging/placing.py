"""Places requests: looks who can be reached where, asks the routing rules, and notes a message for each place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.access import accounts
from agent.approval.eligibility import same_name
from agent.approval.people import people
from agent.errors import NotFound
from agent.messaging.base import Service
from agent.messaging.outbox import Message, Outbox
from agent.messaging.routes import routes
from agent.messaging.routing import Asked, Reach, Route, Target, instead, not_before, targets
from agent.operations import approvals
from agent.operations.approvals import ApprovalView
from agent.runtime import Runtime

_MOST_REQUESTS = 500
_ALL_TRIED_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """Who can be reached where at the moment, and the routes."""

    reaches: tuple[Reach, ...]
    routes: tuple[Route, ...]
    anybody: bool

    def accounts_of(self, person: str) -> list[Target]:
        """Return the accounts of a person in the services that ask, in the order of the services."""
        return [
            Target(reach.service, account, owner)
            for reach in self.reaches
            for account, owner in reach.accounts
            if reach.asks and same_name(owner, person)
        ]


async def reachable(services: Sequence[Service], *, runtime: Runtime) -> Reachable:
    """Look who can be reached where."""
    linked = await accounts.linked(runtime=runtime)
    return Reachable(
        reaches=tuple(
            Reach(
                service=service.name, places=service.places, asks=service.asks,
                accounts=(
                    *((one.account, one.person) for one in linked if one.service == service.name),
                    *service.people.items(),
                ),
            )
            for service in services
        ),
        routes=tuple(await routes(runtime=runtime)),
        anybody=not await people.list_people(runtime=runtime),
    )  # fmt: skip


def asked_of(view: ApprovalView, there: Reachable, *, environment: str) -> Asked:
    """Return what routing needs to know of a request."""
    return Asked(
        risk=view.approval.risk_level, tool=view.approval.action, environment=environment,
        deciders=() if there.anybody else view.deciders or ("",), expires_at=view.approval.expires_at,
    )  # fmt: skip


async def place(services: Sequence[Service], approval_id: int | None, *, runtime: Runtime) -> None:
    """Note where a request that waits is to be posted; without a number, every one that waits."""
    there = await reachable(services, runtime=runtime)
    views: Sequence[ApprovalView]
    if approval_id is None:
        views = (await approvals.list_requests(_MOST_REQUESTS, runtime=runtime)).approvals
    else:
        try:
            views = [await approvals.view(approval_id, runtime=runtime)]
        except NotFound:  # it belongs to another database
            return
    settings, now = runtime.settings, datetime.now(UTC)
    for view in views:
        if view.approval.status != "pending":
            continue
        asked = asked_of(view, there, environment=settings.environment)
        for target in targets(asked, there.routes, there.reaches):
            wait = not_before(asked, target.quiet or settings.messaging_quiet, settings.messaging_timezone, now=now)
            outbox = Outbox(runtime, target.service)
            await outbox.place(view.approval.id, target.place, view.approval.binding, not_before=wait)


async def place_elsewhere(services: Sequence[Service], message: Message, error: str, *, runtime: Runtime) -> bool:
    """Let another place take a message over that its service does not take. Return whether there is one.

    When all were tried, the first one has its turn again, after a while.
    """
    there = await reachable(services, runtime=runtime)
    view = await approvals.view(message.approval_id, runtime=runtime)
    failed, first = Target(message.service, message.place), Target(message.first_service, message.first_place)
    asked = asked_of(view, there, environment=runtime.settings.environment)
    found = instead(asked, there.routes, there.reaches, failed=failed, tried=message.tried)
    tried, wait = [*message.tried, failed.name], timedelta()
    if found is None and failed != first:
        found, tried, wait = first, [], _ALL_TRIED_WAIT
    if found is None:
        return False
    outbox = Outbox(runtime, message.service)
    await outbox.move(message, found.service, found.place, tried=tried, error=error, wait=wait)
    return True
