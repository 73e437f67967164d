"""Brings alerts to people: each receiver hears of each episode once, and a receiver that is away hears of it later.

What was told is noted after it was sent, so a process that dies in between tells it twice: for an alert that is better than never.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog

from agent.db import load_queries
from agent.errors import AgentError
from agent.messaging.alert_news import news_of
from agent.messaging.alert_receivers import Receiver, receivers_of
from agent.messaging.base import TryLater, Undeliverable
from agent.messaging.services import services_of
from agent.monitoring.records import Alert
from agent.runtime import Runtime
from agent.types import RISK_LEVELS

_QUERIES = load_queries(__package__, "alert_courier.sql")
_HOLD = timedelta(seconds=60)
_POLL_SECONDS = 3.0
_FIRST_WAIT, _LAST_WAIT = 2.0, 300.0
_STOP_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whether a test alert reached a receiver; `message` says so, or what is wrong."""

    service: str
    place: str
    works: bool
    message: str


class AlertCourier:
    """Delivers the alerts of one tenant until it is stopped. Any number of processes may run one."""

    def __init__(self, runtime: Runtime, receivers: tuple[Receiver, ...] | None = None) -> None:
        self._runtime = runtime
        self._bots = services_of(runtime.settings) if receivers is None else ()
        self._receivers = receivers_of(runtime.settings, self._bots) if receivers is None else receivers
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin to deliver, if there is anybody to deliver to."""
        if self._receivers:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End what is being sent, for some seconds at most."""
        if self._task is not None:
            self._stopping.set()
            _, late = await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
        for bot in self._bots:
            await bot.close()

    async def deliver(self) -> int:
        """Place what is open, deliver what is due, and return how many were told."""
        least = self._runtime.settings.alert_from
        severities = list(RISK_LEVELS[RISK_LEVELS.index(least) :])
        told = 0
        for receiver in self._receivers:
            await self._runtime.execute(
                _QUERIES["place"], database_id=self._runtime.database_id, service=receiver.service,
                places=list(receiver.places), severities=severities,
            )  # fmt: skip
        for counts in await asyncio.gather(*(self._deliver_to(one) for one in self._receivers)):
            told += counts
        return told

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.deliver()
            except (AgentError, psycopg.Error) as error:
                _log.warning("alerts_wait_for_database", error=str(error))
            except Exception:  # the edge of a loop that must survive
                _log.exception("alerts_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _POLL_SECONDS)

    async def _deliver_to(self, receiver: Receiver) -> int:
        told = 0
        while row := await self._runtime.one(_QUERIES["take"], service=receiver.service, hold=_HOLD):
            told += await self._tell(receiver, row)
        return told

    async def _tell(self, receiver: Receiver, row: dict[str, Any]) -> bool:
        """Tell one receiver what is news about an alert. Return whether anything was."""
        settings = self._runtime.settings
        delivery = {"id": row.pop("delivery_id"), "held_until": row.pop("held_until")}
        place, told, attempts = row.pop("place"), row.pop("told"), row.pop("attempts")
        alert = Alert.from_row(row)
        news = news_of(
            alert, told, least=settings.alert_from, quiet=settings.alert_quiet_hours, now=datetime.now(UTC)
        )  # fmt: skip
        try:
            if news.text:
                await receiver.tell(place, news.text, alert)
        except Undeliverable as error:
            _log.warning("alert_undeliverable", service=receiver.service, error=str(error))
            await self._runtime.execute(_QUERIES["failed"], **delivery, error=str(error)[:500], wait=None)
            return False
        except (TryLater, AgentError) as error:
            asked = error.seconds if isinstance(error, TryLater) else None
            await self._runtime.execute(
                _QUERIES["failed"], **delivery, error=str(error)[:500], wait=wait_after(attempts, asked)
            )
            return False
        await self._runtime.execute(
            _QUERIES["told"], **delivery, told=news.told, later=news.later, sent=bool(news.text)
        )
        return bool(news.text)


def wait_after(attempts: int, asked: float | None) -> timedelta:
    """Return how long to wait before the next attempt: what the receiver asks for, else twice as long each time."""
    backoff = min(_FIRST_WAIT * 2 ** min(attempts - 1, 12), _LAST_WAIT)
    return timedelta(seconds=backoff if asked is None else min(max(asked, 0.1), _LAST_WAIT))


async def try_out(*, runtime: Runtime) -> list[Told]:
    """Send a test alert to every receiver, and return what became of it."""
    now = datetime.now(UTC)
    alert = Alert(
        id=0, key="test:test", check_name="test", status="open", severity="LOW", message="This is a test of your agent's alerts.",
        action="Nothing has to be done.", evidence={}, episode=1, seen=1, opened_at=now, seen_at=now, resolved_at=None,
        acknowledged_by=None, acknowledged_at=None, muted_until=None,
    )  # fmt: skip
    bots = services_of(runtime.settings)
    found = []
    for receiver in receivers_of(runtime.settings, bots):
        for place in receiver.places:
            works, message = True, "The test alert was sent."
            try:
                await receiver.tell(place, f"🚨 {alert.message} {alert.action}", alert)
            except AgentError as error:
                works, message = False, str(error)
            found.append(Told(service=receiver.service, place=place, works=works, message=message))
    for bot in bots:
        with suppress(AgentError):
            await bot.close()
    return found
