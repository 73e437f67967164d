"""Settings: how the application and the agent are watched, and who hears of it."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import check_signing_secret
from agent.types import RiskLevel

_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)(?: (\S+))?")


class MonitoringSettings(BaseModel):
    """How the application and the agent are watched, and who hears of it."""

    monitor_minutes: float = Field(
        5.0, ge=0, le=1_440, description="Minutes between two runs of the monitor in `agent serve`; 0 ends it."
    )
    monitor_skip: str = Field("", description="Comma-separated names of checks that the monitor leaves out.")
    monitor_statement_seconds: float = Field(
        3.0, gt=0, le=60, description="Most seconds that one statement of the monitor may take on the application."
    )
    alert_from: RiskLevel = Field("MEDIUM", description="Least severity of an alert that is sent to anybody.")
    alert_quiet_hours: str = Field(
        "",
        description="Hours in which only CRITICAL alerts are sent, such as 22:00-07:00 Europe/Berlin (UTC without a zone).",
    )
    alert_emails: str = Field("", description="Comma-separated addresses that get alerts by mail.")
    alert_webhook_url: SecretStr | None = Field(None, description="Address that gets each alert as signed JSON.")
    alert_webhook_secret: SecretStr | None = Field(
        None, description="Secret of the signatures of AGENT_ALERT_WEBHOOK_URL: whsec_ and at least 24 bytes in base64."
    )

    @field_validator("alert_quiet_hours")
    @classmethod
    def _are_hours_of_alerts(cls, value: str) -> str:
        if not value.strip():
            return ""
        found = _QUIET.fullmatch(value.strip())
        if found is None:
            raise ValueError("must have the form 22:00-07:00 or 22:00-07:00 Europe/Berlin")
        try:
            ZoneInfo(found[5] or "UTC")
        except (KeyError, ValueError, OSError):
            raise ValueError("must name a time zone such as Europe/Berlin") from None
        return value.strip()

    @field_validator("alert_webhook_secret")
    @classmethod
    def _signs_alerts(cls, value: SecretStr | None) -> SecretStr | None:
        return check_signing_secret(value)

    @field_validator("alert_webhook_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("must begin with https://")
        return value
