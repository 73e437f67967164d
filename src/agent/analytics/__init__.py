"""Performance analytics: runs of agents are measured, predicted from, compared and explained."""

from agent.analytics.service import AnalyticsService

__all__ = ["AnalyticsService"]
