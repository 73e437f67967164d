"""Settings: where people are asked and answer besides the terminal and the API."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator


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

    @field_validator("telegram_url", "slack_url", "alert_slack_url", "alert_telegram_url")
    @classmethod
    def _are_addresses(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not text.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("must begin with https://")
        return value
