"""Brings requests to people and keeps each message true: posts what waits, updates what was decided, receives what people do.

A notification of the database wakes it and a poll is the backstop. Any number of processes may run one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import psycopg
import structlog

from agent.chat import chat
from agent.concurrency import end_tasks
from agent.db.database import connect
from agent.errors import AgentError, NotFound
from agent.messaging.base import Call, MessageGone, Reply, Service, TryLater, Undeliverable
from agent.messaging.cards import card_of
from agent.messaging.inbox import ServiceInbox
from agent.messaging.outbox import Message, Outbox
from agent.messaging.placing import place, place_elsewhere
from agent.messaging.services import services_of
from agent.messaging.texts import deliver_text, pause_texts, take_text
from agent.runtime import Runtime

_NOTIFICATION = "agents_messages"
_POLL_SECONDS = 5.0
_RECONNECT_SECONDS, _MOST_RECONNECT_SECONDS = 2.0, 60.0
_AT_ONCE = 4
_STOP_SECONDS = 5.0
_FIRST_WAIT, _LAST_WAIT = 0.5, 300.0
_ATTEMPTS_HERE = 3
_log = structlog.get_logger(__name__)


class Courier:
    """Runs the services of one tenant until it is stopped. Without a token in the settings it does nothing."""

    def __init__(self, runtime: Runtime, services: tuple[Service, ...] | None = None) -> None:
        self._runtime = runtime
        self.services = services_of(runtime.settings) if services is None else services
        self._inboxes = {service.name: ServiceInbox(runtime, service) for service in self.services}
        self._wakes = {name: asyncio.Event() for name in (*self._inboxes, "", "texts")}
        self._new: set[int] = set()
        self._look_at_all = True
        self._receiving: list[asyncio.Task[None]] = []
        self._delivering: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver and to receive."""
        if not self.services:
            return
        self._receiving = [asyncio.create_task(self._listen())]
        works: list[tuple[str, Callable[[], Awaitable[float | None]]]] = [
            ("", self._place),
            ("texts", self._send_texts),
        ]
        for service in self.services:
            self._receiving.append(asyncio.create_task(self._receive(service)))
            works.append((service.name, self._deliverer(service)))
        self._delivering = [asyncio.create_task(self._repeat(name, work)) for name, work in works]

    async def stop(self) -> None:
        """End when what is being sent is sent and noted, or after some seconds: then another process sends it again."""
        self._stopping = True
        await end_tasks(*self._receiving)
        self._wake(*self._wakes)
        if self._delivering:
            _, late = await asyncio.wait(self._delivering, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with chat.handing_over(self._runtime):
            await asyncio.gather(*(service.close() for service in self.services))

    async def called(self, service: str, call: Call) -> Reply:
        """Answer a request that a service or a person made to our server. Raises `NotFound`."""
        found = next((one for one in self.services if one.name == service), None)
        if found is None:
            raise NotFound("Nothing calls this server for that service: the settings do not say so.")
        return await found.called(call, self._inboxes[service])

    async def _repeat(self, name: str, work: Callable[[], Awaitable[float | None]]) -> None:
        """Do a piece of work whenever it is due: when woken, after the seconds that it returns, and now and then."""
        wake = self._wakes[name]
        while not self._stopping:
            wake.clear()
            try:
                pause = await work()
            except (AgentError, psycopg.Error) as error:
                _log.warning("messaging_waits_for_database", error=str(error))
                pause = _RECONNECT_SECONDS
            except Exception:  # the edge of a loop that must survive
                _log.exception("messaging_failed", work=name)
                pause = _POLL_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    wake.wait(), min(max(_POLL_SECONDS if pause is None else pause, 0.05), _POLL_SECONDS)
                )
            if name == "" and not wake.is_set():
                self._look_at_all = True

    async def _place(self) -> None:
        """Note where the requests are to be posted that are new; now and then, look at all that wait."""
        if self._look_at_all:
            self._look_at_all = False
            await place(self.services, None, runtime=self._runtime)
        while self._new:
            await place(self.services, self._new.pop(), runtime=self._runtime)
            self._wake(*self._inboxes)
        self._wake(*self._inboxes)

    def _deliverer(self, service: Service) -> Callable[[], Awaitable[float | None]]:
        outbox = Outbox(self._runtime, service.name)

        async def deliver() -> float | None:
            await asyncio.gather(*(self._deliver_due(service, outbox) for _ in range(_AT_ONCE)))
            return await outbox.pause()

        return deliver

    async def _deliver_due(self, service: Service, outbox: Outbox) -> None:
        while not self._stopping and (message := await outbox.take(hold=service.hold)):
            await self._show(service, outbox, message)

    async def _send_texts(self) -> float | None:
        while not self._stopping and (text := await take_text(runtime=self._runtime)):
            await deliver_text(text, self.services, wait=wait_after(text.attempts, None), runtime=self._runtime)
        return await pause_texts(runtime=self._runtime)

    async def _show(self, service: Service, outbox: Outbox, message: Message) -> None:
        """Make one message show its request as it is now."""
        waits = True
        try:
            if message.decision is not None:
                await self._inboxes[service.name].carry_out(message)
            shown = await card_of(message, self._runtime, people=service.people)
            waits = shown.waits
            token = message.token.hex if waits and message.token else None
            message_id = message.message_id or await _found(service, message)
            if message_id is not None:
                await service.update(message.place, message_id, shown, token)
            elif waits:
                first = None if service.notes_first else token
                message_id = await service.post(message.place, shown, first, marker=message.marker.hex)
                if service.notes_first:
                    await outbox.posted(message, message_id)
                    await service.update(message.place, message_id, shown, token)
            await outbox.shown(message, message_id or "", waits=waits)
        except MessageGone:
            await outbox.gone(message, again=waits)
        except AgentError as error:
            await self._failed(outbox, message, error, asks=service.asks)

    async def _failed(self, outbox: Outbox, message: Message, error: AgentError, *, asks: bool) -> None:
        """Try a message again later, or let another place take it over, if nobody has seen it yet."""
        _log.warning("message_not_delivered", service=message.service, place=message.place, error=str(error))
        later = error if isinstance(error, TryLater) else None
        seconds = later.seconds if later else _LAST_WAIT if isinstance(error, Undeliverable) else None
        wait = wait_after(message.attempts, seconds)
        down = isinstance(error, Undeliverable) or (
            later is not None and later.seconds is None and message.attempts >= _ATTEMPTS_HERE
        )
        if down and asks and message.message_id is None:
            with suppress(NotFound):
                if await place_elsewhere(self.services, message, str(error), runtime=self._runtime):
                    self._wake(*self._inboxes)
                    return
        unsure = message.sent_before is not None if later is None else later.unsure or message.sent_before is not None
        await outbox.failed(message, str(error), wait=wait, unsure=unsure)

    async def _receive(self, service: Service) -> None:
        attempts = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await service.receive(self._inboxes[service.name])
            except (AgentError, psycopg.Error) as error:
                _log.warning("messaging_receives_again", service=service.name, error=str(error))
            except Exception:  # the edge of a loop that must survive
                _log.exception("messaging_receiver_failed", service=service.name)
            worked = asyncio.get_running_loop().time() - began > _MOST_RECONNECT_SECONDS
            attempts = 0 if worked else attempts + 1
            await asyncio.sleep(min(_RECONNECT_SECONDS * 2 ** min(attempts, 5), _MOST_RECONNECT_SECONDS) / 2)

    async def _listen(self) -> None:
        while True:
            try:
                conn = await connect(self._runtime.db.conninfo("agent_app"))
                async with conn:
                    await conn.execute(f"LISTEN {_NOTIFICATION}")
                    self._look_at_all = True
                    self._wake(*self._wakes)
                    async for notification in conn.notifies():
                        if notification.payload.isdecimal():
                            self._new.add(int(notification.payload))
                        self._wake(*self._wakes)
            except (AgentError, psycopg.Error) as error:
                _log.info("messaging_listens_again", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self, *names: str) -> None:
        for name in names:
            self._wakes[name].set()


async def _found(service: Service, message: Message) -> str | None:
    """Return the id of a message that a process posted and did not note, because it died or got no answer."""
    if message.sent_before is None:
        return None
    return await service.find(message.place, message.marker.hex, message.sent_before)


def wait_after(attempts: int, asked: float | None) -> timedelta:
    """Return how long to wait before the next attempt: what the service asks for, else twice as long each time."""
    backoff = min(_FIRST_WAIT * 2 ** min(attempts - 1, 12), _LAST_WAIT)
    return timedelta(seconds=backoff if asked is None else min(max(asked, 0.1), _LAST_WAIT))
