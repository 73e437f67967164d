"""Writes an answer in Telegram while it is made: as a draft in private chats, by editing a message elsewhere.

A draft vanishes after half a minute, so the answer ends as a message.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest
from aiogram.types import LinkPreviewOptions, ReplyParameters

from agent.messaging.base import Said, TryLater
from agent.messaging.rendering import inert, pieces
from agent.text.visible import clean

_MOST_TEXT = 4_096
_EDIT_SECONDS = 3.0  # a group takes twenty messages a minute
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class _Send(Protocol):
    async def __call__(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> str: ...


class TelegramWriter:
    """Writes one answer to the message `number`. `send` sends a text in as many messages as it needs."""

    def __init__(self, bot: Bot, said: Said, number: int, send: _Send) -> None:
        self._bot, self._said, self._number, self._send = bot, said, number, send
        self._message = 0
        self._written, self._written_at = "", 0.0

    async def show(self, text: str) -> None:
        """Show the answer as far as it is written; what is too long for one message comes at the end."""
        content = inert(clean(text))
        if len(content) > _MOST_TEXT:
            return
        with suppress(AiogramError, TimeoutError, OSError):  # the whole answer comes at the end
            if self._said.private:
                await self._bot.send_message_draft(int(self._said.place), self._number, text=content)
            elif time.monotonic() - self._written_at >= _EDIT_SECONDS:
                await self._write(content)
                self._written_at = time.monotonic()

    async def finish(self, text: str, marker: str) -> str:
        """Show the whole answer, and return the message with its beginning."""
        if not self._message:
            return await self._send(self._said.place, text, under=self._said.under, marker=marker)
        first, *more = pieces(inert(clean(text)), limit=_MOST_TEXT) or [" "]
        try:
            await self._write(first)
        except (AiogramError, TimeoutError, OSError) as error:
            raise TryLater(f"Telegram is not reached ({type(error).__name__}).") from error
        for piece in more:
            await self._send(self._said.place, piece, under=self._said.under)
        return f"{self._said.place}/{self._message}"

    async def _write(self, content: str) -> None:
        if content == self._written:
            return
        if not self._message:
            reply = ReplyParameters(message_id=self._number, allow_sending_without_reply=True)
            sent = await self._bot.send_message(
                self._said.place, content, link_preview_options=_NO_PREVIEW, reply_parameters=reply
            )
            self._message = sent.message_id
        else:
            with suppress(TelegramBadRequest):  # it shows this already, or was deleted
                await self._bot.edit_message_text(
                    content, chat_id=self._said.place, message_id=self._message, link_preview_options=_NO_PREVIEW
                )
        self._written = content
