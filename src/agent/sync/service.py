"""The service of synchronisation: one object with the operations of channels, events, states and simulations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import structlog

import agent.sync.agents as agents
import agent.sync.channels as channels
import agent.sync.events as events
import agent.sync.feeds as feeds
import agent.sync.merging as merging
import agent.sync.outlets.relay as relay
import agent.sync.simulations as simulations
import agent.sync.states as states
import agent.sync.subscriptions as subscriptions
from agent.db import Connection
from agent.errors import InvalidInput
from agent.runtime import Runtime, current_runtime
from agent.sync.batches import batches_of
from agent.sync.records import (
    Acknowledged,
    Agent,
    Channel,
    Conflict,
    DeadLetter,
    Difference,
    Event,
    Outlet,
    Reading,
    Reconciled,
    Simulation,
    Snapshot,
    Statistics,
    Subscription,
)
from agent.sync.subscriptions import Terms
from agent.sync.wakeups import wakeups_of

_log = structlog.get_logger(__name__)
_MOST_EVENTS = 1_000
_MOST_BATCH = 10_000
Handler = Callable[[Event], Awaitable[None]]


class AgentSyncService:
    """Channels, events and states of agents. It works with `runtime`, or else with the current one; it has no other state."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime

    async def _acting(self) -> Runtime:
        return self._runtime or await current_runtime()

    # Agents

    async def register_agent(
        self,
        agent_id: str,
        *,
        name: str | None = None,
        agent_type: str | None = None,
        capabilities: Any = None,
        status: str | None = None,
    ) -> Agent:
        """Name an agent, or say more of one; what is None stays as it is."""
        return await agents.register(
            agent_id, name=name, agent_type=agent_type, capabilities=capabilities, status=status, runtime=await self._acting()
        )  # fmt: skip

    async def heartbeat(self, agent_id: str, *, status: str | None = None) -> Agent:
        """Say that an agent is alive, and in which status."""
        return await agents.heartbeat(agent_id, status=status, runtime=await self._acting())

    async def list_agents(self) -> list[Agent]:
        """Return the registry, by name, with who is online."""
        return await agents.every(runtime=await self._acting())

    # Channels

    async def create_sync_channel(
        self,
        channel: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        channel_type: str = "bidirectional",
        sync_strategy: str = "immediate",
        batch_size: int = 100,
        batch_ms: int = 20,
    ) -> Channel:
        """Make a channel, or return the one of that name. Takes one mapping as the document writes it, or keywords."""
        given: dict[str, Any] = {"name": name, "channel_type": channel_type, "sync_strategy": sync_strategy} | dict(
            channel or {}
        )
        given = {"batch_size": batch_size, "batch_ms": batch_ms} | given
        if unknown := set(given) - {"name", "channel_type", "sync_strategy", "batch_size", "batch_ms"}:
            raise InvalidInput(f"A channel has no field {min(unknown)!r}.")
        if any(type(given[field]) is not int for field in ("batch_size", "batch_ms")):
            raise InvalidInput("batch_size and batch_ms must be whole numbers.")
        return await channels.create(**given, runtime=await self._acting())

    async def get_sync_channel(self, channel_id: str) -> Channel:
        """Return a channel. Raises `NotFound`."""
        return await channels.get(channel_id, runtime=await self._acting())

    async def find_sync_channel(self, name: str) -> Channel:
        """Return the channel of a name or an id. Raises `NotFound`."""
        return await channels.named(name, runtime=await self._acting())

    async def list_sync_channels(self) -> list[Channel]:
        """Return all channels, by name."""
        return await channels.every(runtime=await self._acting())

    async def release_channel(self, channel_id: str) -> Channel:
        """Let a manual channel deliver what was published so far."""
        return await channels.release(channel_id, runtime=await self._acting())

    async def begin_epoch(self, channel_id: str) -> Channel:
        """Tell the readers of a channel that its history is not what they saw, as after a backup was restored."""
        return await channels.begin_epoch(channel_id, runtime=await self._acting())

    async def subscribe_agent_to_channel(
        self,
        agent_id: str,
        channel_id: str,
        *,
        start: str | int | datetime = "new",
        include_own: bool = True,
        ack_wait_seconds: float = 30.0,
        max_deliver: int = 5,
        backoff_seconds: Sequence[float] = (),
        max_ack_pending: int = 1_000,
    ) -> Subscription:
        """Subscribe an agent for good, from new events on, from a sequence, from a time, or from all that is kept."""
        terms = Terms(
            start=start, include_own=include_own, ack_wait_seconds=ack_wait_seconds, max_deliver=max_deliver,
            backoff_seconds=backoff_seconds, max_ack_pending=max_ack_pending,
        )  # fmt: skip
        return await subscriptions.subscribe(agent_id, channel_id, terms, runtime=await self._acting())

    async def unsubscribe_agent_from_channel(self, agent_id: str, channel_id: str) -> None:
        """End a subscription."""
        await subscriptions.unsubscribe(agent_id, channel_id, runtime=await self._acting())

    async def list_subscriptions(
        self, *, channel_id: str | None = None, agent_id: str | None = None
    ) -> list[Subscription]:
        """Return subscriptions, with how far behind they are in events and seconds, and which are stuck."""
        return await subscriptions.every(channel_id=channel_id, agent_id=agent_id, runtime=await self._acting())

    # Events

    async def publish_sync_event(
        self, channel_id: str, event: Mapping[str, Any], *, connection: Connection | None = None
    ) -> Event:
        """Publish an agent's event, and return it when it is stored. `connection` is one of `transaction`."""
        return await self._publish(channel_id, event, broadcast=False, connection=connection)

    async def broadcast_to_channel(
        self, channel_id: str, event: Mapping[str, Any], *, connection: Connection | None = None
    ) -> Event:
        """Publish an event of the system to the channel's agents."""
        return await self._publish(channel_id, event, broadcast=True, connection=connection)

    async def publish_sync_events(
        self, channel_id: str, batch: Sequence[Mapping[str, Any]], *, connection: Connection | None = None
    ) -> list[Event]:
        """Publish events of agents together, in their order and in one transaction: all of them, or none."""
        runtime = await self._acting()
        key, rules = await channels.rules(channel_id, runtime=runtime)
        rules.check_direction(broadcast=False)
        if not 0 < len(batch) <= _MOST_BATCH:
            raise InvalidInput(f"A batch has 1 to {_MOST_BATCH:,} events.")
        new = [events.checked(one, broadcast=False, runtime=runtime) for one in batch]
        stored = await events.append(key, new, runtime=runtime, connection=connection)
        if connection is None:
            wakeups_of(runtime).announce()
        return stored

    async def _publish(
        self, channel_id: str, event: Mapping[str, Any], *, broadcast: bool, connection: Connection | None
    ) -> Event:
        runtime = await self._acting()
        key, rules = await channels.rules(channel_id, runtime=runtime)
        rules.check_direction(broadcast=broadcast)
        new = events.checked(event, broadcast=broadcast, runtime=runtime)
        if connection is None and rules.sync_strategy == "batched":
            return await batches_of(runtime).add(key, new, rules, runtime=runtime)
        wakeups = wakeups_of(runtime)
        wakes = connection is None and wakeups.may_wake()
        (stored,) = await events.append(key, [new], runtime=runtime, connection=connection, wakes=wakes)
        if connection is None:
            wakeups.announce(told=wakes and not stored.duplicate)
        return stored

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Begin a transaction for events and the state that they report: both commit, or neither. Readers are woken after it."""
        runtime = await self._acting()
        async with runtime.transaction() as conn:
            yield conn
        wakeups_of(runtime).announce()

    async def get_agent_events(
        self, agent_id: str, *, offset: str | None = None, channel_id: str | None = None, limit: int = 100
    ) -> Reading:
        """Return an agent's events after `offset` ("-1": all, "now"), or those that it has not acknowledged. Changes nothing."""
        _check_limit(limit)
        return await events.read(
            agent_id, offset=offset, channel_id=channel_id, limit=limit, runtime=await self._acting()
        )

    async def follow_agent_events(
        self, agent_id: str, *, offset: str | None = None, channel_id: str | None = None, limit: int = 100
    ) -> AsyncIterator[Reading]:
        """Yield an agent's events as they come, for as long as the caller reads; each reading has the offset to resume from.

        After each wait without events it yields an empty reading, so that the caller can see that the stream lives.
        """
        _check_limit(limit)
        runtime = await self._acting()
        async with aclosing(
            feeds.follow(agent_id, offset=offset, channel_id=channel_id, limit=limit, runtime=runtime)
        ) as readings:
            async for reading in readings:
                yield reading

    async def fetch_events(self, agent_id: str, channel_id: str, *, limit: int = 100) -> Reading:
        """Deliver events of a subscription: each comes again until it is acknowledged, at most max_deliver times."""
        _check_limit(limit)
        return await subscriptions.fetch(agent_id, channel_id, limit=limit, runtime=await self._acting())

    async def acknowledge_events(self, agent_id: str, channel_id: str, sequences: Sequence[int]) -> Acknowledged:
        """Say that an agent has dealt with events, in any order."""
        return await subscriptions.acknowledge(agent_id, channel_id, sequences, runtime=await self._acting())

    async def acknowledge_through(self, agent_id: str, offset: str) -> None:
        """Say that an agent has dealt with everything before an offset of `get_agent_events`."""
        await subscriptions.acknowledge_through(agent_id, offset, runtime=await self._acting())

    async def reject_event(
        self, agent_id: str, event: Event, *, reason: str = "", delay_seconds: float | None = None
    ) -> None:
        """Say that an agent could not deal with an event: it comes again, or is a dead letter."""
        await subscriptions.reject(
            agent_id, event, reason=reason, delay_seconds=delay_seconds, runtime=await self._acting()
        )

    async def consume(self, agent_id: str, channel_id: str, handler: Handler, *, limit: int = 100) -> None:
        """Hand each event of a subscription to `handler` until this is cancelled. What it raises rejects the event."""
        runtime = await self._acting()
        wakeups = wakeups_of(runtime)
        woken = wakeups.watch()
        try:
            while True:
                reading = await self.fetch_events(agent_id, channel_id, limit=limit)
                for event in reading.events:
                    if await subscriptions.begin(agent_id, event, runtime=runtime):
                        await self._handle(agent_id, event, handler)
                if not reading.events:
                    await wakeups.wait(woken, runtime.settings.sync_poll_seconds)
        finally:
            wakeups.unwatch(woken)

    async def _handle(self, agent_id: str, event: Event, handler: Handler) -> None:
        try:
            await handler(event)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # one event must not end the others
            _log.warning("sync_handler_failed", event_id=event.event_id, agent_id=agent_id, error=type(error).__name__)
            await self.reject_event(agent_id, event, reason=type(error).__name__)
        else:
            await self.acknowledge_events(agent_id, event.channel_id, [event.sequence])

    async def list_dead_letters(self, *, agent_id: str | None = None) -> list[DeadLetter]:
        """Return events that were delivered as often as allowed, without success."""
        return await subscriptions.dead_letters(agent_id=agent_id, runtime=await self._acting())

    async def revive_dead_letter(self, agent_id: str, channel_id: str, sequence: int) -> None:
        """Deliver a dead letter again, from its first attempt on."""
        await subscriptions.revive(agent_id, channel_id, sequence, runtime=await self._acting())

    # States

    async def create_state_snapshot(
        self,
        agent_id: str,
        state: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        connection: Connection | None = None,
    ) -> Snapshot:
        """Keep an agent's state as its next version; with `expected_version`, only if that is the present one."""
        return await states.snapshot(
            agent_id, state, expected_version=expected_version, connection=connection, runtime=await self._acting()
        )

    async def get_current_state(self, agent_id: str) -> Snapshot:
        """Return an agent's present state. Raises `NotFound`."""
        return await states.current(agent_id, runtime=await self._acting())

    async def list_snapshots(self, agent_id: str, *, limit: int = 20) -> list[Snapshot]:
        """Return the newest versions of an agent's state."""
        _check_limit(limit)
        return await states.versions(agent_id, limit=limit, runtime=await self._acting())

    async def diff_snapshots(self, agent_id: str, before: int, after: int | None = None) -> list[Difference]:
        """Return how two versions differ; without `after`, from the present one."""
        return await states.diff(agent_id, before, after, runtime=await self._acting())

    async def reconcile_states(self, agent_id: str, strategy: str, conflict_data: Mapping[str, Any]) -> Reconciled:
        """Bring a state that was changed apart together with the present one: merge, latest_wins or manual."""
        return await states.reconcile(agent_id, strategy, conflict_data, runtime=await self._acting())

    async def list_conflicts(self, *, agent_id: str | None = None) -> list[Conflict]:
        """Return what waits for a decision."""
        return await states.conflicts(agent_id=agent_id, runtime=await self._acting())

    async def resolve_conflict(
        self, conflict_id: int, take: str, *, value: Any = merging.MISSING, expected_version: int
    ) -> Snapshot | None:
        """Decide a conflict of the version that was looked at: `ours`, `theirs`, or `value`."""
        return await states.resolve(
            conflict_id, take, value=value, expected_version=expected_version, runtime=await self._acting()
        )

    # Simulations and figures

    async def propagate_simulation_results(
        self, simulation_id: str, results: Mapping[str, Any], target_agents: Sequence[str], *, subject: str = ""
    ) -> Simulation:
        """Keep the results of a simulation, and deliver them to the target agents."""
        return await simulations.propagate(
            simulation_id, results, target_agents, subject=subject, runtime=await self._acting()
        )

    async def get_sync_statistics(self, channel_id: str | None = None) -> Statistics:
        """Return the figures of one channel, or of all: subscribers, events, lag, what is stuck, open conflicts."""
        runtime = await self._acting()
        known = await subscriptions.every(channel_id=channel_id, runtime=runtime)
        return await channels.statistics(channel_id, known, runtime=runtime)

    # Outlets

    async def create_outlet(
        self, channel_id: str, kind: str, *, target: str | None = None, everything: bool = False
    ) -> Outlet:
        """Pass a channel's events on to Redis or Supabase from now on, or with `everything` that is kept."""
        return await relay.add(channel_id, kind, target, everything=everything, runtime=await self._acting())

    async def list_outlets(self, *, channel_id: str | None = None) -> list[Outlet]:
        """Return where events are passed on to, and how far behind that is."""
        return await relay.every(channel_id, runtime=await self._acting())

    async def delete_outlet(self, outlet_id: str) -> None:
        """End an outlet; what was passed on stays there."""
        await relay.remove(outlet_id, runtime=await self._acting())

    async def apply_retention(self) -> int:
        """Forget events that are older than AGENT_SYNC_KEEP_DAYS, and return how many."""
        return await channels.forget_old_events(runtime=await self._acting())


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= _MOST_EVENTS:
        raise InvalidInput(f"limit must be 1 to {_MOST_EVENTS:,}.")
