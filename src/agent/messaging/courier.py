"""Brings requests to people and keeps each message true: posts what waits, updates what was decided, receives what people do.

A notification of the database wakes it and a poll is the backstop. Any number of processes may run one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import psycopg
import structlog

from agent.access import accounts
from agent.approval.people import people
from agent.concurrency import end_tasks
from agent.db.database import connect
from agent.errors import AgentError, NotFound
from agent.messaging.base import MessageGone, Service, TryLater, Undeliverable
from agent.messaging.cards import card_of
from agent.messaging.inbox import ServiceInbox
from agent.messaging.outbox import Message, Outbox
from agent.messaging.services import services_of
from agent.operations import approvals
from agent.runtime import Runtime

_NOTIFICATION = "agents_messages"
_POLL_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
_MOST_REQUESTS = 500
_AT_ONCE = 4
_STOP_SECONDS = 5.0
_FIRST_WAIT, _LAST_WAIT = 1.0, 300.0
_log = structlog.get_logger(__name__)


class Courier:
    """Runs the services of one tenant until it is stopped. Without a token in the settings it does nothing."""

    def __init__(self, runtime: Runtime, services: tuple[Service, ...] | None = None) -> None:
        self._runtime = runtime
        self._services = services_of(runtime.settings) if services is None else services
        self._wakes = {service.name: asyncio.Event() for service in self._services}
        self._receiving: list[asyncio.Task[None]] = []
        self._delivering: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver and to receive."""
        if not self._services:
            return
        self._receiving = [asyncio.create_task(self._listen())]
        for service in self._services:
            inbox = ServiceInbox(self._runtime, service)
            self._receiving.append(asyncio.create_task(self._receive(service, inbox)))
            self._delivering.append(asyncio.create_task(self._deliver(service)))

    async def stop(self) -> None:
        """End when what is being sent is sent and noted, or after some seconds: then another process sends it again."""
        self._stopping = True
        await end_tasks(*self._receiving)
        self._wake_all()
        if self._delivering:
            _, late = await asyncio.wait(self._delivering, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for service in self._services:
            await service.close()

    async def _deliver(self, service: Service) -> None:
        outbox, wake = Outbox(self._runtime, service.name), self._wakes[service.name]
        while not self._stopping:
            wake.clear()
            try:
                await self._place(service, outbox)
                await asyncio.gather(*(self._deliver_due(service, outbox) for _ in range(_AT_ONCE)))
                pause = await outbox.pause()
            except (AgentError, psycopg.Error) as error:
                _log.warning("messaging_waits_for_database", error=str(error))
                pause = _RECONNECT_SECONDS
            except Exception:  # the edge of a loop that must survive
                _log.exception("messaging_failed", service=service.name)
                pause = _POLL_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    wake.wait(), min(max(_POLL_SECONDS if pause is None else pause, 0.05), _POLL_SECONDS)
                )

    async def _place(self, service: Service, outbox: Outbox) -> None:
        """Note where each request that waits is to be posted."""
        waiting = await approvals.list_requests(_MOST_REQUESTS, runtime=self._runtime)
        linked = [one for one in await accounts.linked(runtime=self._runtime) if one.service == service.name]
        anybody = not await people.list_people(runtime=self._runtime)
        for view in waiting.approvals:
            places = service.places or tuple(one.account for one in linked if anybody or one.person in view.deciders)
            for place in places:
                await outbox.place(view.approval.id, place, view.approval.binding)

    async def _deliver_due(self, service: Service, outbox: Outbox) -> None:
        while not self._stopping and (message := await outbox.take()):
            await self._show(service, outbox, message)

    async def _show(self, service: Service, outbox: Outbox, message: Message) -> None:
        """Make one message show its request as it is now."""
        waits = True
        try:
            shown = await card_of(message, self._runtime)
            waits = shown.waits
            token = message.token.hex if waits and message.token else None
            message_id = message.message_id
            if message_id is not None:
                await service.update(message.place, message_id, shown, token)
            elif waits:
                message_id = await service.post(message.place, shown, token)
            await outbox.shown(message, message_id or "", waits=waits)
        except MessageGone:
            await outbox.gone(message, again=waits)
        except (Undeliverable, NotFound) as error:
            _log.warning("message_undeliverable", service=service.name, place=message.place, error=str(error))
            await outbox.failed(message, str(error), wait=None)
        except (TryLater, AgentError) as error:
            seconds = error.seconds if isinstance(error, TryLater) else None
            await outbox.failed(message, str(error), wait=wait_after(message.attempts, seconds))

    async def _receive(self, service: Service, inbox: ServiceInbox) -> None:
        while True:
            try:
                await service.receive(inbox)
            except (AgentError, psycopg.Error) as error:
                _log.warning("messaging_receives_again", service=service.name, error=str(error))
            except Exception:  # the edge of a loop that must survive
                _log.exception("messaging_receiver_failed", service=service.name)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                conn = await connect(self._runtime.db.conninfo("agent_app"))
                async with conn:
                    await conn.execute(f"LISTEN {_NOTIFICATION}")
                    self._wake_all()
                    async for _ in conn.notifies():
                        self._wake_all()
            except (AgentError, psycopg.Error) as error:
                _log.info("messaging_listens_again", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()


def wait_after(attempts: int, asked: float | None) -> timedelta:
    """Return how long to wait before the next attempt: what the service asks for, else twice as long each time."""
    backoff = min(_FIRST_WAIT * 2 ** min(attempts - 1, 12), _LAST_WAIT)
    return timedelta(seconds=backoff if asked is None else min(max(asked, 0.1), _LAST_WAIT))
