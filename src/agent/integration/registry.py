"""The agents that come with it. A new one is a file with a subclass of `BaseIntegrationAgent`, and one line here."""

from __future__ import annotations

from agent.integration.base import BaseIntegrationAgent
from agent.integration.database_sync.agent import DatabaseSyncAgent
from agent.integration.realtime.agent import RealtimeUpdateAgent
from agent.integration.schemas.agent import SchemaValidatorAgent

AGENTS: tuple[type[BaseIntegrationAgent], ...] = (
    DatabaseSyncAgent,
    RealtimeUpdateAgent,
    SchemaValidatorAgent,
)
