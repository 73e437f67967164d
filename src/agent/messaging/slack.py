"""Slack by slack-bolt and Socket Mode: no public address is needed, and any number of processes may connect."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiohttp import ClientError, WSMessage
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from agent.concurrency import background
from agent.errors import AgentError
from agent.messaging.base import Inbox, MessageGone, Said, Tap, TryLater, Undeliverable
from agent.messaging.rendering import Card, pieces
from agent.messaging.slack_blocks import blocks_of, escaped, fallback_of, reason_view
from agent.text.visible import clean

_MOST_TEXT = 3_000
_WATCH_SECONDS, _SILENT_SECONDS = 15.0, 600.0
_CLOSE_SECONDS = 4.0
_log = structlog.get_logger(__name__)
# What must be done, by Slack's name of the error.
_REASONS = {
    "invalid_auth": "Slack does not know the token: correct AGENT_SLACK_BOT_TOKEN or AGENT_SLACK_APP_TOKEN.",
    "not_authed": "Slack got no token: set AGENT_SLACK_BOT_TOKEN.",
    "token_revoked": "The token was revoked: install the app in the workspace again, and set the new token.",
    "account_inactive": "The app was removed from the workspace: install it again.",
    "not_in_channel": "The bot is not in the channel: type /invite and its name there.",
    "channel_not_found": "There is no such channel, or it is private and the bot is not in it: correct AGENT_SLACK_CHANNELS or invite the bot.",
    "is_archived": "The channel is archived: name another one in AGENT_SLACK_CHANNELS.",
    "missing_scope": "The app lacks a permission (docs/slack.md lists them): add it, and install the app again.",
    "not_allowed_token_type": "The tokens are the wrong way round: AGENT_SLACK_BOT_TOKEN begins with xoxb-, AGENT_SLACK_APP_TOKEN with xapp-.",
}
_AWAY = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited"}


class Slack:
    """One Slack app in one workspace."""

    name = "slack"

    def __init__(self, bot_token: str, app_token: str, *, places: tuple[str, ...] = (), url: str) -> None:
        self.places = places
        self._app_token = app_token
        # A retry by the client would post a message twice when only the answer was lost.
        self._client = AsyncWebClient(bot_token, base_url=url, retry_handlers=[], timeout=20)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = 0.0

    async def post(self, place: str, card: Card, token: str | None) -> str:
        """Post a request."""
        async with _telling():
            sent = await self._client.chat_postMessage(
                channel=place, text=fallback_of(card), blocks=blocks_of(card, token), unfurl_links=False, unfurl_media=False
            )  # fmt: skip
        # A message to a person goes to the conversation with them, which has an id of its own.
        return f"{sent['channel']}/{sent['ts']}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Edit a message."""
        channel, _, ts = message_id.rpartition("/")
        async with _telling():
            await self._client.chat_update(
                channel=channel or place, ts=ts, text=fallback_of(card), blocks=blocks_of(card, token)
            )

    async def send(self, place: str, text: str, *, thread: str | None = None) -> None:
        """Send a text in as many messages as it needs."""
        for piece in pieces(clean(text), limit=_MOST_TEXT // 2):
            async with _telling():
                await self._client.chat_postMessage(
                    channel=place, text=escaped(piece), thread_ts=thread, mrkdwn=False, unfurl_links=False
                )

    async def check(self) -> str:
        """Return the bot and its workspace."""
        async with _telling():
            me = await self._client.auth_test()
            await self._client.apps_connections_open(app_token=self._app_token)
        return f"{me['user']} in {me['team']}"

    async def receive(self, inbox: Inbox) -> None:
        """Hold a Socket Mode connection; one that hears nothing for long is made anew."""
        await self.check()
        handler = AsyncSocketModeHandler(self._app(inbox), self._app_token)
        handler.client.on_message_listeners.append(self._note_heard)
        self._heard = time.monotonic()
        try:
            await handler.client.connect()  # type: ignore[no-untyped-call]  # the library has no annotation
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                if time.monotonic() - self._heard > _SILENT_SECONDS:
                    _log.warning("slack_connection_silent", seconds=_SILENT_SECONDS)
                    self._heard = time.monotonic()
                    await handler.client.connect_to_new_endpoint(force=True)
        finally:
            await handler.client.close()  # type: ignore[no-untyped-call]  # the library has no annotation

    async def close(self) -> None:
        """Let what is worked on end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)

    async def _note_heard(self, _message: WSMessage) -> None:
        self._heard = time.monotonic()

    def _app(self, inbox: Inbox) -> AsyncApp:
        logger = logging.getLogger("agent.slack_bolt")
        logger.setLevel(logging.ERROR)
        app = AsyncApp(client=self._client, logger=logger)

        async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            background(self._tapped(_tap(body), inbox), self._tasks)

        async def reject(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            tap = _tap(body)
            with suppress(SlackClientError):
                await self._client.views_open(trigger_id=body["trigger_id"], view=reason_view(tap))

        async def reason(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            background(self._tapped(_with_reason(body), inbox), self._tasks)

        async def said(ack: AsyncAck, event: dict[str, Any]) -> None:
            await ack()
            background(self._said(event, inbox), self._tasks)

        app.action("approve")(approve)
        app.action("reject")(reject)
        app.view("reject")(reason)
        app.event("app_mention")(said)
        app.event("message")(said)
        return app

    async def _tapped(self, tap: Tap, inbox: Inbox) -> None:
        try:
            text = await inbox.tapped(tap)
            async with _telling():
                await self._client.chat_postEphemeral(channel=tap.place, user=tap.account, text=escaped(clean(text)))
        except AgentError as error:
            _log.warning("slack_reply_failed", error=str(error))
        except Exception:  # one tap must not end the others
            _log.exception("slack_tap_failed")

    async def _said(self, event: dict[str, Any], inbox: Inbox) -> None:
        said = _said_in(event)
        if said is None:
            return
        try:
            if reply := await inbox.said(said):
                await self.send(said.place, reply, thread=event.get("thread_ts") or event["ts"])
        except AgentError as error:
            _log.warning("slack_reply_failed", error=str(error))
        except Exception:  # one message must not end the others
            _log.exception("slack_message_failed")


@asynccontextmanager
async def _telling() -> AsyncIterator[None]:
    """Turn Slack's errors into ours, which say who must do what."""
    try:
        yield
    except SlackApiError as error:
        reason = str(error.response.get("error", ""))
        if error.response.status_code == 429 or reason == "ratelimited":
            seconds = float(error.response.headers.get("Retry-After", 1))
            raise TryLater(f"Slack asks to wait {seconds:g} s.", seconds=seconds) from None
        if reason in ("message_not_found", "cant_update_message"):
            raise MessageGone("The message was deleted.") from None
        if reason in _AWAY or error.response.status_code >= 500:
            raise TryLater(f"Slack is away ({reason}).") from None
        raise Undeliverable(_REASONS.get(reason, f"Slack refuses the message: {reason}.")) from None
    except (SlackClientError, ClientError, TimeoutError, OSError, ValueError) as error:
        raise TryLater(f"Slack is not reached ({type(error).__name__}).") from None


def _tap(body: dict[str, Any]) -> Tap:
    action = body["actions"][0]
    channel = body["channel"]["id"]
    return Tap(
        account=body["user"]["id"], token=str(action.get("value", "")), decision="reject" if action["action_id"] == "reject" else "approve",
        place=channel, message_id=f"{channel}/{body['message']['ts']}",
    )  # fmt: skip


def _with_reason(body: dict[str, Any]) -> Tap:
    """Return the rejection of a submitted form; who submits it is who opened it."""
    known = json.loads(body["view"]["private_metadata"])
    comment = body["view"]["state"]["values"]["reason"]["text"]["value"]
    return Tap(
        account=body["user"]["id"], token=known["token"], decision="reject", comment=(comment or "").strip() or None,
        place=known["place"], message_id=known["message_id"],
    )  # fmt: skip


def _said_in(event: dict[str, Any]) -> Said | None:
    """Return what a person wrote, or None for what a bot wrote and for edits, joins and the like."""
    if event.get("subtype") or event.get("bot_id") or not event.get("user"):
        return None
    private, mention = event.get("channel_type") == "im", event["type"] == "app_mention"
    channel, ts, thread = event["channel"], event["ts"], event.get("thread_ts")
    text = " ".join(word for word in str(event.get("text", "")).split(" ") if not (mention and word.startswith("<@")))
    return Said(
        account=event["user"], place=channel, text=_unescaped(text), private=private, key=f"{channel}/{ts}",
        conversation=channel if private and not thread else f"{channel}-{(thread or ts).replace('.', '-')}",
        answers=f"{channel}/{thread}" if thread else None, addressed=private or mention,
    )  # fmt: skip


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
