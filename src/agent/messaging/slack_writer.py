"""Writes an answer in a Slack thread while it is made: by Slack's own streams, or by editing a message where it has none.

A stream takes Markdown, so what could be a link, an image or a mention in the model's text is taken apart: a picture's address
would carry data away, and a link can say another target than it has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from agent.messaging.base import TryLater, Undeliverable
from agent.messaging.rendering import pieces
from agent.messaging.slack_blocks import escaped
from agent.messaging.slack_events import telling
from agent.text.visible import clean

_MOST_TEXT = 3_000
_EDIT_SECONDS = 1.5
_LIVE = re.compile(r"\](?=[(\[:])|:(?=//)|@(?=\w)")
_APART = "\u2060"

Send = Callable[[str, str | None], Awaitable[str]]


def metadata_of(marker: str | None) -> dict[str, Any] | None:
    """Return what lets a message be found again, if it has a marker."""
    return None if marker is None else {"event_type": "agent_message", "event_payload": {"marker": marker}}


def inert_markdown(text: str) -> str:
    """Return Markdown in which there is no link, no image, no mention and no tag."""
    return _LIVE.sub(lambda match: f"{match.group()}{_APART}", escaped(clean(text)))


class SlackWriter:
    """Writes one answer. `send` posts a text with a marker in the thread, for what is not streamed."""

    def __init__(self, client: AsyncWebClient, event: dict[str, Any], team: str, send: Send) -> None:
        self._client, self._send = client, send
        self._channel, self._thread = str(event["channel"]), str(event.get("thread_ts") or event["ts"])
        self._user, self._team = str(event.get("user", "")), team
        self._ts = ""
        self._streams = False
        self._written, self._written_at = "", 0.0

    async def show(self, text: str) -> None:
        """Show the answer as far as it is written; what is too long for one message comes at the end."""
        content = inert_markdown(text)
        too_soon = not self._streams and time.monotonic() - self._written_at < _EDIT_SECONDS
        if len(content) > _MOST_TEXT or (self._ts and too_soon):
            return
        async with telling():
            if not self._ts:
                await self._begin(content)
            elif self._streams and content.startswith(self._written):
                await self._client.chat_appendStream(
                    channel=self._channel, ts=self._ts, markdown_text=content[len(self._written) :]
                )
            else:
                await self._edit(content, None)
        self._written, self._written_at = content, time.monotonic()

    async def finish(self, text: str, marker: str) -> str:
        """Show the whole answer, and return the message with its beginning."""
        if not self._ts:
            return await self._send(text, marker)
        first, *more = pieces(text, limit=_MOST_TEXT // 2) or [" "]
        whole = inert_markdown(first)
        try:
            async with telling():
                await self._end(whole, None if more else marker)
        except Undeliverable as error:  # the streamed message was deleted, or the service has ended it
            raise TryLater(str(error)) from error
        for place, piece in enumerate(more, start=1):
            await self._send(piece, marker if place == len(more) else None)
        return f"{self._channel}/{self._ts}"

    async def _begin(self, content: str) -> None:
        try:
            begun = await self._client.chat_startStream(
                channel=self._channel, thread_ts=self._thread, recipient_user_id=self._user, recipient_team_id=self._team,
                markdown_text=content,
            )  # fmt: skip
            self._streams = True
        except SlackApiError as error:
            if error.response.status_code == 429:
                raise
            begun = await self._client.chat_postMessage(
                channel=self._channel, thread_ts=self._thread, text=content, mrkdwn=False, unfurl_links=False
            )
        self._ts = str(begun["ts"])

    async def _end(self, content: str, marker: str | None) -> None:
        if not self._streams or not content.startswith(self._written):
            await self._edit(content, marker)
            return
        rest = content[len(self._written) :]
        await self._client.chat_stopStream(
            channel=self._channel, ts=self._ts, markdown_text=rest or None, metadata=metadata_of(marker)
        )
        self._streams = False

    async def _edit(self, content: str, marker: str | None) -> None:
        if self._streams:
            await self._client.chat_stopStream(channel=self._channel, ts=self._ts)
            self._streams = False
        await self._client.chat_update(channel=self._channel, ts=self._ts, text=content, metadata=metadata_of(marker))
