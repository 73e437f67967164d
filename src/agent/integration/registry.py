"""The agents that come with it. A new one is a file with a subclass of `BaseIntegrationAgent`, and one line here."""

from __future__ import annotations

from agent.integration.base import BaseIntegrationAgent
from agent.integration.database_sync.agent import DatabaseSyncAgent
from agent.integration.gateway.agent import APIGatewayAgent
from agent.integration.realtime.agent import RealtimeUpdateAgent
from agent.integration.schemas.agent import SchemaValidatorAgent
from agent.integration.studio.agent import StudioBridgeAgent
from agent.integration.ui_sync.agent import UISyncAgent

AGENTS: tuple[type[BaseIntegrationAgent], ...] = (
    APIGatewayAgent,
    DatabaseSyncAgent,
    RealtimeUpdateAgent,
    SchemaValidatorAgent,
    StudioBridgeAgent,
    UISyncAgent,
)
