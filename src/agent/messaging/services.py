"""The messaging services, one line each; one whose settings are not there is not even imported."""

from __future__ import annotations

from pydantic import SecretStr

from agent.messaging.base import Service
from agent.settings import Settings
from agent.settings.values import signing_key

ASKING = ("slack", "telegram", "email")


def services_of(settings: Settings) -> tuple[Service, ...]:
    """Return the services that are set up, in the order in which a person is asked."""
    builders = (_slack, _telegram, _email, _slack_webhook, _telegram_webhook, _webhook)
    return tuple(service for build in builders if (service := build(settings)) is not None)


def _slack(settings: Settings) -> Service | None:
    app_token, signing_secret = _secret(settings.slack_app_token), _secret(settings.slack_signing_secret)
    if settings.slack_bot_token is None or not (app_token or signing_secret):
        return None
    from agent.messaging.slack import Slack  # start-up: slack_bolt is slow to import

    return Slack(
        settings.slack_bot_token.get_secret_value(), app_token, signing_secret=signing_secret,
        places=_listed(settings.slack_channels), url=settings.slack_url,
    )  # fmt: skip


def _telegram(settings: Settings) -> Service | None:
    if settings.telegram_token is None:
        return None
    from agent.messaging.telegram import Telegram  # start-up: aiogram is slow to import

    return Telegram(
        settings.telegram_token.get_secret_value(), places=_listed(settings.telegram_chats), url=settings.telegram_url,
        webhook_secret=_secret(settings.telegram_webhook_secret), public_url=settings.public_url,
    )  # fmt: skip


def _email(settings: Settings) -> Service | None:
    if not settings.email_approvers:
        return None
    from agent.messaging.email import Email  # start-up: the mail library is slow to import

    return Email(settings)


def _slack_webhook(settings: Settings) -> Service | None:
    if settings.alert_slack_url is None:
        return None
    from agent.messaging.webhook import Alerts  # start-up: aiohttp is slow to import

    return Alerts("slack-webhook", settings.alert_slack_url.get_secret_value())


def _telegram_webhook(settings: Settings) -> Service | None:
    if settings.alert_telegram_url is None:
        return None
    from agent.messaging.webhook import Alerts  # start-up: aiohttp is slow to import

    return Alerts("telegram-webhook", settings.alert_telegram_url.get_secret_value())


def _webhook(settings: Settings) -> Service | None:
    url, secret = _secret(settings.webhook_url), _secret(settings.webhook_secret)
    if url is None or secret is None:
        return None
    from agent.messaging.webhook import SignedWebhook  # start-up: aiohttp is slow to import

    return SignedWebhook(url, signing_key(secret))


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
