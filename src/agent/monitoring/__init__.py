"""Watches the agent and its application, and keeps alerts about what is wrong as episodes."""

from agent.monitoring.continuous_monitor import ContinuousMonitor, continuous_monitor

__all__ = ["ContinuousMonitor", "continuous_monitor"]
