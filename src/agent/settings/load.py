"""The only reader of the environment: every setting, with its default and its one-line meaning."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.errors import ConfigurationError
from agent.settings.analytics import AnalyticsSettings
from agent.settings.approval import ApprovalSettings
from agent.settings.database import DatabaseSettings
from agent.settings.execution import ExecutionSettings
from agent.settings.guards import GuardSettings
from agent.settings.integration import IntegrationSettings
from agent.settings.logs import LoggingSettings
from agent.settings.mail import MailSettings
from agent.settings.messaging import MessagingSettings
from agent.settings.models import ModelSettings
from agent.settings.monitoring import MonitoringSettings
from agent.settings.optimization import OptimizationSettings
from agent.settings.orchestration import OrchestrationSettings
from agent.settings.platforms import PlatformSettings
from agent.settings.privacy import PrivacySettings
from agent.settings.serving import ServingSettings
from agent.settings.sync import SyncSettings
from agent.settings.tools import ToolSettings
from agent.settings.turns import TurnSettings
from agent.text.faults import words

GROUPS = (
    DatabaseSettings,
    ModelSettings,
    TurnSettings,
    ExecutionSettings,
    ApprovalSettings,
    GuardSettings,
    PrivacySettings,
    ToolSettings,
    MailSettings,
    MessagingSettings,
    MonitoringSettings,
    ServingSettings,
    SyncSettings,
    AnalyticsSettings,
    OrchestrationSettings,
    OptimizationSettings,
    IntegrationSettings,
    PlatformSettings,
    LoggingSettings,
)


class Settings(
    DatabaseSettings,
    ModelSettings,
    TurnSettings,
    ExecutionSettings,
    ApprovalSettings,
    GuardSettings,
    PrivacySettings,
    ToolSettings,
    MailSettings,
    MessagingSettings,
    MonitoringSettings,
    ServingSettings,
    SyncSettings,
    AnalyticsSettings,
    OrchestrationSettings,
    OptimizationSettings,
    IntegrationSettings,
    PlatformSettings,
    LoggingSettings,
    BaseSettings,
):
    """Frozen settings. Environment variables and `.env` use the names of `variable_name`; keyword arguments the fields' names.

    Raises `pydantic.ValidationError`; `Settings.load()` turns that into `ConfigurationError`.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_prefix="AGENT_", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """Read the environment. Raises `ConfigurationError` naming each wrong variable, never its value."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # validated by pydantic
        except ValidationError as error:
            problems = "; ".join(f"{_variable_of(item['loc'])}: {words(item)}" for item in error.errors())
            raise ConfigurationError(f"Correct these settings in the environment or .env: {problems}") from None
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(
                f"The file '.env' cannot be read ({type(error).__name__}): it must be a text file in UTF-8."
            ) from None


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return str(Settings.model_fields[name].validation_alias or f"AGENT_{name.upper()}")


def env_example() -> str:
    """Return the text of `.env.example`: every setting with its meaning and its default."""
    lines = ["# Copy this file to .env and uncomment what you need. Every setting is optional."]
    for group in GROUPS:
        lines += ["", f"## {group.__doc__}"]
        for name, field in group.model_fields.items():
            default = "" if field.default is None or field.default_factory is not None else field.default
            shown = str(default).lower() if isinstance(default, bool) else default
            shown = f"{shown:g}" if isinstance(shown, float) else shown
            lines += ["", f"# {field.description}", f"# {variable_name(name)}={shown}"]
    return "\n".join(lines) + "\n"


def _variable_of(location: tuple[int | str, ...]) -> str:
    name, *rest = map(str, location)
    return ".".join([variable_name(name) if name in Settings.model_fields else name, *rest])
