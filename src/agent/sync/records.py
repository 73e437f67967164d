"""The values that synchronisation returns: frozen, and read as attributes or as keys (`channel["channel_id"]`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

ChannelType = Literal["bidirectional", "inbound", "outbound"]
SyncStrategy = Literal["immediate", "batched", "manual"]
OutletKind = Literal["redis", "rabbitmq", "supabase"]
Strategy = Literal["merge", "latest_wins", "manual"]


class Record:
    """A frozen value whose fields are keys too."""

    __slots__ = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the value in a row of one of this package's queries; columns that it does not have are left out."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]  # each subclass is a dataclass
        return cls(**{name: value for name, value in row.items() if name in names})

    def __getitem__(self, name: str) -> Any:
        if name not in {item.name for item in fields(self)}:  # type: ignore[arg-type]  # each subclass is a dataclass
            raise KeyError(name)
        return getattr(self, name)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # each subclass is a dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(Record):
    """An agent of the registry. `online` says that it was heard of within two heartbeats."""

    agent_id: str
    name: str
    agent_type: str
    capabilities: Any
    status: str
    heartbeat_at: datetime | None
    created_at: datetime
    online: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Record):
    """A channel. `inbound` ones take what agents publish, `outbound` ones what the system broadcasts, seen from the system."""

    channel_id: str
    name: str
    channel_type: ChannelType
    sync_strategy: SyncStrategy
    batch_size: int
    batch_ms: int
    created_at: datetime
    epoch: str
    last_sequence: int
    first_sequence: int
    released_sequence: int
    subscriber_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """An event of a channel. `source_agent_id` is None for the system's; `attempts` counts its deliveries to one agent."""

    event_id: str
    channel_id: str
    epoch: str
    sequence: int
    event_type: str
    source_agent_id: str | None
    target_agents: list[str] | None
    data: Any
    published_at: datetime
    attempts: int = 0
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(Record):
    """One agent's durable subscription. `lag` counts events that are not delivered, `pending` those not acknowledged.

    `lag_seconds` is the age of the oldest event that is not delivered or not acknowledged. `stuck` says that nothing more is
    delivered, because too much is pending or the oldest pending event is overdue.
    """

    subscription_id: str
    channel_id: str
    agent_id: str
    epoch: str
    start_sequence: int
    delivered_through: int
    include_own: bool
    ack_wait_seconds: float
    max_deliver: int
    backoff_seconds: list[float]
    max_ack_pending: int
    lost: int
    lag: int
    pending: int
    dead: int
    lag_seconds: float
    stuck: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Record):
    """Events of a channel that were gone before they were read: not recovered."""

    channel_id: str
    from_sequence: int
    to_sequence: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """Some events, and the offset after them. `recovered` is False when events before them are gone; `gaps` says which."""

    events: list[Event]
    offset: str
    recovered: bool = True
    gaps: tuple[Gap, ...] = ()
    up_to_date: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged(Record):
    """What became of acknowledgements. `already` were acknowledged before."""

    acknowledged: list[int]
    already: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(Record):
    """An event that was delivered as often as its subscription allows, without success."""

    channel_id: str
    agent_id: str
    sequence: int
    attempts: int
    reason: str | None
    dead_at: datetime
    event_type: str | None
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Record):
    """A version of an agent's state."""

    snapshot_id: str
    agent_id: str
    version: int
    state: dict[str, Any]
    clocks: dict[str, str]
    source: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Record):
    """How one path differs between two versions."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict(Record):
    """Two sides of a change that nobody has decided. `sides` holds base, ours and theirs; one that lacks the path is missing."""

    conflict_id: int
    agent_id: str
    path: str
    sides: dict[str, Any]
    strategy: str
    version: int
    resolution: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDecision(Record):
    """What a reconciliation did with one path: `took` says whose value the state has now.

    `sides` holds base, ours and theirs; one that lacks the path is missing. `both` made the same change.
    """

    path: str
    took: Literal["ours", "theirs", "both", "undecided"]
    sides: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled(Record):
    """The state after a reconciliation, what it did with each path, and the conflicts that wait for a decision."""

    agent_id: str
    strategy: Strategy
    version: int
    changed: bool
    state: dict[str, Any]
    decisions: list[PathDecision]
    conflicts: list[Conflict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet(Record):
    """Where a channel's events are passed on to: a stream of Redis, or a topic of Supabase Realtime. `error` says why it waits."""

    outlet_id: str
    channel_id: str
    kind: OutletKind
    target: str
    sent_through: int
    lag: int
    attempts: int
    error: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation(Record):
    """Results of a simulation, and the event that brought them to the target agents."""

    simulation_id: str
    results: Any
    target_agents: list[str]
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Record):
    """Figures of one channel, or of all."""

    channel_id: str | None
    channels: int
    subscriber_count: int
    event_count: int
    last_sequence: int
    pending: int
    dead: int
    most_lag: int
    stuck: int
    agents: int
    agents_online: int
    snapshots: int
    open_conflicts: int
