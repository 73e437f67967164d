"""Telegram by aiogram: by long polling no public address is needed; with a webhook secret instead, Telegram calls our server.

Telegram lets one process poll a bot, so the processes agree on one by a row of the database. It cannot be asked what was
posted; but it lets the buttons be taken off any message of the bot, and ids grow, so that lost copies are found by trying.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageReactionUpdated,
    ReactionTypeEmoji,
    ReplyParameters,
    Update,
)
from aiogram.types import LinkPreviewOptions as Previews
from pydantic import ValidationError

from agent.concurrency import background
from agent.errors import AgentError, ConfigurationError, InvalidInput, NotAuthenticated
from agent.messaging.base import (
    Call,
    Inbox,
    MessageGone,
    Reaction,
    Reply,
    Said,
    Service,
    Shown,
    Tap,
    TryLater,
    Undeliverable,
    Verb,
)
from agent.messaging.rendering import Card, as_html, inert, pieces
from agent.messaging.telegram_writer import TelegramWriter
from agent.text.visible import clean

_MOST_TEXT, _MOST_NOTICE = 4_096, 190
_POLL_SECONDS, _NOT_MINE_SECONDS = 5, 2.0
_ANSWER_SECONDS, _REQUEST_SECONDS = 4.0, 9.0
_NOTED_SECONDS = 60.0
_NO_PREVIEW = Previews(is_disabled=True)
_DECISIONS: dict[str, Verb] = {"y": "approve", "n": "reject"}
_UPDATES = ["message", "callback_query", "message_reaction"]
_THUMBS = {"\U0001f44d": True, "\U0001f44e": False}
_log = structlog.get_logger(__name__)


class Telegram(Service):
    """One Telegram bot."""

    name = "telegram"
    notes_first = True
    hold = timedelta(seconds=2 * _REQUEST_SECONDS + 3)

    def __init__(
        self, token: str, *, places: tuple[str, ...] = (), url: str, webhook_secret: str | None = None, public_url: str = ""
    ) -> None:  # fmt: skip
        self.places = places
        session = AiohttpSession(api=TelegramAPIServer.from_base(url), timeout=_REQUEST_SECONDS)
        self._bot = Bot(token, session=session)
        self._webhook_secret, self._public_url = webhook_secret, public_url.rstrip("/")
        self._me = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Send a request."""
        del marker
        async with telling(place):
            sent = await self._bot.send_message(
                place, as_html(card, limit=_MOST_TEXT), parse_mode="HTML", reply_markup=_buttons(token), link_preview_options=_NO_PREVIEW
            )  # fmt: skip
        return f"{sent.chat.id}/{sent.message_id}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Edit a message."""
        with suppress(_Unchanged):
            async with telling(place):
                await self._bot.edit_message_text(
                    as_html(card, limit=_MOST_TEXT), chat_id=place, message_id=_number(message_id), parse_mode="HTML",
                    reply_markup=_buttons(token), link_preview_options=_NO_PREVIEW,
                )  # fmt: skip

    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> str:
        """Send a text in as many messages as it needs."""
        del marker
        posted = ""
        reply = ReplyParameters(message_id=_number(under), allow_sending_without_reply=True) if under else None
        for piece in pieces(inert(clean(text)), limit=_MOST_TEXT):
            async with telling(place):
                sent = await self._bot.send_message(
                    place, piece, link_preview_options=_NO_PREVIEW, reply_parameters=reply
                )
            posted = f"{place}/{sent.message_id}"
        return posted

    async def check(self) -> str:
        """Return the bot's name."""
        async with telling("the bot"):
            me = await self._bot.get_me()
        return f"@{me.username}"

    async def receive(self, inbox: Inbox) -> None:
        """Poll, as long as no other process does; each update is worked on by itself. With a secret, Telegram calls us."""
        self._me = (await self.check()).removeprefix("@")
        if self._webhook_secret is not None:
            await self._ask_to_be_called(self._webhook_secret)
            await asyncio.Event().wait()
        async with telling("the bot"):
            await self._bot.delete_webhook()
        offset: int | None = None
        while True:
            if not await inbox.may_receive():
                await asyncio.sleep(_NOT_MINE_SECONDS)
                continue
            async with telling("the bot"):
                updates = await self._bot.get_updates(
                    offset, timeout=_POLL_SECONDS, allowed_updates=_UPDATES, request_timeout=_POLL_SECONDS + 5
                )
            noted = [self._begin(update, inbox) for update in updates]
            offset = updates[-1].update_id + 1 if updates else offset
            # The next request confirms these updates, so decisions must survive this process before it.
            with suppress(TimeoutError):
                async with asyncio.timeout(_NOTED_SECONDS):
                    await asyncio.gather(*(one.wait() for one in noted))

    async def called(self, call: Call, inbox: Inbox) -> Reply:
        """Take in what Telegram sends to our server. Raises `NotAuthenticated` without the secret that it was told."""
        if self._webhook_secret is None:
            return await super().called(call, inbox)
        headers = {name.lower(): value for name, value in call.headers.items()}
        given = headers.get("x-telegram-bot-api-secret-token", "")
        if not hmac.compare_digest(given.encode(), self._webhook_secret.encode()):
            raise NotAuthenticated(
                "Telegram did not send this: it has not the secret of AGENT_TELEGRAM_WEBHOOK_SECRET."
            )
        try:
            update = Update.model_validate_json(call.body, context={"bot": self._bot})
        except ValidationError:
            raise InvalidInput("This is no update of Telegram's Bot API.") from None
        if await inbox.first_time(f"update/{update.update_id}"):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._begin(update, inbox).wait(), _ANSWER_SECONDS)
        return Reply()

    async def close(self) -> None:
        """Let what is worked on end, then close the session."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_ANSWER_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._bot.session.close()

    async def _ask_to_be_called(self, secret: str) -> None:
        if not self._public_url:
            raise ConfigurationError("AGENT_TELEGRAM_WEBHOOK_SECRET needs AGENT_PUBLIC_URL, where Telegram calls us.")
        url = f"{self._public_url}/messaging/telegram"
        async with telling("the bot"):
            await self._bot.set_webhook(url, secret_token=secret, allowed_updates=_UPDATES)

    def _begin(self, update: Update, inbox: Inbox) -> asyncio.Event:
        """Begin to work on an update. Return an event: from then on its decision survives this process."""
        noted = asyncio.Event()
        background(self._received(update, inbox, noted), self._tasks)
        return noted

    async def _received(self, update: Update, inbox: Inbox, noted: asyncio.Event) -> None:
        try:
            if update.callback_query is not None:
                await self._tapped(update.callback_query, inbox, noted)
            elif update.message_reaction is not None:
                noted.set()
                await self._reacted(update.message_reaction, inbox, key=str(update.update_id))
            elif update.message is not None:
                noted.set()
                await self._said(update.message, inbox, key=str(update.update_id))
        except Exception:  # one update must not end the others
            _log.exception("telegram_update_failed", update_id=update.update_id)
        finally:
            noted.set()

    async def _tapped(self, query: CallbackQuery, inbox: Inbox, noted: asyncio.Event) -> None:
        kind, _, token = (query.data or "").partition(":")
        if query.message is None or kind not in {*_DECISIONS, "e", "d"}:
            await self._notice(query, "This button is out of date.")
            return
        place = str(query.message.chat.id)
        tap = Tap(
            account=str(query.from_user.id), token=token, decision=_DECISIONS.get(kind, "edit"), place=place,
            message_id=f"{place}/{query.message.message_id}",
        )  # fmt: skip
        if kind in ("e", "d"):
            noted.set()
            await self._look(query, tap, inbox, edits=kind == "e")
            return
        work = asyncio.ensure_future(inbox.tapped(tap, noted))
        done, _pending = await asyncio.wait([work], timeout=_ANSWER_SECONDS)
        await self._notice(
            query, work.result() if done else "It is being carried out: the message will say how it ended."
        )
        await work

    async def _reacted(self, given: MessageReactionUpdated, inbox: Inbox, *, key: str) -> None:
        """Take in a thumb under a message. Nothing is said to it: the thumb itself is seen."""
        before = {one.emoji for one in given.old_reaction if isinstance(one, ReactionTypeEmoji)}
        new = [
            one.emoji for one in given.new_reaction if isinstance(one, ReactionTypeEmoji) and one.emoji not in before
        ]
        thumbs = [_THUMBS[emoji] for emoji in new if emoji in _THUMBS]
        if given.user is not None and not given.user.is_bot and len(thumbs) == 1:
            message_id = f"{given.chat.id}/{given.message_id}"
            await inbox.reacted(Reaction(account=str(given.user.id), message_id=message_id, right=thumbs[0], key=key))

    async def _look(self, query: CallbackQuery, tap: Tap, inbox: Inbox, *, edits: bool) -> None:
        """Send all of a request, or what to edit, to the person alone: a group may see less than they."""
        try:
            shown = await inbox.looked(tap)
            await self.send(tap.account, _how_to_edit(shown) if edits else shown.text)
            await self._notice(query, "I have sent it to you in private.")
        except AgentError as error:
            await self._notice(query, str(error))

    async def _notice(self, query: CallbackQuery, text: str) -> None:
        """Answer a tap. A tap can be answered once and for a short time; the message says the rest."""
        with suppress(AiogramError):
            await self._bot.answer_callback_query(query.id, text=text[:_MOST_NOTICE], show_alert=len(text) > 60)

    async def _said(self, message: Message, inbox: Inbox, *, key: str) -> None:
        if message.text is None or message.from_user is None or message.from_user.is_bot:
            return
        private, chat = message.chat.type == "private", str(message.chat.id)
        answers = message.reply_to_message
        to_me = answers is not None and answers.from_user is not None and answers.from_user.username == self._me
        text, mentioned = _without_mention(message.text, self._me)
        if not (private or mentioned or to_me or text.startswith("/")):
            return
        said = Said(
            account=str(message.from_user.id), place=chat, text=text, private=private, key=key, conversation=chat,
            answers=f"{chat}/{answers.message_id}" if to_me and answers else None,
            under=None if private else f"{chat}/{message.message_id}",
        )  # fmt: skip
        writer = TelegramWriter(self._bot, said, message.message_id, self.send)
        if reply := await inbox.said(said, writer):
            await self.send(chat, reply, under=said.under)


class _Unchanged(Exception):
    """The message shows this already."""


@asynccontextmanager
async def telling(place: str) -> AsyncIterator[None]:
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
    except TelegramConflictError as error:
        raise TryLater(
            "Another program polls this bot or has set a webhook: stop it, or make a bot of its own for it."
        ) from error
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
        raise TryLater(f"Telegram is not reached ({type(error).__name__}).", unsure=True) from error


def _buttons(token: str | None) -> InlineKeyboardMarkup | None:
    if token is None:
        return None
    approve = InlineKeyboardButton(text="Approve", callback_data=f"y:{token}", style="success")
    reject = InlineKeyboardButton(text="Reject", callback_data=f"n:{token}", style="danger")
    more = [InlineKeyboardButton(text=text, callback_data=f"{text[0].lower()}:{token}") for text in ("Edit", "Details")]
    return InlineKeyboardMarkup(inline_keyboard=[[approve, reject], more])


def _how_to_edit(shown: Shown) -> str:
    return f"Write the next line to me, with what should be done instead:\n/edit {shown.approval_id} {shown.editable}"


def _number(message_id: str) -> int:
    return int(message_id.rpartition("/")[2])


def _without_mention(text: str, name: str) -> tuple[str, bool]:
    """Return a text without a mention of the bot, and whether there was one."""
    mention = f"@{name}"
    words = text.split(" ")
    kept = [word for word in words if word.lower().rstrip(",:") != mention.lower()]
    return " ".join(kept).strip(), len(kept) < len(words)
