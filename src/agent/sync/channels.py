"""Channels: made once by name, typed by direction, with the end and the epoch of their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import cast, get_args
from uuid import UUID

from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Cache, Runtime
from agent.sync.agents import silence
from agent.sync.payloads import channel_key, checked_name, no_channel
from agent.sync.records import Channel, ChannelType, Statistics, Subscription, SyncStrategy
from agent.sync.wakeups import wakeups_of

_QUERIES = load_queries(__package__)
_CHANNELS: Cache[dict[UUID, Rules]] = Cache()
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What never changes of a channel."""

    channel_type: ChannelType
    sync_strategy: SyncStrategy
    batch_size: int
    batch_ms: int

    def check_direction(self, *, broadcast: bool) -> None:
        """Raise `InvalidInput` for an event that the channel's type does not take."""
        if broadcast and self.channel_type == "inbound":
            raise InvalidInput(
                "An inbound channel takes what agents publish; use an outbound or bidirectional one to broadcast."
            )
        if not broadcast and self.channel_type == "outbound":
            raise InvalidInput(
                "An outbound channel takes only broadcasts; use an inbound or bidirectional one to publish."
            )


async def create(
    name: str, *, channel_type: str, sync_strategy: str, batch_size: int, batch_ms: int, runtime: Runtime
) -> Channel:
    """Make a channel, or return the one of that name. Raises `InvalidInput` where that one is of another kind."""
    checked_name(name, what="The name of a channel")
    if channel_type not in get_args(ChannelType):
        raise InvalidInput(f"There is no channel_type {channel_type!r}: use one of {', '.join(get_args(ChannelType))}.")
    if sync_strategy not in get_args(SyncStrategy):
        raise InvalidInput(
            f"There is no sync_strategy {sync_strategy!r}: use one of {', '.join(get_args(SyncStrategy))}."
        )
    if not 1 <= batch_size <= 10_000 or not 1 <= batch_ms <= 60_000:
        raise InvalidInput("A batch has 1 to 10,000 events (batch_size) and waits 1 to 60,000 ms (batch_ms).")
    kind = {
        "channel_type": channel_type,
        "sync_strategy": sync_strategy,
        "batch_size": batch_size,
        "batch_ms": batch_ms,
    }
    await runtime.execute(_QUERIES["create_channel"], name=name, by=runtime.user, **kind)
    row = await runtime.one(_QUERIES["channels"], channel_id=None, name=name)
    assert row is not None  # noqa: S101  # it was made, or was there
    if any(row[field] != value for field, value in kind.items()):
        raise InvalidInput(
            f"There is a channel {name!r} of another kind already: use it as it is, or take another name."
        )
    return Channel.from_row(row)


async def get(channel_id: str, *, runtime: Runtime) -> Channel:
    """Return a channel. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["channels"], channel_id=channel_key(channel_id), name=None)
    if row is None:
        raise no_channel(channel_id)
    return Channel.from_row(row)


async def named(name: str, *, runtime: Runtime) -> Channel:
    """Return the channel of a name or an id. Raises `NotFound`."""
    row = await runtime.one(
        _QUERIES["channels"], channel_id=None, name=checked_name(name, what="The name of a channel")
    )
    return Channel.from_row(row) if row else await get(name, runtime=runtime)


async def every(*, runtime: Runtime) -> list[Channel]:
    """Return all channels, by name."""
    return [Channel.from_row(row) for row in await runtime.all(_QUERIES["channels"], channel_id=None, name=None)]


async def rules(channel_id: str, *, runtime: Runtime) -> tuple[UUID, Rules]:
    """Return a channel's key and what never changes of it, looked up once. Raises `NotFound`."""
    key = channel_key(channel_id)
    known = _CHANNELS.get(runtime, runtime.tenant_id)
    if known is None or len(known) > _MOST_KNOWN:
        known = _CHANNELS.put(runtime, {}, runtime.tenant_id)
    if key not in known:
        channel = await get(str(key), runtime=runtime)
        known[key] = Rules(channel.channel_type, channel.sync_strategy, channel.batch_size, channel.batch_ms)
    return key, known[key]


async def release(channel_id: str, *, runtime: Runtime) -> Channel:
    """Let a manual channel deliver what was published so far. Raises `InvalidInput` for a channel that is not manual."""
    key, kind = await rules(channel_id, runtime=runtime)
    if kind.sync_strategy != "manual":
        raise InvalidInput("Only a manual channel waits to be released; this one delivers by itself.")
    await runtime.execute(_QUERIES["release"], channel_id=key)
    wakeups_of(runtime).announce()
    return await get(channel_id, runtime=runtime)


async def begin_epoch(channel_id: str, *, runtime: Runtime) -> Channel:
    """Say that a channel's history is not what its readers saw, as after a backup was restored. They are told so."""
    key, _ = await rules(channel_id, runtime=runtime)
    await runtime.execute(_QUERIES["begin_epoch"], channel_id=key)
    return await get(channel_id, runtime=runtime)


async def forget_old_events(*, runtime: Runtime) -> int:
    """Forget events that are older than AGENT_SYNC_KEEP_DAYS, and return how many."""
    return await runtime.execute(_QUERIES["expired_events"], kept=timedelta(days=runtime.settings.sync_keep_days))


async def statistics(channel_id: str | None, subscriptions: list[Subscription], *, runtime: Runtime) -> Statistics:
    """Return the figures of one channel, or of all, with those of its subscriptions."""
    key = None if channel_id is None else (await rules(channel_id, runtime=runtime))[0]
    row = await runtime.one(_QUERIES["statistics"], channel_id=key, silence=silence(runtime))
    figures = cast("dict[str, int]", row)
    return Statistics(
        channel_id=None if key is None else str(key), subscriber_count=len(subscriptions),
        pending=sum(one.pending for one in subscriptions), dead=sum(one.dead for one in subscriptions),
        most_lag=max((one.lag for one in subscriptions), default=0), stuck=sum(one.stuck for one in subscriptions), **figures,
    )  # fmt: skip
