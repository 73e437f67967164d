"""The agents that come with it. A new one is a file with a subclass of `BaseIntegrationAgent`, and one line here."""

from __future__ import annotations

from agent.integration.base import BaseIntegrationAgent

AGENTS: tuple[type[BaseIntegrationAgent], ...] = ()
