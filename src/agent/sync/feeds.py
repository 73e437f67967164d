"""Feeds: one reader of a tenant for everybody who follows events in this process.

One query reads what is new in all followed channels, and a bounded ring of each channel holds it for its followers, who each keep
a place of their own. A follower whose place is not in the rings (it has just come, is too slow, or has other subscriptions now)
reads on from the database, so nothing is lost, and what a slow one costs is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg
import structlog

import agent.sync.events as events
import agent.sync.offsets as offsets
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.errors import AgentError
from agent.runtime import Cache, Runtime
from agent.sync.offsets import Place
from agent.sync.payloads import channel_key
from agent.sync.records import Event, Reading
from agent.sync.wakeups import wakeups_of

_QUERIES = load_queries(__package__)
_PAGE, _MOST_HELD, _MOST_BYTES = 200, 2_000, 8_000_000
_log = structlog.get_logger(__name__)


@dataclass
class Ring:
    """The newest events of a channel, all from `after` + 1 to `through`. The oldest go when there are too many or too long ones."""

    epoch: str
    after: int
    through: int
    held: list[Event] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, found: Sequence[Mapping[str, Any]]) -> bool:
        """Add the events of some rows; return False, and change nothing, unless they follow what is held without a gap."""
        if [row["sequence"] for row in found] != list(range(self.through + 1, self.through + 1 + len(found))):
            return False
        self.held += [events.event_of(row) for row in found]
        self.sizes += [row["size"] for row in found]
        self.through += len(found)
        gone, total = max(0, len(self.held) - _MOST_HELD), sum(self.sizes)
        total -= sum(self.sizes[:gone])
        while total > _MOST_BYTES:
            total -= self.sizes[gone]
            gone += 1
        del self.held[:gone], self.sizes[:gone]
        self.after += gone
        return True

    def holds(self, place: Place) -> bool:
        """Return whether everything after a place is here."""
        return self.epoch == place.epoch and self.after <= place.sequence <= self.through

    def for_agent(self, agent_id: str, place: Place, *, own: bool, limit: int) -> list[Event]:
        """Return the first events after a place that are for an agent; with `own`, also those that it published."""
        later = islice(self.held, place.sequence - self.after, None)
        chosen = (
            one
            for one in later
            if (one.target_agents is None or agent_id in one.target_agents) and (own or one.source_agent_id != agent_id)
        )
        return list(islice(chosen, limit))


def reading_of(
    agent_id: str,
    subscribed: Mapping[str, bool],
    rings: Mapping[str, Ring | None],
    places: Mapping[str, Place],
    limit: int,
) -> Reading | None:
    """Return an agent's events after its places, or None where the rings do not hold all of them. Pure.

    `subscribed` says for each channel whether the agent gets its own events.
    """
    if subscribed.keys() != places.keys():
        return None
    found: list[Event] = []
    channels: list[dict[str, Any]] = []
    for channel, place in places.items():
        ring = rings.get(channel)
        if ring is None or not ring.holds(place):
            return None
        found += ring.for_agent(agent_id, place, own=subscribed[channel], limit=limit + 1)
        channels.append({"channel_id": channel, "epoch": ring.epoch, "visible": ring.through})
    after = {channel: place.sequence for channel, place in places.items()}
    return events.reading_of(found, channels, after, (), limit)


class Follower:
    """Somebody who follows an agent's events; `news` is set when there is something to look at."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id, self.news = agent_id, asyncio.Event()


class Feed:
    """The rings of one tenant's followed channels, and those who follow them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._wakeups = runtime, wakeups_of(runtime)
        self._followers: set[Follower] = set()
        self._subscribed: dict[str, dict[str, bool]] = {}
        self._rings: dict[str, Ring | None] = {}
        self._digest = ""
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def join(self, agent_id: str) -> Follower:
        """Return a new follower, whose channels are read from now on, until `leave`."""
        follower = Follower(agent_id)
        self._followers.add(follower)
        self._run()
        if agent_id not in self._subscribed:
            self._woken.set()
        return follower

    def leave(self, follower: Follower) -> None:
        """Forget a follower. Nothing is read when there is none."""
        self._followers.discard(follower)
        if not self._followers:
            self._woken.set()

    def _run(self) -> None:
        if self._task is None or self._task.done():
            self._forget()
            self._woken = self._wakeups.watch()
            self._task = asyncio.create_task(self._read())

    async def news(self, follower: Follower) -> None:
        """Wait until there may be something new for a follower, or until it is time to look."""
        await self._wakeups.wait(follower.news, self._runtime.settings.sync_poll_seconds)
        self._run()

    def reading(self, agent_id: str, places: Mapping[str, Place], channel: str | None, limit: int) -> Reading | None:
        """Return an agent's events after its places, or None where the database must be asked."""
        subscribed = self._subscribed.get(agent_id)
        if subscribed is None or self._task is None or self._task.done():
            return None
        if channel is not None:
            subscribed = {one: own for one, own in subscribed.items() if one == channel}
        return reading_of(agent_id, subscribed, self._rings, places, limit)

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            await end_tasks(self._task)

    async def _read(self) -> None:
        try:
            while self._followers:
                try:
                    more = await self._refresh()
                except (AgentError, psycopg.Error) as error:
                    _log.info("sync_feed_not_read", error=type(error).__name__)
                    more = False
                    self._forget()
                if not more:
                    await self._wakeups.wait(self._woken, self._runtime.settings.sync_poll_seconds)
        finally:
            self._wakeups.unwatch(self._woken)

    def _forget(self) -> None:
        """Let every follower ask the database itself: it then learns what is wrong."""
        self._rings, self._subscribed, self._digest = {}, {}, ""
        for follower in self._followers:
            follower.news.set()

    async def _refresh(self) -> bool:
        """Read what is new, and wake those whom it concerns. Return whether there is more."""
        agents = list({one.agent_id for one in self._followers})
        rings = self._rings
        rows = await self._runtime.all(
            _QUERIES["feed"], limit=_PAGE, agent_ids=agents, channel_ids=list(map(UUID, rings)),
            epochs=[ring and ring.epoch for ring in rings.values()], after=[ring.through if ring else 0 for ring in rings.values()],
        )  # fmt: skip
        self._rings, changed, more = refreshed(rings, rows)
        moved: set[str] = set()
        if rows[0]["digest"] != self._digest or not self._subscribed.keys() >= set(agents):
            moved, more = await self._read_subscriptions(agents, rows[0]["digest"]), True
        for follower in self._followers:
            if follower.agent_id in moved or not changed.isdisjoint(self._subscribed.get(follower.agent_id, ())):
                follower.news.set()
        return more

    async def _read_subscriptions(self, agents: list[str], digest: str) -> set[str]:
        """Read where agents are subscribed, and return those of whom it changed. New channels are read next."""
        followed = await self._runtime.all(_QUERIES["followed"], agent_ids=agents)
        subscribed: dict[str, dict[str, bool]] = {one: {} for one in agents}
        for row in followed:
            for agent_id in row["agent_ids"]:
                subscribed[agent_id][row["channel_id"]] = row["include_own"]
        moved = {name for name, channels in subscribed.items() if self._subscribed.get(name) != channels}
        self._rings = {one: self._rings.get(one) for one in {row["channel_id"] for row in followed}}
        self._subscribed, self._digest = subscribed, digest
        return moved


def refreshed(
    rings: Mapping[str, Ring | None], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Ring | None], set[str], bool]:
    """Bring rings up to date with rows of the query `feed`; return them, the channels where something changed, and whether there is more.

    A ring that the rows do not continue (it is new, its history began anew, events are gone) begins anew at the present end.
    """
    by_channel: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["channel_id"] is not None:
            by_channel.setdefault(row["channel_id"], []).append(row)
    kept: dict[str, Ring | None] = {}
    changed: set[str] = set()
    more = False
    for channel, own in by_channel.items():
        ring, end = rings[channel], own[0]["visible"]
        found = [row for row in own if row["sequence"] is not None]
        continued = ring is not None and ring.epoch == own[0]["epoch"] and (found or ring.through == end)
        if ring is None or not continued or not ring.add(found):
            ring = Ring(own[0]["epoch"], end, end)
            changed.add(channel)
        elif found:
            changed.add(channel)
        more = more or ring.through < end
        kept[channel] = ring
    return kept, changed, more


async def follow(
    agent_id: str, *, offset: str | None, channel_id: str | None, limit: int, runtime: Runtime
) -> AsyncGenerator[Reading]:
    """Yield an agent's events as they come, from an offset on; an empty reading where none came for a while."""
    channel = None if channel_id is None else str(channel_key(channel_id))
    feed, turns = feed_of(runtime), wakeups_of(runtime).turns
    follower = feed.join(agent_id)
    reading: Reading | None = None
    try:
        while True:
            if reading is not None:
                reading = feed.reading(agent_id, offsets.read(reading.offset), channel, limit)
            if reading is None:
                async with turns:
                    reading = await events.read(
                        agent_id, offset=offset, channel_id=channel_id, limit=limit, runtime=runtime
                    )
            offset = reading.offset
            yield reading
            if reading.up_to_date:
                await feed.news(follower)
    finally:
        feed.leave(follower)


_FEEDS: Cache[Feed] = Cache()


def feed_of(runtime: Runtime) -> Feed:
    """Return the feed of a runtime's tenant, in this process."""
    known = _FEEDS.get(runtime, runtime.tenant_id)
    if known is None:
        known = _FEEDS.put(runtime, Feed(runtime), runtime.tenant_id)
        runtime.at_close.append(known.close)
    return known
