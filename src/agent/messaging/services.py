"""The messaging services, one line each; one whose token is not set is not even imported."""

from __future__ import annotations

from agent.messaging.base import Service
from agent.settings import Settings


def services_of(settings: Settings) -> tuple[Service, ...]:
    """Return the services that the settings have a token for."""
    builders = (_telegram, _slack, _slack_webhook, _telegram_webhook)
    return tuple(service for build in builders if (service := build(settings)) is not None)


def _telegram(settings: Settings) -> Service | None:
    if settings.telegram_token is None:
        return None
    from agent.messaging.telegram import Telegram  # start-up: aiogram is slow to import

    return Telegram(
        settings.telegram_token.get_secret_value(), places=_listed(settings.telegram_chats), url=settings.telegram_url
    )


def _slack(settings: Settings) -> Service | None:
    if settings.slack_bot_token is None or settings.slack_app_token is None:
        return None
    from agent.messaging.slack import Slack  # start-up: slack_bolt is slow to import

    return Slack(
        settings.slack_bot_token.get_secret_value(), settings.slack_app_token.get_secret_value(),
        places=_listed(settings.slack_channels), url=settings.slack_url,
    )  # fmt: skip


def _slack_webhook(settings: Settings) -> Service | None:
    if settings.alert_slack_url is None:
        return None
    from agent.messaging.webhook import Webhook  # start-up: aiohttp is slow to import

    return Webhook("slack-webhook", settings.alert_slack_url.get_secret_value())


def _telegram_webhook(settings: Settings) -> Service | None:
    if settings.alert_telegram_url is None:
        return None
    from agent.messaging.webhook import Webhook  # start-up: aiohttp is slow to import

    return Webhook("telegram-webhook", settings.alert_telegram_url.get_secret_value())


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
