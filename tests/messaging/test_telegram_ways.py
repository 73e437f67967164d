"""The other ways of Telegram: drafts, edited answers in groups, Edit and Details in private, and calls to our server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.messaging.conftest import (
    ANA,
    BO,
    CHANGE,
    STRANGER,
    ask,
    changed,
    link,
    messaging,
    posted_in_telegram,
    status,
    until,
    with_telegram,
)

from agent.messaging.base import TryLater
from agent.messaging.telegram import Telegram, telling
from agent.runtime import Runtime
from agent.testing.scripted_model import scripted_client
from agent.testing.served import served
from agent.testing.telegram_server import TelegramServer

HOOK = "a-secret-of-the-webhook"


async def test_an_answer_is_a_draft_in_private_and_an_edited_reply_in_a_group(
    notes: Runtime, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.messaging.telegram_writer._EDIT_SECONDS", 0.2)
    words = "Look at https://evil.example/a and @everyone: " + "w " * 14
    runtime = replace(
        with_telegram(notes, telegram), model=scripted_client([words, words], delay=0.08), cached={}
    )  # fmt: skip
    await link(runtime, "telegram", 1, "olga")
    async with messaging(runtime):
        telegram.say(chat=1, user=1, text="How many notes?")
        private = await until(lambda: next(iter(telegram.chats.get("1", [])), None))
        assert telegram.drafts
        assert all(private.text.startswith(draft.rstrip()) for draft in telegram.drafts)
        drafts = len(telegram.drafts)
        telegram.say(chat=-5, user=1, text="@agent_bot How many notes?")
        group = await until(lambda: next(iter(telegram.chats.get("-5", [])), None))
        await until(lambda: group.text == private.text)
    assert group.edits >= 2
    assert (len(telegram.drafts), len(telegram.chats["1"]), len(telegram.chats["-5"])) == (drafts, 1, 1)
    assert not any(live in group.text for live in ("://", "@e"))


async def test_details_and_what_to_edit_come_in_private_and_the_edit_runs(
    notes: Runtime, telegram: TelegramServer
) -> None:
    runtime = with_telegram(notes, telegram)
    await link(runtime, "telegram", ANA, "ana")
    async with messaging(runtime):
        number = await ask(runtime)
        message = await posted_in_telegram(telegram)
        for button in ("Details", "Edit"):
            telegram.tap(user=ANA, message=message, button=button)
        telegram.tap(user=STRANGER, message=message, button="Details")
        private = await until(lambda: len(telegram.chats.get(str(ANA), [])) == 2 and telegram.chats[str(ANA)])
        texts = "\n".join(sent.text.replace("\u2060", "") for sent in private)
        assert all(f"id: {row}, text: n → n!" in texts for row in range(1, 8))
        assert f"/edit {number} UPDATE notes" in texts
        await until(lambda: any("agent people link" in text for text in telegram.notices))
        assert str(STRANGER) not in telegram.chats
        telegram.say(chat=ANA, user=ANA, text=f"/edit {number} {CHANGE.replace('7', '2')}")
        await until(lambda: "Edited by ana, via telegram" in message.text)
        await until(lambda: changed(runtime) == 2)
    assert await status(runtime, number) == "edited"


async def test_telegram_may_call_us_with_the_secret_that_it_was_told(notes: Runtime, telegram: TelegramServer) -> None:
    runtime = with_telegram(
        notes, telegram, telegram_webhook_secret=HOOK, public_url="https://agent.example"
    )  # fmt: skip
    await link(runtime, "telegram", BO, "bo")
    async with served(runtime) as client:
        await until(lambda: telegram.webhook)
        assert telegram.webhook["url"] == "https://agent.example/messaging/telegram"
        await ask(runtime)
        message = await posted_in_telegram(telegram)
        tap = telegram.tap(user=BO, message=message, button="Approve")
        path, right = "/messaging/telegram", {"X-Telegram-Bot-Api-Secret-Token": telegram.webhook["secret_token"]}
        for wrong in ({}, {"X-Telegram-Bot-Api-Secret-Token": "x"}, {"X-Telegram-Bot-Api-Secret-Token": "é" * 9}):
            headers = {name: value.encode() for name, value in wrong.items()}
            assert (await client.post(path, json=tap, headers=headers)).status_code == 401
        assert (await client.post(path, json={"update_id": "x"}, headers=right)).status_code == 422
        assert changed(runtime) == 0
        for _ in range(2):  # the second is the same update
            assert (await client.post(path, json=tap, headers=right)).status_code == 200
        await until(lambda: "Done: 7 rows" in message.text)
    assert changed(runtime) == 7
    assert len(telegram.notices) == 1


async def test_another_program_on_the_token_is_named(telegram: TelegramServer) -> None:
    telegram.webhook = {"url": "https://elsewhere.example"}
    service = Telegram(telegram.token, url=telegram.url)

    async def tried() -> None:
        async with telling("the bot"):
            await service._bot.get_updates(timeout=0)

    with pytest.raises(TryLater, match="Another program"):
        await tried()
    await service.close()
