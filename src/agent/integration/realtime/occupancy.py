"""Who is in which channel, over all processes: each process writes what it has, and differences become events.

`settle` is the only way in which it changes: it compares what this process has with what it last said, under a lock of the channel,
and publishes members that came or went in the same transaction. So a process that dies between two of them loses nothing, and what a
dead process said is taken back by whoever sees it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import agent.integration.realtime.protocol as protocol
import agent.integration.realtime.publishing as publishing
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all
from agent.integration.realtime.apps import App
from agent.integration.sync_channels import sync_channel
from agent.runtime import Runtime
from agent.sync import AgentSyncService

_QUERIES = load_queries(__package__)
SILENCE: Final = timedelta(seconds=60)
Members = dict[str, Any]  # user_id -> user_info


@dataclass(frozen=True, slots=True)
class Present:
    """What one process, or all of them, have of a channel."""

    subscriptions: int = 0
    members: Members = field(default_factory=dict)

    def with_(self, other: Present) -> Present:
        """Return both together; a user of both is one member."""
        return Present(self.subscriptions + other.subscriptions, {**other.members, **self.members})


@dataclass(frozen=True, slots=True)
class Occupied:
    """A channel that somebody is connected to."""

    channel: str
    subscriptions: int
    users: int


def changes(channel: str, before: Present, now: Present, *, counts: bool = False) -> list[dict[str, Any]]:
    """Return the events of a webhook for a change of who is in a channel, with `counts` also of how many subscribe. Pure."""
    found: list[dict[str, Any]] = (
        [{"name": "channel_occupied", "channel": channel}] if now.subscriptions and not before.subscriptions else []
    )
    found += [{"name": "member_added", "channel": channel, "user_id": one} for one in now.members if one not in before.members]  # fmt: skip
    found += [{"name": "member_removed", "channel": channel, "user_id": one} for one in before.members if one not in now.members]  # fmt: skip
    if counts and now.subscriptions != before.subscriptions and not protocol.kind_of(channel).presence:
        found += [{"name": "subscription_count", "channel": channel, "subscription_count": now.subscriptions}]
    gone = before.subscriptions and not now.subscriptions
    return [*found, {"name": "channel_vacated", "channel": channel}] if gone else found


def told(channel: str, change: Mapping[str, Any], members: Members) -> dict[str, Any] | None:
    """Return the event by which subscribers learn of a change, or None where they do not. Pure."""
    if change["name"] == "subscription_count" and change["subscription_count"]:
        count = json.dumps({"subscription_count": change["subscription_count"]})
        event = publishing.Outgoing(channels=(channel,), event="pusher_internal:subscription_count", data=count)
        return event.as_dict("service")
    if not change["name"].startswith("member_"):
        return None
    data: dict[str, Any] = {"user_id": change["user_id"]}
    if change["name"] == "member_added":
        data = protocol.Member(change["user_id"], members.get(change["user_id"])).as_dict()
    event = publishing.Outgoing(channels=(channel,), event=f"pusher_internal:{change['name']}", data=json.dumps(data))
    return {**event.as_dict("service"), "member": change["user_id"]}


async def settle(app: App, channel: str, server: UUID, mine: Present, *, runtime: Runtime) -> Present:
    """Say what this process has of a channel now, publish what that changes, and return who is in it over all processes."""
    await _find_channels(app, runtime)
    async with AgentSyncService(runtime).transaction() as conn:
        values = {"tenant_id": app.tenant_id, "app_id": app.app_id, "channel": channel}
        own, others = await _present(conn, values, server)
        if mine.subscriptions:
            said = {"server_id": server, "subscriptions": mine.subscriptions, "members": json.dumps(mine.members)}
            await conn.execute(_QUERIES["set_occupancy"], {**values, **said})
        else:
            await conn.execute(_QUERIES["forget_server"], {**values, "server_id": server})
        now = mine.with_(others)
        await _tell(app, channel, before=own.with_(others), now=now, conn=conn, runtime=runtime)
    return now


async def forget_dead(app: App, *, runtime: Runtime) -> int:
    """Take back what processes said that are not seen any more, and return of how many channels."""
    await _find_channels(app, runtime)
    dead = await runtime.all(_QUERIES["dead"], silence=SILENCE)
    for row in dead:
        if row["app_id"] != app.app_id:
            continue
        async with AgentSyncService(runtime).transaction() as conn:
            values = {"tenant_id": app.tenant_id, "app_id": app.app_id, "channel": row["channel"]}
            _, others = await _present(conn, values, row["server_id"])
            gone = await fetch_all(conn, _QUERIES["forget_server"], {**values, "server_id": row["server_id"]})
            for one in gone:
                before = Present(one["subscriptions"], one["members"]).with_(others)
                await _tell(app, row["channel"], before=before, now=others, conn=conn, runtime=runtime)
    await runtime.execute(_QUERIES["forget_channels"], lifetime=publishing.KEPT)
    return len(dead)


async def say_alive(server: UUID, *, runtime: Runtime) -> None:
    """Say that what this process said still holds."""
    await runtime.execute(_QUERIES["alive"], server_id=server)


async def occupied(
    app: App, *, prefix: str = "", channel: str | None = None, limit: int = 10_000, runtime: Runtime
) -> list[Occupied]:
    """Return the channels that somebody is connected to, by name."""
    rows = await runtime.for_tenant(app.tenant_id).all(
        _QUERIES["occupied"], app_id=app.app_id, prefix=prefix, channel=channel, limit=limit, silence=SILENCE
    )
    return [Occupied(row["channel"], row["subscriptions"], row["users"]) for row in rows]


async def members(app: App, channel: str, *, runtime: Runtime) -> Members:
    """Return the members of a presence channel."""
    rows = await runtime.for_tenant(app.tenant_id).all(
        _QUERIES["occupancy"], app_id=app.app_id, channel=channel, silence=SILENCE
    )
    found: Members = {}
    for row in rows:
        found |= row["members"]
    return found


async def _present(conn: Connection, values: Mapping[str, Any], server: UUID) -> tuple[Present, Present]:
    """Lock a channel, and return what `server` and what all others have of it."""
    await conn.execute(_QUERIES["lock_channel"], values)
    rows = await fetch_all(conn, _QUERIES["occupancy"], {**values, "silence": SILENCE})
    own, others = Present(), Present()
    for row in rows:
        one = Present(row["subscriptions"], row["members"])
        own, others = (one, others) if row["server_id"] == server else (own, others.with_(one))
    return own, others


async def _find_channels(app: App, runtime: Runtime) -> None:
    """Make the sync channels of an application before a transaction needs them."""
    await sync_channel(app.channel, runtime=runtime)
    if app.webhook_url:
        await sync_channel(app.webhook_channel, runtime=runtime)


async def _tell(app: App, channel: str, *, before: Present, now: Present, conn: Connection, runtime: Runtime) -> None:
    found = changes(channel, before, now, counts=app.subscription_counts)
    service = AgentSyncService(runtime)
    for data in filter(None, (told(channel, one, now.members) for one in found)):
        target = await sync_channel(app.channel, runtime=runtime)
        await service.broadcast_to_channel(target, publishing.stored(data), connection=conn)
    if found and app.webhook_url:
        await queue_webhook(app, found, runtime=runtime, connection=conn)


async def queue_webhook(
    app: App, events: list[dict[str, Any]], *, runtime: Runtime, connection: Connection | None = None
) -> None:
    """Queue events for an application's webhook."""
    target = await sync_channel(app.webhook_channel, runtime=runtime)
    event = {"event_type": "webhook", "data": {"events": events}}
    await AgentSyncService(runtime).broadcast_to_channel(target, event, connection=connection)
