"""Slack by slack-bolt: in Socket Mode no public address is needed; with a signing secret instead, Slack calls our server.

Any number of processes may connect. A connection that hears nothing for long is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from aiohttp import WSMessage
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncBoltRequest
from slack_sdk.errors import SlackClientError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from agent.concurrency import background
from agent.errors import AgentError, NotAuthenticated
from agent.messaging.base import Call, Inbox, Reply, Service, Tap
from agent.messaging.rendering import Card, pieces
from agent.messaging.slack_blocks import (
    MOST_EDITED,
    blocks_of,
    details_view,
    edit_view,
    escaped,
    fallback_of,
    notice_view,
    reason_view,
)
from agent.messaging.slack_events import reaction_in, said_in, submitted_in, tap_in, telling
from agent.messaging.slack_writer import SlackWriter, metadata_of
from agent.text.visible import clean

_MOST_TEXT = 3_000
_MOST_HISTORY, _PAGES = 200, 5
_WATCH_SECONDS, _SILENT_SECONDS = 15.0, 600.0
_CLOSE_SECONDS = 4.0
_CLOCKS_APART_SECONDS = 120
_PATIENCE_SECONDS = 2.7
_STAMP = re.compile(r"\d{1,12}", re.ASCII)
_log = structlog.get_logger(__name__)


class Slack(Service):
    """One Slack app in one workspace."""

    name = "slack"

    def __init__(
        self, bot_token: str, app_token: str | None, *, signing_secret: str | None = None, places: tuple[str, ...] = (),
        url: str, silent_seconds: float = _SILENT_SECONDS,
    ) -> None:  # fmt: skip
        self.places = places
        self._app_token, self._signing_secret = app_token, signing_secret
        # A retry by the client would post a message twice when only the answer was lost.
        self._client = AsyncWebClient(bot_token, base_url=url, retry_handlers=[], timeout=9)
        self._tasks: set[asyncio.Task[None]] = set()
        self._bolt: AsyncApp | None = None
        self._silent_seconds = silent_seconds
        self._heard = 0.0
        self._team = ""

    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Post a request."""
        async with telling():
            sent = await self._client.chat_postMessage(
                channel=place, text=fallback_of(card), blocks=blocks_of(card, token), unfurl_links=False, unfurl_media=False,
                metadata=metadata_of(marker),
            )  # fmt: skip
        # A message to a person goes to the conversation with them, which has an id of its own.
        return f"{sent['channel']}/{sent['ts']}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Edit a message."""
        channel, _, ts = message_id.rpartition("/")
        async with telling():
            await self._client.chat_update(
                channel=channel or place, ts=ts, text=fallback_of(card), blocks=blocks_of(card, token)
            )

    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> str:
        """Send a text in as many messages as it needs; the last one has the marker."""
        posted = ""
        channel, _, ts = (under or "").rpartition("/")
        parts = pieces(clean(text), limit=_MOST_TEXT // 2)
        for number, piece in enumerate(parts, start=1):
            metadata = metadata_of(marker if number == len(parts) else None)
            async with telling():
                sent = await self._client.chat_postMessage(
                    channel=channel or place, text=escaped(piece), thread_ts=ts or None, mrkdwn=False, unfurl_links=False, metadata=metadata,
                )  # fmt: skip
            posted = f"{sent['channel']}/{sent['ts']}"
        return posted

    async def find(self, place: str, marker: str, since: datetime, *, under: str | None = None) -> str | None:
        """Look a marker up in what was written since."""
        channel, _, thread = (under or "").rpartition("/")
        oldest, cursor = str(since.timestamp() - _CLOCKS_APART_SECONDS), ""
        async with telling():
            if not channel:
                channel = await self._conversation(place)
            for _ in range(_PAGES):
                values: dict[str, Any] = {
                    "channel": channel,
                    "oldest": oldest,
                    "limit": _MOST_HISTORY,
                    "include_all_metadata": True,
                }
                if cursor:
                    values["cursor"] = cursor
                found = await (
                    self._client.conversations_replies(ts=thread, **values)
                    if thread
                    else self._client.conversations_history(**values)
                )
                for message in found["messages"]:
                    if _marker_in(message) == marker:
                        return f"{channel}/{message['ts']}"
                cursor = (found.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    break
        return None

    async def _conversation(self, place: str) -> str:
        """Return the conversation of a place: a channel is one, and a person has one with the bot."""
        if not place.startswith(("U", "W")):
            return place
        opened = await self._client.conversations_open(users=place)
        return str(opened["channel"]["id"])

    async def check(self) -> str:
        """Return the bot and its workspace."""
        async with telling():
            me = await self._client.auth_test()
            if self._app_token is not None:
                await self._client.apps_connections_open(app_token=self._app_token)
        self._team = str(me["team_id"])
        return f"{me['user']} in {me['team']}"

    async def receive(self, inbox: Inbox) -> None:
        """Hold a Socket Mode connection; one that hears nothing for long is made anew. Without an app token, Slack calls us."""
        await self.check()
        if self._app_token is None:
            await asyncio.Event().wait()
        handler = AsyncSocketModeHandler(self._app(inbox), self._app_token)
        handler.client.on_message_listeners.append(self._note_heard)
        self._heard = time.monotonic()
        try:
            await handler.client.connect()  # type: ignore[no-untyped-call]  # the library has no annotation
            while True:
                await asyncio.sleep(min(_WATCH_SECONDS, self._silent_seconds))
                if time.monotonic() - self._heard > self._silent_seconds:
                    _log.warning("slack_connection_silent", seconds=self._silent_seconds)
                    self.reconnects += 1
                    self._heard = time.monotonic()
                    await handler.client.connect_to_new_endpoint(force=True)
        finally:
            await handler.client.close()  # type: ignore[no-untyped-call]  # the library has no annotation

    async def called(self, call: Call, inbox: Inbox) -> Reply:
        """Take in what Slack sends to our server. Raises `NotAuthenticated` unless Slack signed it in the last five minutes."""
        if self._signing_secret is None or self._app_token is not None:
            return await super().called(call, inbox)
        headers = {name.lower(): value for name, value in call.headers.items()}
        signature = headers.get("x-slack-signature", "")
        body = call.body.decode("utf-8", "replace")
        stamp = headers.get("x-slack-request-timestamp", "")
        verifier = SignatureVerifier(self._signing_secret)
        if not (_STAMP.fullmatch(stamp) and signature.isascii()) or not verifier.is_valid(call.body, stamp, signature):
            raise NotAuthenticated("Slack did not sign this, or more than five minutes ago.")
        if not await inbox.first_time(f"signed/{signature}"):
            raise NotAuthenticated("This came in before.")
        self._bolt = self._bolt or self._app(inbox)
        given = AsyncBoltRequest(body=body, headers={name: [value] for name, value in headers.items()})
        answer = await self._bolt.async_dispatch(given)
        kind = answer.first_headers().get("content-type", "text/plain")
        return Reply(status=answer.status, body=answer.body or "", kind=kind)

    async def close(self) -> None:
        """Let what is worked on end."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _note_heard(self, _message: WSMessage) -> None:
        self._heard = time.monotonic()

    def _app(self, inbox: Inbox) -> AsyncApp:
        logger = logging.getLogger("agent.slack_bolt")
        logger.setLevel(logging.ERROR)
        # A call to our server is verified before it comes here.
        app = AsyncApp(client=self._client, logger=logger, request_verification_enabled=False)

        async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
            if await self._taken_in(tap_in(body), inbox):
                await ack()

        async def opened(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            view = await self._view(body["actions"][0]["action_id"], tap_in(body), inbox)
            with suppress(SlackClientError):
                await self._client.views_open(trigger_id=body["trigger_id"], view=view)

        async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
            if await self._taken_in(submitted_in(body), inbox):
                await ack()

        async def said(ack: AsyncAck, event: dict[str, Any]) -> None:
            await ack()
            background(self._said(event, inbox), self._tasks)

        app.action("approve")(approve)
        app.event("reaction_added")(self._on_reaction(inbox))
        for name in ("reject", "edit", "details"):
            app.action(name)(opened)
        for name in ("reject", "edit"):
            app.view(name)(submitted)
        for name in ("app_mention", "message"):
            app.event(name)(said)
        return app

    async def _view(self, name: str, tap: Tap, inbox: Inbox) -> dict[str, Any]:
        """Return the window that a button opens."""
        if name == "reject":
            return reason_view(tap)
        try:
            shown = await inbox.looked(tap)
        except AgentError as error:
            return notice_view(str(error))
        if name == "details":
            return details_view(shown)
        if len(shown.editable) > MOST_EDITED:
            return notice_view(f"This is too long for a form: write edit {shown.approval_id} and the new text to me.")
        return edit_view(tap, shown)

    async def _taken_in(self, tap: Tap, inbox: Inbox) -> bool:
        """Begin to carry a decision out, and return whether it survives this process.

        What is not acknowledged in three seconds is shown to the person as failed, and they try again.
        """
        noted = asyncio.Event()
        background(self._tapped(tap, inbox, noted), self._tasks)
        with suppress(TimeoutError):
            await asyncio.wait_for(noted.wait(), _PATIENCE_SECONDS)
        return noted.is_set()

    async def _tapped(self, tap: Tap, inbox: Inbox, noted: asyncio.Event) -> None:
        try:
            text = await inbox.tapped(tap, noted)
            async with telling():
                await self._client.chat_postEphemeral(channel=tap.place, user=tap.account, text=escaped(clean(text)))
        except AgentError as error:
            _log.warning("slack_reply_failed", error=str(error))
        except Exception:  # one tap must not end the others
            _log.exception("slack_tap_failed")

    def _on_reaction(self, inbox: Inbox) -> Callable[[AsyncAck, dict[str, Any]], Awaitable[None]]:
        async def reacted(ack: AsyncAck, event: dict[str, Any]) -> None:
            await ack()
            background(self._reacted(event, inbox), self._tasks)

        return reacted

    async def _reacted(self, event: dict[str, Any], inbox: Inbox) -> None:
        reaction = reaction_in(event)
        if reaction is None:
            return
        try:
            if reply := await inbox.reacted(reaction):
                channel = reaction.message_id.rpartition("/")[0]
                async with telling():
                    await self._client.chat_postEphemeral(
                        channel=channel, user=reaction.account, text=escaped(clean(reply))
                    )
        except AgentError as error:
            _log.warning("slack_reply_failed", error=str(error))
        except Exception:  # one reaction must not end the others
            _log.exception("slack_reaction_failed")

    async def _said(self, event: dict[str, Any], inbox: Inbox) -> None:
        said = said_in(event)
        if said is None:
            return

        async def send(text: str, marker: str | None) -> str:
            return await self.send(said.place, text, under=said.under, marker=marker)

        try:
            if reply := await inbox.said(said, SlackWriter(self._client, event, self._team, send)):
                await send(reply, None)
        except AgentError as error:
            _log.warning("slack_reply_failed", error=str(error))
        except Exception:  # one message must not end the others
            _log.exception("slack_message_failed")


def _marker_in(message: dict[str, Any]) -> str:
    return str(((message.get("metadata") or {}).get("event_payload") or {}).get("marker", ""))
