"""`/api/agent-sync`: channels, events, states and figures of agents that are kept in step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from sse_starlette.event import ServerSentEvent

from agent.access import keys
from agent.api.callers import Acting, Caller, needs
from agent.api.idempotency import IdempotentRoute
from agent.sync import AgentSyncService, merging
from agent.sync.records import (
    Acknowledged,
    Agent,
    Channel,
    ChannelType,
    Conflict,
    DeadLetter,
    Difference,
    Event,
    Outlet,
    OutletKind,
    Reading,
    Reconciled,
    Snapshot,
    Statistics,
    Strategy,
    Subscription,
    SyncStrategy,
)
from agent.sync.views import texts_of, viewer_of

router = APIRouter(prefix="/api/agent-sync", tags=["synchronisation"], route_class=IdempotentRoute)
_SEND_TIMEOUT = 30.0
_CHECKED_EVERY = 20
_BIG = 2**62
ChannelId = Annotated[str, Path(min_length=1, max_length=100, description="Id of the channel.")]
AgentId = Annotated[str, Path(min_length=1, max_length=200, description="Id of the agent.")]
Offset = Annotated[
    str | None,
    Query(max_length=200_000, description="`offset` of an earlier answer, `-1` for all that is kept, or `now`."),
]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Most entries of an answer.")]
Sequence = Annotated[int, Field(ge=1, lt=_BIG)]


class NewChannel(BaseModel):
    """A channel to make. A channel of the same name and kind is returned as it is."""

    name: str = Field(min_length=1, max_length=200)
    channel_type: ChannelType = "bidirectional"
    sync_strategy: SyncStrategy = "immediate"
    batch_size: int = Field(100, ge=1, le=10_000, description="Events that fill a batch (batched channels).")
    batch_ms: int = Field(
        20, ge=1, le=60_000, description="Milliseconds that a batch waits for more (batched channels)."
    )


class NewSubscription(BaseModel):
    """Who subscribes, and how events are delivered. `start`: "new", "all", a sequence, or a time."""

    agent_id: str = Field(min_length=1, max_length=200)
    start: int | datetime | str = "new"
    include_own: bool = True
    ack_wait_seconds: float = Field(30.0, gt=0, le=86_400)
    max_deliver: int = Field(5, ge=1, le=1_000)
    backoff_seconds: list[float] = Field([], max_length=19)
    max_ack_pending: int = Field(1_000, ge=1, le=100_000)


class Broadcast(BaseModel):
    """An event of the system."""

    event_type: str = Field(min_length=1, max_length=200)
    data: dict[str, Any] = {}
    target_agents: list[str] | None = Field(None, min_length=1, max_length=1_000)
    dedupe_key: str | None = Field(None, max_length=200, description="The same key again stores no second event.")


class Published(Broadcast):
    """An event of an agent."""

    source_agent_id: str = Field(min_length=1, max_length=200)


class NewSnapshot(BaseModel):
    """A state to keep; with `expected_version`, only if that is the present version."""

    state: dict[str, Any]
    expected_version: int | None = Field(None, ge=0, lt=_BIG)


class Reconciliation(BaseModel):
    """How to bring a state that was changed apart together with the present one, and that state."""

    strategy: Strategy
    conflict_data: dict[str, Any]


class Alive(BaseModel):
    """An agent's heartbeat; its status stays where none is given."""

    status: str | None = Field(None, min_length=1, max_length=100)


class Acknowledgement(BaseModel):
    """The events that were dealt with, by their numbers in a channel."""

    channel_id: str = Field(max_length=100)
    sequences: list[Sequence] = Field(min_length=1, max_length=10_000)


class NewOutlet(BaseModel):
    """Where a channel's events are passed on to; the default target is named after the channel."""

    kind: OutletKind
    target: str | None = Field(
        None, min_length=1, max_length=200, description="Redis: the stream; Supabase: the topic."
    )
    everything: bool = Field(default=False, description="Also what was published before, as far as it is kept.")


class DeadEvent(BaseModel):
    """A dead letter, by its place."""

    channel_id: str = Field(max_length=100)
    sequence: Sequence


class Resolution(BaseModel):
    """The decision of a conflict, for the version of the state that was looked at. `value` is for `take` "value"."""

    take: Literal["ours", "theirs", "value"]
    value: Any = None
    expected_version: int = Field(ge=0, lt=_BIG)


@router.post("/channels", status_code=201, **needs("operator"))
async def create_channel(body: NewChannel, runtime: Acting) -> Channel:
    """Create a sync channel."""
    return await AgentSyncService(runtime).create_sync_channel(body.model_dump())


@router.get("/channels", **needs("viewer"))
async def list_channels(runtime: Acting) -> list[Channel]:
    """List the channels, by name."""
    return await AgentSyncService(runtime).list_sync_channels()


@router.get("/channels/{channel_id}", **needs("viewer"))
async def get_channel(channel_id: ChannelId, runtime: Acting) -> Channel:
    """Get a channel."""
    return await AgentSyncService(runtime).get_sync_channel(channel_id)


@router.post("/channels/{channel_id}/subscribe", status_code=201, **needs("operator"))
async def subscribe(channel_id: ChannelId, body: NewSubscription, runtime: Acting) -> Subscription:
    """Subscribe an agent. Its subscription stays until it ends it, whoever reads it."""
    terms = body.model_dump()
    return await AgentSyncService(runtime).subscribe_agent_to_channel(terms.pop("agent_id"), channel_id, **terms)


@router.post("/channels/{channel_id}/outlets", status_code=201, **needs("admin"))
async def create_outlet(channel_id: ChannelId, body: NewOutlet, runtime: Acting) -> Outlet:
    """Pass a channel's events on to Redis Streams or Supabase Realtime."""
    service = AgentSyncService(runtime)
    return await service.create_outlet(channel_id, body.kind, target=body.target, everything=body.everything)


@router.get("/outlets", **needs("viewer"))
async def list_outlets(runtime: Acting) -> list[Outlet]:
    """List where events are passed on to, how far behind that is, and why it waits."""
    return await AgentSyncService(runtime).list_outlets()


@router.delete("/outlets/{outlet_id}", status_code=204, **needs("admin"))
async def delete_outlet(outlet_id: Annotated[str, Path(min_length=1, max_length=100)], runtime: Acting) -> None:
    """End an outlet."""
    await AgentSyncService(runtime).delete_outlet(outlet_id)


@router.get("/channels/{channel_id}/subscriptions", **needs("viewer"))
async def list_subscriptions(channel_id: ChannelId, runtime: Acting) -> list[Subscription]:
    """List who is subscribed to a channel, how far behind they are, and who is stuck."""
    return await AgentSyncService(runtime).list_subscriptions(channel_id=channel_id)


@router.delete("/channels/{channel_id}/subscriptions/{agent_id}", status_code=204, **needs("operator"))
async def unsubscribe(channel_id: ChannelId, agent_id: AgentId, runtime: Acting) -> None:
    """End a subscription, with what it had not acknowledged."""
    await AgentSyncService(runtime).unsubscribe_agent_from_channel(agent_id, channel_id)


@router.post("/channels/{channel_id}/publish", status_code=201, **needs("operator"))
async def publish(channel_id: ChannelId, body: Published, runtime: Acting) -> Event:
    """Publish an agent's event. The answer comes when the event is stored."""
    return await AgentSyncService(runtime).publish_sync_event(channel_id, body.model_dump(exclude_none=True))


@router.post("/channels/{channel_id}/broadcast", status_code=201, **needs("operator"))
async def broadcast(channel_id: ChannelId, body: Broadcast, runtime: Acting) -> Event:
    """Broadcast an event to the channel's agents."""
    return await AgentSyncService(runtime).broadcast_to_channel(channel_id, body.model_dump(exclude_none=True))


@router.post("/channels/{channel_id}/release", **needs("operator"))
async def release(channel_id: ChannelId, runtime: Acting) -> Channel:
    """Let a manual channel deliver what was published so far."""
    return await AgentSyncService(runtime).release_channel(channel_id)


@router.get(
    "/agents/{agent_id}/events",
    response_model=Reading,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    **needs("viewer"),
)
async def get_events(
    agent_id: AgentId,
    runtime: Acting,
    caller: Caller,
    response: Response,
    *,
    offset: Offset = None,
    channel_id: Annotated[str | None, Query(max_length=100, description="Only events of this channel.")] = None,
    limit: Limit = 100,
    accept: Annotated[str, Header(description="`text/event-stream` for the events as they come.")] = "*/*",
    last_event_id: Annotated[str | None, Header(max_length=200_000, pattern=r"^[\x20-\x7e]*$")] = None,
) -> Any:
    """Get an agent's events after `offset`; without one, those that it has not acknowledged. Reading changes nothing.

    The answer's `offset` (also in `Stream-Next-Offset`) is where to go on. `recovered` is false when events before it are gone.
    With `Accept: text/event-stream` the events follow as they come; the id of each is an offset, and `Last-Event-ID` resumes.
    """
    service, viewer = AgentSyncService(runtime), await viewer_of(runtime)
    if "text/event-stream" in accept:
        # The first read is made here, so that what is wrong with the request is an answer, not a broken stream.
        start = last_event_id or offset
        await service.get_agent_events(agent_id, offset=start, channel_id=channel_id, limit=1)

        async def valid() -> bool:
            return await keys.still_valid(caller, runtime=runtime)

        stream = service.follow_agent_events(agent_id, offset=start, channel_id=channel_id, limit=limit)
        text_of = partial(texts_of(runtime).of, viewer=viewer)
        return EventSourceResponse(_sse(stream, text_of, valid), send_timeout=_SEND_TIMEOUT, ping=15)
    reading = await service.get_agent_events(agent_id, offset=offset, channel_id=channel_id, limit=limit)
    response.headers["Stream-Next-Offset"] = reading.offset
    return viewer.reading(reading)


async def _sse(
    stream: AsyncIterator[Reading], text_of: Callable[[Event], str], valid: Any
) -> AsyncIterator[ServerSentEvent]:
    """Yield each event, and `gap` where some are gone. The stream ends when its key does."""
    count = 0
    async for reading in stream:
        count += 1
        if count % _CHECKED_EVERY == 0 and not await valid():
            return
        for gap in reading.gaps:
            yield ServerSentEvent(data=json.dumps(gap.as_dict()), event="gap")
        for place, event in enumerate(reading.events, start=1):
            last = place == len(reading.events)  # only there is the offset that of the whole reading
            yield ServerSentEvent(data=text_of(event), event="event", id=reading.offset if last else None)


@router.post("/agents/{agent_id}/fetch", **needs("operator"))
async def fetch(
    agent_id: AgentId,
    runtime: Acting,
    channel_id: Annotated[str, Query(max_length=100, description="The channel of the subscription.")],
    limit: Limit = 100,
) -> Reading:
    """Deliver events of a durable subscription. What is not acknowledged in time comes again."""
    reading = await AgentSyncService(runtime).fetch_events(agent_id, channel_id, limit=limit)
    return (await viewer_of(runtime)).reading(reading)


@router.post("/agents/{agent_id}/ack", **needs("operator"))
async def acknowledge(agent_id: AgentId, body: Acknowledgement, runtime: Acting) -> Acknowledged:
    """Acknowledge events that were delivered, in any order."""
    return await AgentSyncService(runtime).acknowledge_events(agent_id, body.channel_id, body.sequences)


@router.get("/agents/{agent_id}/dead-letters", **needs("viewer"))
async def dead_letters(agent_id: AgentId, runtime: Acting) -> list[DeadLetter]:
    """List the events that were delivered to an agent as often as allowed, without success."""
    letters = await AgentSyncService(runtime).list_dead_letters(agent_id=agent_id)
    viewer = await viewer_of(runtime)
    return [viewer.letter(one) for one in letters]


@router.post("/agents/{agent_id}/dead-letters/revive", status_code=204, **needs("operator"))
async def revive(agent_id: AgentId, body: DeadEvent, runtime: Acting) -> None:
    """Deliver a dead letter again, from its first attempt on."""
    await AgentSyncService(runtime).revive_dead_letter(agent_id, body.channel_id, body.sequence)


@router.post("/agents/{agent_id}/heartbeat", **needs("operator"))
async def heartbeat(agent_id: AgentId, body: Alive, runtime: Acting) -> Agent:
    """Say that an agent is alive, and in which status."""
    return await AgentSyncService(runtime).heartbeat(agent_id, status=body.status)


@router.get("/agents", **needs("viewer"))
async def list_agents(runtime: Acting) -> list[Agent]:
    """List the registry of agents, with who is online."""
    return await AgentSyncService(runtime).list_agents()


@router.get("/agents/{agent_id}/state", **needs("viewer"))
async def get_state(agent_id: AgentId, runtime: Acting) -> Snapshot:
    """Get an agent's current state."""
    return (await viewer_of(runtime)).snapshot(await AgentSyncService(runtime).get_current_state(agent_id))


@router.get("/agents/{agent_id}/diff", **needs("viewer"))
async def get_diff(
    agent_id: AgentId,
    runtime: Acting,
    before: Annotated[int, Query(ge=1, lt=_BIG)],
    after: Annotated[int | None, Query(ge=1, lt=_BIG)] = None,
) -> list[Difference]:
    """Show how two versions of a state differ; without `after`, from the present one."""
    viewer = await viewer_of(runtime)
    return [viewer.difference(one) for one in await AgentSyncService(runtime).diff_snapshots(agent_id, before, after)]


@router.post("/agents/{agent_id}/snapshot", status_code=201, **needs("operator"))
async def create_snapshot(agent_id: AgentId, body: NewSnapshot, runtime: Acting) -> Snapshot:
    """Create a snapshot of an agent's state."""
    service = AgentSyncService(runtime)
    made = await service.create_state_snapshot(agent_id, body.state, expected_version=body.expected_version)
    return (await viewer_of(runtime)).snapshot(made)


@router.post("/agents/{agent_id}/reconcile", **needs("operator"))
async def reconcile(agent_id: AgentId, body: Reconciliation, runtime: Acting) -> Reconciled:
    """Reconcile a state that was changed apart; the answer says for each path what was done."""
    done = await AgentSyncService(runtime).reconcile_states(agent_id, body.strategy, body.conflict_data)
    return (await viewer_of(runtime)).reconciled(done)


@router.get("/conflicts", **needs("viewer"))
async def list_conflicts(
    runtime: Acting, agent_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None
) -> list[Conflict]:
    """List the conflicts that wait for a decision."""
    viewer = await viewer_of(runtime)
    return [viewer.conflict(one) for one in await AgentSyncService(runtime).list_conflicts(agent_id=agent_id)]


@router.post("/conflicts/{conflict_id}/resolve", **needs("operator"))
async def resolve(
    conflict_id: Annotated[int, Path(ge=1, lt=_BIG)], body: Resolution, runtime: Acting
) -> Snapshot | None:
    """Decide a conflict, and return the new version of the state; null if it stays. 409 if the state has changed meanwhile."""
    value = body.value if body.take == "value" else merging.MISSING
    made = await AgentSyncService(runtime).resolve_conflict(
        conflict_id, body.take, value=value, expected_version=body.expected_version
    )
    return (await viewer_of(runtime)).snapshot(made) if made else None


@router.get("/statistics", **needs("viewer"))
async def statistics(
    runtime: Acting,
    channel_id: Annotated[str | None, Query(min_length=1, max_length=100, description="Only this channel.")] = None,
) -> Statistics:
    """Get sync statistics: subscribers, events, lag, what is stuck, open conflicts."""
    return await AgentSyncService(runtime).get_sync_statistics(channel_id)
