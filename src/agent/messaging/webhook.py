"""Addresses that are only told: texts in the form of Slack's incoming webhooks and Telegram's `sendMessage`, and signed JSON.

The addresses are settings and carry the secret, so they stand in no log and no error. Nobody can answer here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from agent.messaging.base import Inbox, Service
from agent.messaging.posting import post_json, signature
from agent.messaging.rendering import Card, inert
from agent.messaging.slack_blocks import escaped
from agent.text.visible import clean

Kind = Literal["slack-webhook", "telegram-webhook"]
_SETTINGS = {
    "slack-webhook": "AGENT_ALERT_SLACK_URL",
    "telegram-webhook": "AGENT_ALERT_TELEGRAM_URL",
    "webhook": "AGENT_WEBHOOK_URL",
}


class _Address(Service):
    """One address that takes what is sent to it. Its only place is the address itself."""

    places = ("alerts",)
    asks = False

    def __init__(self, name: str, url: str) -> None:
        self.name, self._url = name, url

    async def check(self) -> str:
        """Return what this is: an address says nothing about itself."""
        return f"the address in {_SETTINGS[self.name]}"

    async def receive(self, inbox: Inbox) -> None:
        """Nothing comes in."""
        del inbox
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""

    async def _put(self, body: bytes, headers: Mapping[str, str]) -> None:
        await post_json(self._url, body, headers, name=self.name, setting=_SETTINGS[self.name])


class Alerts(_Address):
    """Gets each request and how it ended as a text."""

    def __init__(self, kind: Kind, url: str) -> None:
        super().__init__(kind, url)

    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Send a request as a text; it says where to decide."""
        del token
        text = "\n".join((f"🚨 {card.headline}", card.summary, *card.warnings, *card.facts))
        await self._tell(text, severity=card.risk)
        return f"{place}/{marker}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Send how the request ended: a text that was sent cannot be changed."""
        del place, message_id, token
        if card.ended:
            await self._tell(f"{card.headline}: {card.outcome}", severity="INFO")

    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> None:
        """Send a text."""
        del place, under, marker
        await self._tell(text, severity="INFO")

    async def _tell(self, text: str, *, severity: str) -> None:
        body = (
            {"text": escaped(clean(text)), "severity": severity}
            if self.name == "slack-webhook"
            else {"text": inert(clean(text))[:4_000]}
        )
        await self._put(json.dumps(body).encode(), {})


class SignedWebhook(_Address):
    """Gets each request and how it ended as JSON, signed as standardwebhooks.com describes.

    A message has one `webhook-id`, so that a receiver can tell what it got twice.
    """

    def __init__(self, url: str, key: bytes) -> None:
        super().__init__("webhook", url)
        self._key = key

    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Send a request."""
        del token
        await self._event("approval.requested", f"{marker}-requested", card)
        return f"{place}/{marker}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Send how the request ended."""
        del place, token
        if card.ended:
            await self._event("approval.ended", f"{message_id.rpartition('/')[2]}-ended", card)

    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> None:
        """Send a text."""
        del place, under
        await self._signed("message", marker or hashlib.sha256(text.encode()).hexdigest()[:32], {"text": clean(text)})

    async def _event(self, kind: str, identifier: str, card: Card) -> None:
        data = {
            "approval_id": card.number, "status": card.status, "risk": card.risk, "headline": card.headline,
            "summary": card.summary, "statement": card.code, "changes": card.changes, "warnings": card.warnings,
            "facts": card.facts, "outcome": card.outcome,
        }  # fmt: skip
        await self._signed(kind, identifier, data)

    async def _signed(self, kind: str, identifier: str, data: dict[str, Any]) -> None:
        body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data}).encode()
        await self._put(body, signature(self._key, identifier, body))
