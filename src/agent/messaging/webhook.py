"""Alerts without a bot: each request as a text to an incoming webhook of Slack, or to Telegram's plain `sendMessage`.

The addresses are settings and carry the secret, so they stand in no log and no error. Nobody can answer here.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import aiohttp

from agent.messaging.base import Inbox, TryLater, Undeliverable
from agent.messaging.rendering import Card, inert
from agent.messaging.slack_blocks import escaped
from agent.text.visible import clean

_SECONDS = 20
Kind = Literal["slack-webhook", "telegram-webhook"]


class Webhook:
    """One address that takes texts. Its only place is the address itself."""

    places = ("alerts",)

    def __init__(self, kind: Kind, url: str) -> None:
        self.name: str = kind
        self._kind, self._url = kind, url

    async def post(self, place: str, card: Card, token: str | None) -> str:
        """Send a request as a text; it says where to decide."""
        del token
        text = "\n".join((f"🚨 {card.headline}", card.summary, *card.warnings, *card.facts))
        await self._send(text, severity=card.headline.split(" · ")[1].removesuffix(" risk"))
        return f"{place}/sent"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Send how the request ended: a text that was sent cannot be changed."""
        del place, message_id, token
        if card.outcome and not card.outcome.endswith("is being carried out."):
            await self._send(f"{card.headline}: {card.outcome}", severity="INFO")

    async def send(self, place: str, text: str) -> None:
        """Send a text."""
        del place
        await self._send(text, severity="INFO")

    async def check(self) -> str:
        """Return what this is: an address says nothing about itself."""
        return (
            f"the address in {'AGENT_ALERT_SLACK_URL' if self._kind == 'slack-webhook' else 'AGENT_ALERT_TELEGRAM_URL'}"
        )

    async def receive(self, inbox: Inbox) -> None:
        """Nothing comes in."""
        del inbox
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""

    async def _send(self, text: str, *, severity: str) -> None:
        body = (
            {"text": escaped(clean(text)), "severity": severity}
            if self._kind == "slack-webhook"
            else {"text": inert(clean(text))[:4_000]}
        )
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
                session.post(self._url, json=body, allow_redirects=False) as answer,
            ):
                status, after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TryLater(f"{self.name} is not reached ({type(error).__name__}).") from None
        if status == 429 or status >= 500:
            raise TryLater(f"{self.name} answers {status}.", seconds=float(after) if after.isdecimal() else None)
        if status >= 300:
            raise Undeliverable(
                f"{self.name} refuses the text ({status}): correct {(await self.check()).removeprefix('the address in ')}."
            )
