"""Serve Telegram's Bot API on loopback for tests: real HTTP, with the service's limits and failures.

    async with TelegramServer() as server:
        settings = Settings(telegram_token=server.token, telegram_url=server.url, ...)
        server.say(chat=7, user=7, text="/pending")
        server.tap(user=7, message=server.chats["7"][0], button="Approve")

What it refuses is what the service refuses: markup it does not know, texts and buttons that are too long, edits that change
nothing, a second answer to one tap, two processes that poll at the same time.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiohttp import web

BOT = {"id": 99, "is_bot": True, "first_name": "Agent", "username": "agent_bot"}
_TAG = re.compile(r"</?(?:b|i|pre|code)>")
_MOST_TEXT, _MOST_DATA = 4_096, 64


@dataclass(slots=True)
class Sent:
    """A message in a chat as people see it. `text` has no markup."""

    chat: str
    id: int
    text: str
    buttons: dict[str, str]
    edits: int = 0
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How one request fails; `lost` does what it asks for and drops the answer."""

    status: int = 500
    description: str = "Internal Server Error"
    retry_after: int | None = None
    lost: bool = False


class _Refused(Exception):
    """The service refuses a request."""


@dataclass(slots=True)
class TelegramServer:
    """A server of the methods that the agent uses. `failures` holds those of the next requests of each method."""

    token: str = "42:AAtesting-token-of-the-local-server-xyz"  # noqa: S105  # of no service
    chats: dict[str, list[Sent]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    drafts: list[str] = field(default_factory=list)
    webhook: dict[str, str] = field(default_factory=dict)
    polled_at_once: int = 0
    _updates: list[dict[str, Any]] = field(default_factory=list)
    _answered: set[str] = field(default_factory=set)
    _ids: count[int] = field(default_factory=lambda: count(1))
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _polling: int = 0
    _runner: web.AppRunner | None = None
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._called)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._news.set()
        assert self._runner is not None  # noqa: S101  # entered before it is left
        await self._runner.cleanup()

    def say(self, *, chat: int, user: int, text: str, answers: Sent | None = None) -> dict[str, Any]:
        """Let a user write a text. Return the update, which `redeliver` brings again."""
        message = self._message(chat, user, text)
        if answers is not None:
            message["reply_to_message"] = self._message(chat, BOT["id"], answers.text, number=answers.id)
        return self._add({"message": message})

    def tap(self, *, user: int, message: Sent, button: str = "", data: str | None = None) -> dict[str, Any]:
        """Let a user tap a button, or send other `data` as a forged client does."""
        shown = self._message(int(message.chat), BOT["id"], message.text, number=message.id)
        query = {
            "id": str(next(self._ids)), "from": self._user(user), "chat_instance": "1", "message": shown,
            "data": message.buttons[button] if data is None else data,
        }  # fmt: skip
        return self._add({"callback_query": query})

    def react(self, *, user: int, message: Sent, emoji: str) -> dict[str, Any]:
        """Let a user react to a message. Return the update, which `redeliver` brings again."""
        chat = self._message(int(message.chat), user, "")["chat"]
        given = {"type": "emoji", "emoji": emoji}
        changed = {
            "chat": chat,
            "message_id": message.id,
            "user": self._user(user),
            "date": 1,
            "old_reaction": [],
            "new_reaction": [given],
        }
        return self._add({"message_reaction": changed})

    def redeliver(self, update: dict[str, Any]) -> None:
        """Deliver an update again, as the service does if nobody confirmed it."""
        self._updates.append(update)
        self._news.set()

    def live_buttons(self) -> list[Sent]:
        """Return the messages that still have buttons."""
        return [sent for chat in self.chats.values() for sent in chat if sent.buttons]

    async def _called(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != self.token:
            return _error(401, "Unauthorized")
        given = {name: str(value) for name, value in (await request.post()).items()}
        self.calls.append(method)
        planned = self.failures.get(method)
        failure = planned.pop(0) if planned else None
        if failure is not None and not failure.lost:
            return _error(failure.status, failure.description, failure.retry_after)
        try:
            result = await self._done(method, given)
        except _Refused as refused:
            statuses = {"Forbidden": 403, "Conflict": 409}
            return _error(statuses.get(str(refused).partition(":")[0], 400), str(refused))
        if failure is not None:
            assert request.transport is not None  # noqa: S101  # the request has just come in
            request.transport.close()
        return web.json_response({"ok": True, "result": result})

    async def _done(self, method: str, given: dict[str, str]) -> Any:
        if method == "getUpdates":
            return await self._poll(given)
        methods: dict[str, Callable[[dict[str, str]], Any]] = {
            "getMe": lambda _: BOT, "sendMessage": self._send, "editMessageText": self._edit,
            "editMessageReplyMarkup": lambda given: self._edit(given, markup_only=True), "sendMessageDraft": self._draft,
            "setWebhook": self._hook, "deleteWebhook": lambda _: self._hook({}), "answerCallbackQuery": self._answer,
        }  # fmt: skip
        if method not in methods:
            raise _Refused(f"Bad Request: the local server does not know {method}")
        return methods[method](given)

    def _hook(self, given: dict[str, str]) -> bool:
        self.webhook = given
        return True

    async def _poll(self, given: dict[str, str]) -> list[dict[str, Any]]:
        if self.webhook:
            raise _Refused(
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first"
            )
        offset, seconds = int(given.get("offset", 0)), float(given.get("timeout", 0))
        self._polling += 1
        self.polled_at_once = max(self.polled_at_once, self._polling)
        try:
            self._updates = [one for one in self._updates if one["update_id"] >= offset or one.get("again")]
            if not self._updates:
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), min(seconds, 2))
                except TimeoutError:
                    return []
            return [{name: value for name, value in one.items() if name != "again"} for one in self._updates]
        finally:
            self._polling -= 1
            self._updates = [one for one in self._updates if not one.pop("again", False)]

    def _send(self, given: dict[str, str]) -> dict[str, Any]:
        chat = given["chat_id"]
        if chat in self.blocked:
            raise _Refused("Forbidden: bot was blocked by the user")
        sent = Sent(chat, next(self._ids), _plain(given), _buttons(given))
        self.chats.setdefault(chat, []).append(sent)
        return self._message(int(chat), BOT["id"], sent.text, number=sent.id)

    def _draft(self, given: dict[str, str]) -> bool:
        if int(given["chat_id"]) < 0 or int(given["draft_id"]) == 0:
            raise _Refused("Bad Request: drafts are for private chats")
        self.drafts.append(_plain(given))
        return True

    def _edit(self, given: dict[str, str], *, markup_only: bool = False) -> dict[str, Any]:
        chat = given["chat_id"]
        found = [sent for sent in self.chats.get(chat, []) if sent.id == int(given["message_id"])]
        if not found:
            raise _Refused("Bad Request: message to edit not found")
        text, buttons = found[0].text if markup_only else _plain(given), _buttons(given)
        if (text, buttons) == (found[0].text, found[0].buttons):
            raise _Refused("Bad Request: message is not modified")
        found[0].text, found[0].buttons, found[0].edits = text, buttons, found[0].edits + 1
        return self._message(int(chat), BOT["id"], text, number=found[0].id)

    def _answer(self, given: dict[str, str]) -> bool:
        if given["callback_query_id"] in self._answered:
            raise _Refused("Bad Request: query is too old and response timeout expired or query ID is invalid")
        if len(given.get("text", "")) > 200:
            raise _Refused("Bad Request: MESSAGE_TOO_LONG")
        self._answered.add(given["callback_query_id"])
        self.notices.append(given.get("text", ""))
        return True

    def _add(self, update: dict[str, Any]) -> dict[str, Any]:
        update["update_id"] = next(self._ids)
        self.redeliver(update)
        return update

    def _message(self, chat: int, user: Any, text: str, *, number: int | None = None) -> dict[str, Any]:
        kind = {"type": "private", "first_name": f"u{chat}"} if chat > 0 else {"type": "group", "title": "group"}
        return {
            "message_id": number or next(self._ids), "date": 1, "chat": {"id": chat, **kind}, "text": text,
            "from": BOT if user == BOT["id"] else self._user(user),
        }  # fmt: skip

    @staticmethod
    def _user(user: int) -> dict[str, Any]:
        return {"id": user, "is_bot": False, "first_name": f"u{user}"}


def _plain(given: dict[str, str]) -> str:
    """Return a text without its markup. Raises `_Refused` for a text that the service refuses."""
    text = given["text"]
    if given.get("parse_mode") == "HTML":
        text = _TAG.sub("", text)
        if "<" in text:
            raise _Refused("Bad Request: can't parse entities")
        text = html.unescape(text)
    if not text.strip():
        raise _Refused("Bad Request: message text is empty")
    if len(text) > _MOST_TEXT:
        raise _Refused("Bad Request: message is too long")
    return text


def _buttons(given: dict[str, str]) -> dict[str, str]:
    markup = json.loads(given.get("reply_markup") or "{}")
    found = {one["text"]: one["callback_data"] for row in markup.get("inline_keyboard", []) for one in row}
    if any(len(data.encode()) > _MOST_DATA for data in found.values()):
        raise _Refused("Bad Request: BUTTON_DATA_INVALID")
    return found


def _error(status: int, description: str, retry_after: int | None = None) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if retry_after is not None:
        body["parameters"] = {"retry_after": retry_after}
    return web.json_response(body, status=status)
