"""Telegram by aiogram and long polling: no public address is needed.

Telegram lets one process poll a bot, so the processes agree on one by a row of the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from aiogram.types import LinkPreviewOptions as Previews

from agent.concurrency import background
from agent.messaging.base import Inbox, MessageGone, Said, Tap, TryLater, Undeliverable
from agent.messaging.rendering import Card, as_html, inert, pieces
from agent.text.visible import clean

_MOST_TEXT, _MOST_NOTICE = 4_096, 190
_POLL_SECONDS, _NOT_MINE_SECONDS = 10, 5.0
_ANSWER_SECONDS = 4.0
_NO_PREVIEW = Previews(is_disabled=True)
_DECISIONS: dict[str, Literal["approve", "reject"]] = {"y": "approve", "n": "reject"}
_log = structlog.get_logger(__name__)


class Telegram:
    """One Telegram bot."""

    name = "telegram"

    def __init__(self, token: str, *, places: tuple[str, ...] = (), url: str) -> None:
        self.places = places
        self._bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(url)))
        self._me = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def post(self, place: str, card: Card, token: str | None) -> str:
        """Send a request."""
        async with _telling(place):
            sent = await self._bot.send_message(
                place, as_html(card, limit=_MOST_TEXT), parse_mode="HTML", reply_markup=_buttons(token), link_preview_options=_NO_PREVIEW
            )  # fmt: skip
        return f"{sent.chat.id}/{sent.message_id}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Edit a message."""
        number = int(message_id.rpartition("/")[2])
        with suppress(_Unchanged):
            async with _telling(place):
                await self._bot.edit_message_text(
                    as_html(card, limit=_MOST_TEXT), chat_id=place, message_id=number, parse_mode="HTML",
                    reply_markup=_buttons(token), link_preview_options=_NO_PREVIEW,
                )  # fmt: skip

    async def send(self, place: str, text: str) -> None:
        """Send a text in as many messages as it needs."""
        for piece in pieces(inert(clean(text)), limit=_MOST_TEXT):
            async with _telling(place):
                await self._bot.send_message(place, piece, link_preview_options=_NO_PREVIEW)

    async def check(self) -> str:
        """Return the bot's name."""
        async with _telling("the bot"):
            me = await self._bot.get_me()
        return f"@{me.username}"

    async def receive(self, inbox: Inbox) -> None:
        """Poll, as long as no other process does; each update is worked on by itself."""
        offset: int | None = None
        while True:
            if not await inbox.may_receive():
                await asyncio.sleep(_NOT_MINE_SECONDS)
                continue
            self._me = self._me or (await self.check()).removeprefix("@")
            async with _telling("the bot"):
                updates = await self._bot.get_updates(
                    offset, timeout=_POLL_SECONDS, allowed_updates=["message", "callback_query"], request_timeout=_POLL_SECONDS + 10
                )  # fmt: skip
            for update in updates:
                offset = update.update_id + 1
                background(self._received(update, inbox), self._tasks)

    async def close(self) -> None:
        """Let what is worked on end, then close the session."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ANSWER_SECONDS)
        await self._bot.session.close()

    async def _received(self, update: Update, inbox: Inbox) -> None:
        try:
            if update.callback_query is not None:
                await self._tapped(update.callback_query, inbox)
            elif update.message is not None:
                await self._said(update.message, inbox, key=str(update.update_id))
        except Exception:  # one update must not end the others
            _log.exception("telegram_update_failed", update_id=update.update_id)

    async def _tapped(self, query: CallbackQuery, inbox: Inbox) -> None:
        kind, _, token = (query.data or "").partition(":")
        if query.message is None or kind not in _DECISIONS:
            await self._notice(query, "This button is out of date.")
            return
        tap = Tap(
            account=str(query.from_user.id), token=token, decision=_DECISIONS[kind],
            place=str(query.message.chat.id), message_id=f"{query.message.chat.id}/{query.message.message_id}",
        )  # fmt: skip
        work = asyncio.ensure_future(inbox.tapped(tap))
        done, _pending = await asyncio.wait([work], timeout=_ANSWER_SECONDS)
        await self._notice(
            query, work.result() if done else "It is being carried out: the message will say how it ended."
        )
        await work

    async def _notice(self, query: CallbackQuery, text: str) -> None:
        """Answer a tap. A tap can be answered once and for a short time; the message says the rest."""
        with suppress(AiogramError):
            await self._bot.answer_callback_query(query.id, text=text[:_MOST_NOTICE], show_alert=len(text) > 60)

    async def _said(self, message: Message, inbox: Inbox, *, key: str) -> None:
        if message.text is None or message.from_user is None or message.from_user.is_bot:
            return
        private = message.chat.type == "private"
        answers = message.reply_to_message
        to_me = answers is not None and answers.from_user is not None and answers.from_user.username == self._me
        text, mentioned = _without_mention(message.text, self._me)
        if not (private or mentioned or to_me or text.startswith("/")):
            return
        said = Said(
            account=str(message.from_user.id), place=str(message.chat.id), text=text, private=private, key=key,
            conversation=str(message.chat.id), answers=f"{message.chat.id}/{answers.message_id}" if to_me and answers else None,
        )  # fmt: skip
        if reply := await inbox.said(said):
            await self.send(said.place, reply)


class _Unchanged(Exception):
    """The message shows this already."""


@asynccontextmanager
async def _telling(place: str) -> AsyncIterator[None]:
    """Turn aiogram's errors into ours, which say who must do what."""
    try:
        yield
    except TelegramRetryAfter as error:
        raise TryLater(f"Telegram asks to wait {error.retry_after} s.", seconds=float(error.retry_after)) from error
    except TelegramForbiddenError as error:
        raise Undeliverable(
            f"The bot may not write to {place!r}: the person has blocked it or never started it, or it was removed from the group."
        ) from error
    except (TelegramUnauthorizedError, TelegramNotFound) as error:
        raise Undeliverable("Telegram does not know the bot: correct AGENT_TELEGRAM_TOKEN.") from error
    except TelegramBadRequest as error:
        reason = error.message.lower()
        if "not modified" in reason:
            raise _Unchanged from error
        if "message to edit not found" in reason or "message can't be edited" in reason:
            raise MessageGone(f"The message in {place!r} was deleted.") from error
        if "chat not found" in reason:
            raise Undeliverable(
                f"There is no chat {place!r}, or the bot is not in it: correct AGENT_TELEGRAM_CHATS."
            ) from error
        raise Undeliverable(f"Telegram refuses the message: {error.message}") from error
    except (AiogramError, TimeoutError, OSError) as error:
        raise TryLater(f"Telegram is not reached ({type(error).__name__}).") from error


def _buttons(token: str | None) -> InlineKeyboardMarkup | None:
    if token is None:
        return None
    approve = InlineKeyboardButton(text="Approve", callback_data=f"y:{token}", style="success")
    reject = InlineKeyboardButton(text="Reject", callback_data=f"n:{token}", style="danger")
    return InlineKeyboardMarkup(inline_keyboard=[[approve, reject]])


def _without_mention(text: str, name: str) -> tuple[str, bool]:
    """Return a text without a mention of the bot, and whether there was one."""
    mention = f"@{name}"
    words = text.split(" ")
    kept = [word for word in words if word.lower().rstrip(",:") != mention.lower()]
    return " ".join(kept).strip(), len(kept) < len(words)
