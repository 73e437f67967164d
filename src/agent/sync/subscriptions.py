"""Durable subscriptions: what was delivered to an agent, what it acknowledged, what is delivered again and what is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

import agent.sync.agents as agents
import agent.sync.channels as channels
import agent.sync.offsets as offsets
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import InvalidInput, NotFound
from agent.runtime import Runtime
from agent.sync.events import event_of, resumed
from agent.sync.offsets import Place
from agent.sync.payloads import channel_key
from agent.sync.records import Acknowledged, DeadLetter, Event, Gap, Reading, Subscription

_QUERIES = load_queries(__package__, "subscriptions.sql")
_MOST_SECONDS = 86_400.0
_MOST_SEQUENCES = 10_000
_MOST_BACKOFF = 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a subscription delivers. `start` is "new", "all", a sequence, or a time."""

    start: str | int | datetime = "new"
    include_own: bool = True
    ack_wait_seconds: float = 30.0
    max_deliver: int = 5
    backoff_seconds: Sequence[float] = ()
    max_ack_pending: int = 1_000

    def values(self) -> dict[str, Any]:
        """Return the values of a query. Raises `InvalidInput`."""
        waits = [self.ack_wait_seconds, *self.backoff_seconds]
        if not all(0 < wait <= _MOST_SECONDS for wait in waits) or len(waits) > _MOST_BACKOFF:
            raise InvalidInput(f"ack_wait_seconds and backoff_seconds must be over 0 and at most {_MOST_SECONDS:g}.")
        if not 1 <= self.max_deliver <= 1_000 or not 1 <= self.max_ack_pending <= 100_000:
            raise InvalidInput("max_deliver must be 1 to 1,000, and max_ack_pending 1 to 100,000.")
        kind, sequence, time = self._start()
        return {
            "start": kind, "sequence": sequence, "time": time, "include_own": self.include_own, "max_deliver": self.max_deliver,
            "ack_wait": timedelta(seconds=self.ack_wait_seconds), "max_ack_pending": self.max_ack_pending,
            "backoff": [timedelta(seconds=wait) for wait in self.backoff_seconds],
        }  # fmt: skip

    def _start(self) -> tuple[str, int | None, datetime | None]:
        if isinstance(self.start, datetime):
            if self.start.tzinfo is None:
                raise InvalidInput("The time to start at needs its time zone, such as 2026-11-29T12:00:00+00:00.")
            return "time", None, self.start
        if type(self.start) is int and 0 <= self.start < 2**62:
            return "sequence", self.start, None
        if self.start in ("new", "all"):
            return str(self.start), None, None
        raise InvalidInput(f"A subscription cannot start at {self.start!r}: use new, all, a sequence or a time.")


async def subscribe(agent_id: str, channel_id: str, terms: Terms, *, runtime: Runtime) -> Subscription:
    """Subscribe an agent. A subscription that is there keeps its place and takes the new terms."""
    values = terms.values()
    key, _ = await channels.rules(channel_id, runtime=runtime)
    await agents.ensure([agent_id], runtime=runtime)
    await runtime.execute(_QUERIES["subscribe"], channel_id=key, agent_id=agent_id, **values)
    (made,) = await every(channel_id=str(key), agent_id=agent_id, runtime=runtime)
    return made


async def unsubscribe(agent_id: str, channel_id: str, *, runtime: Runtime) -> None:
    """End a subscription. Raises `NotFound`."""
    key = channel_key(channel_id)
    if not await runtime.execute(_QUERIES["unsubscribe"], channel_id=key, agent_id=agent_id):
        raise _not_subscribed(agent_id, key)


async def every(*, channel_id: str | None = None, agent_id: str | None = None, runtime: Runtime) -> list[Subscription]:
    """Return the subscriptions of a channel or an agent, or all, with how far behind they are."""
    key = None if channel_id is None else channel_key(channel_id)
    rows = await runtime.all(_QUERIES["subscriptions"], channel_id=key, agent_id=agent_id)
    return [Subscription.from_row(row) for row in rows]


async def fetch(agent_id: str, channel_id: str, *, limit: int, runtime: Runtime) -> Reading:
    """Deliver events: first those to be delivered again, then new ones, as many as may be pending."""
    where = {"tenant_id": runtime.tenant_id, "channel_id": channel_key(channel_id), "agent_id": agent_id}
    async with runtime.transaction() as conn:
        held, gaps = await _without_gone(conn, await _locked(conn, where), where)
        terms = {"backoff": held["backoff"], "ack_wait": held["ack_wait"], "epoch": held["channel_epoch"]}
        counted = await fetch_one(conn, _QUERIES["bury"], {**where, "max_deliver": held["max_deliver"]})
        pending = counted["pending"] if counted else 0
        rows = await fetch_all(conn, _QUERIES["redeliver"], {**where, **terms, "limit": limit})
        room = min(limit - len(rows), held["max_ack_pending"] - pending)
        if room > 0:
            values = {
                "after": held["delivered_through"],
                "visible": held["visible"],
                "include_own": held["include_own"],
            }
            rows += await fetch_all(conn, _QUERIES["deliver"], {**where, **terms, **values, "limit": room})
    if room <= 0 and not rows:
        _log.warning("sync_subscriber_stuck", channel_id=channel_id, agent_id=agent_id, pending=pending)
    events = [event_of(row) for row in rows]
    end = max([held["delivered_through"], *(event.sequence for event in events)])
    return Reading(
        events=events, offset=offsets.written({str(where["channel_id"]): Place(held["channel_epoch"], end)}),
        recovered=not gaps, gaps=gaps, up_to_date=len(events) < limit,
    )  # fmt: skip


async def _locked(conn: Connection, where: Mapping[str, Any]) -> dict[str, Any]:
    row = await fetch_one(conn, _QUERIES["lock_subscription"], where)
    if row is None:
        raise _not_subscribed(where["agent_id"], where["channel_id"])
    return row


async def _without_gone(
    conn: Connection, held: dict[str, Any], where: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Gap, ...]]:
    """Go on after what the channel no longer has, and say what that is."""
    channel, first = str(where["channel_id"]), held["first_sequence"]
    place = Place(held["epoch"], held["delivered_through"])
    after, gap = resumed(channel, place, epoch=held["channel_epoch"], first=first, last=held["last_sequence"])
    gone = await fetch_all(conn, _QUERIES["forget_gone"], {**where, "first": first})
    gaps = [gap] if gap else []
    if gone:
        lost = [row["sequence"] for row in gone]
        reason = "These events were not acknowledged before they were forgotten (AGENT_SYNC_KEEP_DAYS)."
        gaps.append(Gap(channel_id=channel, from_sequence=min(lost), to_sequence=max(lost), reason=reason))
    if gaps:
        count = len(gone) + (gap.to_sequence - gap.from_sequence + 1 if gap and after > place.sequence else 0)
        values = {**where, "epoch": held["channel_epoch"], "after": after, "lost": count}
        await conn.execute(_QUERIES["move_subscription"], values)
        _log.warning("sync_events_lost", channel_id=channel, agent_id=where["agent_id"], lost=count)
    return {**held, "delivered_through": after}, tuple(gaps)


async def begin(agent_id: str, event: Event, *, runtime: Runtime) -> bool:
    """Count an event's ack_wait from now, when its handler gets it. False: it was delivered to another reader meanwhile."""
    values = {"channel_id": UUID(event.channel_id), "agent_id": agent_id, "sequence": event.sequence}
    return await runtime.execute(_QUERIES["begin_delivery"], **values, attempts=event.attempts) == 1


async def acknowledge(agent_id: str, channel_id: str, sequences: Sequence[int], *, runtime: Runtime) -> Acknowledged:
    """Acknowledge events in any order. Raises `InvalidInput` for one that was not delivered; then none is acknowledged."""
    if not 0 < len(sequences) <= _MOST_SEQUENCES or not all(type(one) is int and 0 < one < 2**62 for one in sequences):
        raise InvalidInput(f"Give 1 to {_MOST_SEQUENCES:,} sequences of events that were delivered.")
    where = {"tenant_id": runtime.tenant_id, "channel_id": channel_key(channel_id), "agent_id": agent_id}
    async with runtime.transaction() as conn:
        held = await _locked(conn, where)
        early = [one for one in sequences if one > held["delivered_through"]]
        if early:
            raise InvalidInput(
                f"Event {min(early)} was not delivered to {agent_id!r} yet: acknowledge what was delivered."
            )
        rows = await fetch_all(conn, _QUERIES["acknowledge"], {**where, "sequences": list(sequences)})
    done = sorted(row["sequence"] for row in rows)
    return Acknowledged(acknowledged=done, already=sorted(set(sequences) - set(done)))


async def acknowledge_through(agent_id: str, offset: str, *, runtime: Runtime) -> None:
    """Acknowledge everything before an offset of this agent's reads. Raises `InvalidInput` for one that is not its own."""
    async with runtime.transaction() as conn:
        for channel, place in sorted(offsets.read(offset).items()):
            where = {"tenant_id": runtime.tenant_id, "channel_id": channel_key(channel), "agent_id": agent_id}
            held = await _locked(conn, where)
            if place.epoch != held["channel_epoch"] or place.sequence > held["visible"]:
                raise InvalidInput(
                    "The offset is not of the channel's present history: read again, and take the new one."
                )
            await conn.execute(_QUERIES["acknowledge_through"], {**where, "through": place.sequence})


async def reject(
    agent_id: str, event: Event, *, reason: str, delay_seconds: float | None = None, runtime: Runtime
) -> None:
    """Say that a handler failed: the event comes again, or is a dead letter if it came often enough."""
    delay = None if delay_seconds is None else timedelta(seconds=min(max(delay_seconds, 0.0), _MOST_SECONDS))
    values = {"channel_id": UUID(event.channel_id), "agent_id": agent_id, "sequence": event.sequence}
    await runtime.execute(_QUERIES["reject"], **values, delay=delay, reason=reason[:500])


async def dead_letters(*, agent_id: str | None, runtime: Runtime) -> list[DeadLetter]:
    """Return what was delivered without success, the newest first. Raises `NotFound` for an agent that is not known."""
    if agent_id is not None:
        await agents.require([agent_id], runtime=runtime)
    return [DeadLetter.from_row(row) for row in await runtime.all(_QUERIES["dead_letters"], agent_id=agent_id)]


async def revive(agent_id: str, channel_id: str, sequence: int, *, runtime: Runtime) -> None:
    """Deliver a dead letter again. Raises `NotFound`."""
    where = {"channel_id": channel_key(channel_id), "agent_id": agent_id, "sequence": sequence}
    if not await runtime.execute(_QUERIES["revive"], **where):
        raise NotFound(f"Event {sequence} is no dead letter of {agent_id!r}: `agent sync dead` lists them.")


def _not_subscribed(agent_id: str, key: UUID) -> NotFound:
    return NotFound(f"The agent {agent_id[:200]!r} is not subscribed to channel {str(key)!r}: subscribe it first.")
