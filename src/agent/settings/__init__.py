"""Settings from the environment: one class for each subject, put together in `Settings`."""

from agent.settings.load import Settings, env_example, variable_name
from agent.settings.values import DatabaseUrl

__all__ = ["DatabaseUrl", "Settings", "env_example", "variable_name"]
