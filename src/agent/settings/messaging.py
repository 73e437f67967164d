"""Settings: where people are asked and answer besides the terminal and the API."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import check_signing_secret


def check_hours(text: str) -> str:
    """Return quiet hours as they are written, '' for none. Raises `ValueError`."""
    if text and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
        raise ValueError("must be hours such as 22:00-07:00")
    return text


def check_zone(name: str) -> str:
    """Return the name of a time zone. Raises `ValueError`."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Berlin") from None
    return name


class MessagingSettings(BaseModel):
    """Where people are asked and answer besides the terminal and the API."""

    telegram_token: SecretStr | None = Field(
        None,
        description="Token of a Telegram bot (from @BotFather). With it `agent serve` asks and answers in Telegram.",
    )
    telegram_chats: str = Field(
        "",
        description="Comma-separated ids of Telegram chats that get the requests. Empty: each linked person who may decide.",
    )
    telegram_webhook_secret: SecretStr | None = Field(
        None,
        description="A secret of your own (A-Z, a-z, 0-9, _ and -). With it Telegram calls /messaging/telegram of AGENT_PUBLIC_URL.",
    )
    telegram_url: str = Field("https://api.telegram.org", description="Address of Telegram's Bot API.")
    slack_bot_token: SecretStr | None = Field(
        None, description="Bot token of a Slack app (xoxb-...). With it and the app token, the agent asks in Slack."
    )
    slack_app_token: SecretStr | None = Field(
        None, description="App token of the Slack app (xapp-...), for Socket Mode: no public address is needed."
    )
    slack_channels: str = Field(
        "",
        description="Comma-separated ids of Slack channels that get the requests. Empty: each linked person who may decide.",
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        description="Signing secret of the Slack app. With it and without an app token, Slack calls /messaging/slack of this server.",
    )
    slack_url: str = Field("https://slack.com/api/", description="Address of Slack's Web API.")
    messaging_personal: bool = Field(
        default=False, description="Show personal values in messages to people who have the role personal."
    )

    alert_slack_url: SecretStr | None = Field(
        None, description="Incoming webhook of Slack that gets each request and its outcome as text, without buttons."
    )
    alert_telegram_url: SecretStr | None = Field(
        None,
        description="Address https://api.telegram.org/bot<token>/sendMessage?chat_id=<chat> that gets the same.",
    )

    webhook_url: SecretStr | None = Field(
        None, description="Address that gets each request and its outcome as JSON, signed with AGENT_WEBHOOK_SECRET."
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Secret of the signatures of AGENT_WEBHOOK_URL: whsec_ and at least 24 bytes in base64."
    )
    email_approvers: str = Field(
        "",
        description="Comma-separated name=address of people who get a mail with a link to each request that they may decide.",
    )
    messaging_quiet: str = Field(
        "", description="Quiet hours, such as 22:00-07:00: until they end, only requests that cannot wait are posted."
    )
    messaging_timezone: str = Field("UTC", description="Time zone of the quiet hours, such as Europe/Berlin.")

    @field_validator("messaging_quiet")
    @classmethod
    def _are_hours(cls, value: str) -> str:
        return check_hours(value)

    @field_validator("messaging_timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        return check_zone(value)

    @field_validator("webhook_secret")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        return check_signing_secret(value)

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _is_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", value.get_secret_value()):
            raise ValueError("must be 16 to 256 of A-Z, a-z, 0-9, _ and -")
        return value

    @field_validator("telegram_url", "slack_url", "alert_slack_url", "alert_telegram_url", "webhook_url")
    @classmethod
    def _are_addresses(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and not text.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("must begin with https://")
        return value
