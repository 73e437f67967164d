"""Agent synchronisation: many agents, processes and people work on one picture of the world and lose nothing."""

from agent.sync.records import Agent, Channel, Event, Reading, Reconciled, Snapshot, Subscription
from agent.sync.service import AgentSyncService

__all__ = ["Agent", "AgentSyncService", "Channel", "Event", "Reading", "Reconciled", "Snapshot", "Subscription"]
