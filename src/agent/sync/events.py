"""Events: appended with their number in one statement, and read from an offset without changing anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, cast
from uuid import UUID

import psycopg

import agent.sync.agents as agents
import agent.sync.offsets as offsets
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.sync.offsets import Place
from agent.sync.payloads import channel_key, checked_name, checked_object, no_channel
from agent.sync.records import Event, Gap, Reading

_QUERIES = load_queries(__package__)
_MOST_TARGETS = 1_000
_FIELDS = frozenset({"source_agent_id", "event_type", "data", "target_agents", "dedupe_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to publish; `text` is the JSON of its data. `source` is None for the system's."""

    event_type: str
    source: str | None
    targets: list[str] | None
    dedupe_key: str | None
    data: Any
    text: str


def checked(event: Mapping[str, Any], *, broadcast: bool, runtime: Runtime) -> NewEvent:
    """Return the event in what a caller gave. Raises `InvalidInput`."""
    if not event.keys() <= _FIELDS:
        raise InvalidInput(f"An event has no field {min(event.keys() - _FIELDS)!r}: use {', '.join(sorted(_FIELDS))}.")
    data, source, targets, key = (
        event.get("data", {}),
        event.get("source_agent_id"),
        event.get("target_agents"),
        event.get("dedupe_key"),
    )
    if broadcast and source is not None:
        raise InvalidInput("A broadcast is the system's: leave source_agent_id out, or publish the event.")
    if not broadcast:
        checked_name(source, what="source_agent_id")
    if targets is not None and (not isinstance(targets, list | tuple) or not 0 < len(targets) <= _MOST_TARGETS):
        raise InvalidInput(f"target_agents must be a list of 1 to {_MOST_TARGETS} agents, or be left out.")
    return NewEvent(
        event_type=checked_name(event.get("event_type"), what="event_type"), source=source,
        targets=None if targets is None else [checked_name(one, what="A target agent") for one in targets],
        dedupe_key=None if key is None else checked_name(key, what="dedupe_key"),
        data=data,
        text=checked_object(
            data, what="The data of an event", most_bytes=runtime.settings.sync_most_event_bytes,
            setting="AGENT_SYNC_MOST_EVENT_BYTES",
        ),
    )  # fmt: skip


async def append(
    key: UUID,
    events: Sequence[NewEvent],
    *,
    runtime: Runtime,
    connection: Connection | None = None,
    wakes: bool = False,
) -> list[Event]:
    """Append events to a channel in their order, in one transaction or in that of `connection`.

    An event whose dedupe_key was published before is not appended: the earlier one is returned, with `duplicate`. With `wakes`
    a single event wakes the readers in its own transaction.
    """
    await agents.ensure(
        [name for one in events for name in (one.source, *(one.targets or ())) if name], runtime=runtime
    )
    if connection is not None:
        return await _append_once(connection, key, events, runtime)
    async with runtime.connection() as conn:
        return await _append_once(conn, key, events, runtime, wakes=wakes)


async def _append_once(
    conn: Connection, key: UUID, events: Sequence[NewEvent], runtime: Runtime, *, wakes: bool = False
) -> list[Event]:
    keys = [one.dedupe_key for one in events if one.dedupe_key]
    if not keys:
        return await _append(conn, key, events, runtime, wakes=wakes)
    if len(set(keys)) < len(keys):
        raise InvalidInput("Two events of one batch have the same dedupe_key: give each its own.")
    while True:
        values = {"tenant_id": runtime.tenant_id, "channel_id": key, "keys": keys}
        before = {row["dedupe_key"]: row for row in await fetch_all(conn, _QUERIES["published_before"], values)}
        new = [one for one in events if one.dedupe_key not in before]
        try:
            async with conn.transaction():  # in a caller's transaction: a savepoint
                appended = iter(await _append(conn, key, new, runtime, wakes=wakes) if new else [])
        except psycopg.errors.UniqueViolation:  # somebody published it since we looked
            continue
        return [_earlier(one, before[one.dedupe_key]) if one.dedupe_key in before else next(appended) for one in events]


def _earlier(event: NewEvent, row: Mapping[str, Any]) -> Event:
    same = (row["event_type"], row["source_agent_id"], row["data"]) == (
        event.event_type,
        event.source,
        json.loads(event.text),
    )
    if not same:
        raise InvalidInput(
            f"The dedupe_key {event.dedupe_key!r} was used for another event: use a new one for each event."
        )
    return event_of(row, duplicate=True)


async def _append(
    conn: Connection, key: UUID, events: Sequence[NewEvent], runtime: Runtime, *, wakes: bool = False
) -> list[Event]:
    values: dict[str, Any] = {"tenant_id": runtime.tenant_id, "channel_id": key}
    if len(events) == 1:
        (one,) = events
        values |= {
            "event_type": one.event_type,
            "source": one.source,
            "targets": one.targets,
            "dedupe_key": one.dedupe_key,
            "wakes": wakes,
        }
        rows = await fetch_all(conn, _QUERIES["publish_one"], {**values, "data": one.text})
    else:
        values |= {
            "count": len(events), "types": [one.event_type for one in events], "sources": [one.source for one in events],
            "targets": [None if one.targets is None else json.dumps(one.targets) for one in events],
            "keys": [one.dedupe_key for one in events], "data": [one.text for one in events],
        }  # fmt: skip
        row = await fetch_one(conn, _QUERIES["publish"], values)
        rows = (
            [] if row is None else [{**row, "sequence": row["before"] + place} for place in range(1, row["stored"] + 1)]
        )
    if len(rows) != len(events):
        raise no_channel(key)
    return [_appended(str(key), one, row) for one, row in zip(events, rows, strict=True)]


def _appended(channel_id: str, event: NewEvent, row: Mapping[str, Any]) -> Event:
    return Event(
        event_id=f"{channel_id}:{row['sequence']}", channel_id=channel_id, epoch=row["epoch"], sequence=row["sequence"],
        event_type=event.event_type, source_agent_id=event.source, target_agents=event.targets, data=event.data,
        published_at=row["published_at"],
    )  # fmt: skip


def event_of(row: Mapping[str, Any], **more: Any) -> Event:
    """Return the event in a row of one of this package's queries."""
    return Event.from_row({**row, "event_id": f"{row['channel_id']}:{row['sequence']}", **more})


async def read(agent_id: str, *, offset: str | None, channel_id: str | None, limit: int, runtime: Runtime) -> Reading:
    """Return what an agent's channels hold for it after `offset`. It changes nothing.

    Without an offset it begins after what the agent has acknowledged. Raises `NotFound` for an agent that is not known.
    """
    await agents.require([agent_id], runtime=runtime)
    key = None if channel_id is None else channel_key(channel_id)
    given = offsets.read(offset) if offset not in (None, offsets.START, offsets.NOW) else {}
    if given and (reading := await _read_on(agent_id, given, key, limit, runtime)):
        return reading
    channels = await runtime.all(_QUERIES["channels_of_agent"], agent_id=agent_id, channel_id=key)
    starts = {row["channel_id"]: _start(row, offset, given.get(row["channel_id"])) for row in channels}
    gaps = tuple(gap for _, gap in starts.values() if gap)
    after = {channel: place for channel, (place, _) in starts.items()}
    rows = await runtime.all(
        _QUERIES["read_events"], agent_id=agent_id, limit=limit + 1, channel_ids=[row["channel_id"] for row in channels],
        epochs=[row["epoch"] for row in channels], after=[after[row["channel_id"]] for row in channels],
        through=[row["visible"] for row in channels], own=[row["include_own"] for row in channels],
    )  # fmt: skip
    return reading_of([event_of(row) for row in rows], channels, after, gaps, limit)


async def _read_on(
    agent_id: str, given: Mapping[str, Place], key: UUID | None, limit: int, runtime: Runtime
) -> Reading | None:
    """Return what is new after an offset, as a reader who follows asks for; None where there is more to say than events."""
    known = [(UUID(channel), place) for channel, place in given.items() if _is_uuid(channel)]
    rows = await runtime.all(
        _QUERIES["read_on"], agent_id=agent_id, channel_id=key, limit=limit + 1, channel_ids=[one for one, _ in known],
        epochs=[place.epoch for _, place in known], after=[place.sequence for _, place in known],
    )  # fmt: skip
    channels = {row["channel_id"]: row for row in rows}
    if not rows or rows[0]["subscribed"] != len(channels):
        return None
    events = [event_of(row) for row in rows if row["sequence"] is not None]
    after = {channel: given[channel].sequence for channel in channels}
    return reading_of(events, list(channels.values()), after, (), limit)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def reading_of(
    found: Sequence[Event],
    channels: Sequence[Mapping[str, Any]],
    after: Mapping[str, int],
    gaps: tuple[Gap, ...],
    limit: int,
) -> Reading:
    """Return the first events of some channels, and the offset after them. Pure."""
    events, rest = in_order(found, limit)
    ends = {event.channel_id: event.sequence for event in events}
    places = {}
    for row in channels:
        channel = row["channel_id"]
        end = ends.get(channel, after[channel]) if channel in rest else max(row["visible"], after[channel])
        places[channel] = Place(row["epoch"], end)
    return Reading(events=events, offset=offsets.written(places), recovered=not gaps, gaps=gaps, up_to_date=not rest)


def _start(row: Mapping[str, Any], offset: str | None, place: Place | None) -> tuple[int, Gap | None]:
    """Return after which sequence to read a channel, and the gap where what was to be read is gone."""
    first, visible = row["first_sequence"], row["visible"]
    if offset == offsets.NOW:
        return visible, None
    if offset == offsets.START:
        return max(first - 1, row["start_sequence"] - 1), None
    place = place or Place(row["read_epoch"], row["unacknowledged_after"])
    return resumed(row["channel_id"], place, epoch=row["epoch"], first=first, last=row["last_sequence"])


def resumed(channel_id: str, place: Place, *, epoch: str, first: int, last: int) -> tuple[int, Gap | None]:
    """Return after which sequence a reader goes on, and the gap if it does not see everything since `place`. Pure."""
    if place.epoch != epoch:
        reason = "The channel's history began anew: read the present state, then go on from here."
        return first - 1, Gap(channel_id=channel_id, from_sequence=first, to_sequence=last, reason=reason)
    if place.sequence > last:
        reason = "The channel ends before the offset, as after a backup was restored: read the present state."
        return last, Gap(channel_id=channel_id, from_sequence=last + 1, to_sequence=place.sequence, reason=reason)
    if place.sequence < first - 1:
        reason = "These events are no longer kept (AGENT_SYNC_KEEP_DAYS): read the present state, then go on from here."
        return first - 1, Gap(
            channel_id=channel_id, from_sequence=place.sequence + 1, to_sequence=first - 1, reason=reason
        )
    return place.sequence, None


def in_order(events: Sequence[Event], limit: int) -> tuple[list[Event], set[str]]:
    """Return the first events of all channels by their time, each channel in its own order, and the channels with more. Pure."""
    by_channel: dict[str, list[tuple[Any, Event]]] = {}
    for event in events:
        own = by_channel.setdefault(event.channel_id, [])
        # The clock of a transaction is its beginning, so a later number can carry an earlier time.
        own.append((max(event.published_at, own[-1][0]) if own else event.published_at, event))
    ordered = merge(*by_channel.values(), key=lambda item: cast("float", item[0]))
    chosen = [event for _, event in islice(ordered, limit)]
    taken: dict[str, int] = {}
    for event in chosen:
        taken[event.channel_id] = taken.get(event.channel_id, 0) + 1
    return chosen, {channel for channel, own in by_channel.items() if len(own) > taken.get(channel, 0)}
