"""Where alerts go: chats of Slack and Telegram, plain addresses, mail. One line each in `receivers_of`.

The two plain addresses get the forms that the requirements show. A secret that stands in an address stands in no log and no error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Protocol

from agent.messaging.base import Service, TryLater
from agent.messaging.posting import post_json, signature
from agent.messaging.rendering import inert
from agent.messaging.slack_blocks import escaped
from agent.monitoring.records import Alert
from agent.providers.mail import deliver, route_of
from agent.settings import Settings
from agent.settings.values import names_in, signing_key
from agent.text.visible import clean, one_line

_MOST_TEXT = 3_000


class Receiver(Protocol):
    """Takes alerts. Its method raises `Undeliverable` or `TryLater`."""

    @property
    def service(self) -> str: ...

    @property
    def places(self) -> tuple[str, ...]: ...

    async def tell(self, place: str, text: str, alert: Alert) -> None:
        """Tell `text` about an alert."""
        ...


@dataclass(frozen=True, slots=True)
class Chat:
    """The places of a bot."""

    bot: Service

    @property
    def service(self) -> str:
        return self.bot.name

    @property
    def places(self) -> tuple[str, ...]:
        return self.bot.places

    async def tell(self, place: str, text: str, alert: Alert) -> None:
        """Send a message."""
        del alert
        await self.bot.send(place, clean(text)[:_MOST_TEXT])


@dataclass(frozen=True, slots=True)
class Address:
    """A plain address of Slack, of Telegram, or of anybody, who gets JSON with a signature."""

    service: str
    url: str
    setting: str
    key: bytes = b""
    places: tuple[str, ...] = ("alerts",)

    async def tell(self, place: str, text: str, alert: Alert) -> None:
        """Post the alert in the form that the address expects."""
        del place
        body = json.dumps(_body(self.service, text, alert), ensure_ascii=False).encode()
        headers = signature(self.key, _change_of(alert), body) if self.key else {}
        await post_json(self.url, body, headers, name=self.service, setting=self.setting)


def _body(service: str, text: str, alert: Alert) -> Mapping[str, Any]:
    if service == "slack-webhook":
        return {"text": escaped(clean(text))[:_MOST_TEXT], "severity": alert.severity}
    if service == "telegram-webhook":
        return {"text": inert(clean(text))[:_MOST_TEXT]}
    return {**alert.as_dict(), "text": clean(text), "episode": alert.episode}


@dataclass(frozen=True, slots=True)
class Mail:
    """Addresses that get a mail for each change of an alert."""

    settings: Settings
    places: tuple[str, ...]
    service: str = "email"

    async def tell(self, place: str, text: str, alert: Alert) -> None:
        """Send a mail. The same change of an alert has the same Message-ID, so that a mailbox shows it once."""
        route = route_of(self.settings)
        message = EmailMessage()
        message["From"], message["To"] = route.sender if route else "agent@localhost", place
        message["Subject"] = one_line(f"[{alert.severity}] {alert.message}", 150)
        message["Date"] = formatdate(localtime=False)
        digest = hashlib.sha256(f"{_change_of(alert)}/{place}".encode()).hexdigest()
        message["Message-ID"] = f"<alert-{digest[:32]}@agent.invalid>"
        message.set_content(clean(text))
        delivery = await deliver(message, (place,), settings=self.settings)
        if delivery.status == "not-sent":
            raise TryLater(delivery.detail)


def _change_of(alert: Alert) -> str:
    """Return what names one change of an alert: what is sent twice about it is one message."""
    return f"{alert.id}/{alert.status}/{alert.severity}/{alert.episode}"


def receivers_of(settings: Settings, bots: tuple[Service, ...]) -> tuple[Receiver, ...]:
    """Return who gets alerts, by the settings; `bots` are the services that the courier has."""
    found: list[Receiver] = [Chat(bot) for bot in bots if bot.name in ("slack", "telegram")]
    if settings.alert_slack_url:
        found.append(Address("slack-webhook", settings.alert_slack_url.get_secret_value(), "AGENT_ALERT_SLACK_URL"))
    if settings.alert_telegram_url:
        url = settings.alert_telegram_url.get_secret_value()
        found.append(Address("telegram-webhook", url, "AGENT_ALERT_TELEGRAM_URL"))
    if settings.alert_webhook_url:
        secret = settings.alert_webhook_secret
        url, key = (
            settings.alert_webhook_url.get_secret_value(),
            signing_key(secret.get_secret_value()) if secret else b"",
        )
        found.append(Address("alert-webhook", url, "AGENT_ALERT_WEBHOOK_URL", key))
    if settings.alert_emails:
        found.append(Mail(settings, names_in(settings.alert_emails)))
    return tuple(found)
