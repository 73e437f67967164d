"""A request in Telegram: what is asked, tapped and written there has its effect in the database, once, and by who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
    settled,
    status,
    until,
    with_telegram,
)
from tests.messaging.conftest import posted_in_telegram as posted

from agent.access import accounts
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.testing.served import served
from agent.testing.telegram_server import Failure, Sent, TelegramServer


@pytest.fixture
async def agent(notes: Runtime, telegram: TelegramServer) -> AsyncIterator[Runtime]:
    """The agent with Telegram: requests go to a group; ana and bo are linked."""
    runtime = with_telegram(notes, telegram)
    for account, person in ((ANA, "ana"), (BO, "bo")):
        await link(runtime, "telegram", account, person)
    async with messaging(runtime):
        yield runtime


async def test_a_tap_changes_the_rows_once_and_the_message_becomes_the_outcome(
    agent: Runtime, telegram: TelegramServer
) -> None:
    number = await ask(agent)
    message = await posted(telegram)
    assert f"Approval {number} · " in message.text
    assert "id: 1, text: n → n!" in message.text
    assert "and 2 more rows" in message.text  # five are shown
    assert "may decide: ana, bo" in message.text.replace("\u2060", "")
    for _ in range(2):
        telegram.tap(user=ANA, message=message, button="Approve")
    await until(lambda: "Done: 7 rows" in message.text)
    assert changed(agent) == 7
    assert "Approved by ana, via telegram" in message.text
    assert telegram.live_buttons() == []
    assert len(telegram.chats["-5"]) == 1


async def test_who_may_not_decide_gets_a_reason_and_the_request_waits(agent: Runtime, telegram: TelegramServer) -> None:
    ana = replace(agent, user="ana")
    number = await ask(ana)
    message = await posted(telegram)
    telegram.tap(user=STRANGER, message=message, button="Approve")
    await until(lambda: any("agent people link" in text for text in telegram.notices))
    telegram.tap(user=ANA, message=message, button="Approve")
    await until(lambda: any("another person must decide" in text for text in telegram.notices))
    telegram.tap(user=BO, message=message, data="y:" + "0" * 32)
    telegram.tap(user=BO, message=message, data="y:'; drop table x")
    telegram.tap(user=BO, message=message, data="zzz")
    elsewhere = Sent("8", message.id, "", message.buttons)
    telegram.tap(user=BO, message=elsewhere, button="Approve")
    await until(lambda: sum("out of date" in text for text in telegram.notices) == 4)
    assert await status(agent, number) == "pending"
    assert changed(agent) == 0
    (refusal,) = await agent.all(
        "select account, approval_id from agents.messaging_refusals where tenant_id = %(tenant_id)s"
    )
    assert refusal == {"account": str(STRANGER), "approval_id": number}
    telegram.tap(user=BO, message=message, button="Approve")  # nobody used the buttons up
    await until(lambda: changed(agent) == 7)


async def test_two_people_at_once_and_a_decision_elsewhere_have_one_effect(
    agent: Runtime, telegram: TelegramServer
) -> None:
    number = await ask(agent)
    message = await posted(telegram)
    telegram.tap(user=ANA, message=message, button="Approve")
    telegram.tap(user=BO, message=message, button="Reject")
    await until(lambda: "Done: 7 rows" in message.text or "Rejected by bo" in message.text)
    assert (await status(agent, number), changed(agent)) in {("approved", 7), ("rejected", 0)}

    other = await ask(agent, "UPDATE notes SET text = text || '!' WHERE id = 30")
    await until(lambda: telegram.chats["-5"][1:] and telegram.chats["-5"][1].buttons)
    second = telegram.chats["-5"][1]
    buttons = dict(second.buttons)
    await approvals.decide(
        other, HumanDecision(decision="reject", comment="not now"), via="cli", runtime=replace(agent, user="bo")
    )
    await until(lambda: "Rejected by bo, via cli: not now. Nothing was done." in second.text)
    telegram.tap(user=ANA, message=second, data=buttons["Approve"])
    await until(lambda: any("out of date" in text for text in telegram.notices))
    assert await status(agent, other) == "rejected"


async def test_texts_decide_too_and_what_is_delivered_twice_is_done_once(
    agent: Runtime, telegram: TelegramServer
) -> None:
    number = await ask(agent)
    message = await posted(telegram)
    said = telegram.say(chat=-5, user=ANA, text="no, because it is Friday", answers=message)
    await until(lambda: "Rejected by ana, via telegram: it is Friday" in message.text)
    again = await ask(agent)
    telegram.say(chat=BO, user=BO, text="/pending")
    await until(lambda: any(f"{again} · " in sent.text for sent in telegram.chats.get(str(BO), [])))
    approve = telegram.say(chat=BO, user=BO, text=f"/approve {again}")
    await until(lambda: changed(agent) == 7)
    sent = len(telegram.chats[str(BO)])
    for update in (said, approve):
        telegram.redeliver(update | {"again": True})
    await asyncio.sleep(1.0)
    assert len(telegram.chats[str(BO)]) <= sent + 1
    assert changed(agent) == 7
    assert await status(agent, number) == "rejected"


async def test_a_code_links_an_account_once_in_private_and_requests_come_to_the_person(
    notes: Runtime, telegram: TelegramServer
) -> None:
    runtime = with_telegram(notes, telegram, telegram_chats="")
    code = (await accounts.new_code("ana", runtime=runtime)).code
    async with messaging(runtime):
        telegram.say(chat=-5, user=ANA, text=f"/link {code}")
        await until(lambda: any("in private" in sent.text for sent in telegram.chats.get("-5", [])))
        telegram.say(chat=ANA, user=ANA, text=f"/link {code}")
        await until(lambda: any("You are ana now" in sent.text for sent in telegram.chats.get(str(ANA), [])))
        telegram.say(chat=STRANGER, user=STRANGER, text=f"/link {code}")
        await until(lambda: any("used or expired" in sent.text for sent in telegram.chats.get(str(STRANGER), [])))
        await ask(runtime)
        message = await until(lambda: next(iter(telegram.live_buttons()), None), seconds=10)
        assert message.chat == str(ANA)
        telegram.tap(user=ANA, message=message, button="Approve")
        await until(lambda: "Done" in message.text)
    assert changed(runtime) == 7


async def test_an_outage_a_limit_and_a_deleted_message_leave_every_message_true(
    agent: Runtime, telegram: TelegramServer
) -> None:
    telegram.failures["sendMessage"] = [
        Failure(),
        Failure(status=429, description="Too Many Requests: retry after 1", retry_after=1),
    ]
    number = await ask(agent)
    message = await posted(telegram)
    assert len(telegram.chats["-5"]) == 1
    telegram.failures["editMessageText"] = [Failure() for _ in range(3)]
    telegram.tap(user=ANA, message=message, button="Approve")
    await until(lambda: "Done: 7 rows" in message.text)
    assert (await status(agent, number), changed(agent), telegram.live_buttons()) == ("approved", 7, [])

    second = await ask(agent, "DELETE FROM notes WHERE id = 30")
    await until(lambda: len(telegram.chats["-5"]) == 2)
    telegram.chats["-5"].pop()
    code = next(
        iter(
            await agent.all(
                "select id from agents.messages where tenant_id = %(tenant_id)s and approval_id = %(n)s", n=second
            )
        )
    )
    await agent.execute(
        "update agents.messages set ready_at = now() where tenant_id = %(tenant_id)s and id = %(i)s", i=code["id"]
    )
    fresh = await until(lambda: telegram.chats["-5"][1:] and telegram.chats["-5"][1], seconds=10)
    telegram.tap(user=BO, message=fresh, button="Reject")
    await until(lambda: "Rejected by bo" in fresh.text)


async def test_values_are_inert_and_long_previews_fit(agent: Runtime, telegram: TelegramServer) -> None:
    evil = "<b>@everyone</b> /approve evil.com \u202e" + "x" * 3000
    await ask(agent, f"UPDATE notes SET text = '{evil}' WHERE id <= 6")
    message = await posted(telegram)
    assert "<b>@everyone</b> /approve evil.com" in message.text  # as code, which Telegram leaves alone
    assert len(message.text) <= 4096
    assert "\u202e" not in message.text
    assert message.buttons


async def test_a_copy_of_a_message_whose_answer_was_lost_loses_its_buttons_and_decides_nothing(
    agent: Runtime, telegram: TelegramServer
) -> None:
    earlier = await ask(agent, "DELETE FROM notes WHERE id = 30")
    first = await posted(telegram)
    telegram.failures["sendMessage"] = [Failure(lost=True)]
    number = await ask(agent)
    _, copy, message = await until(
        lambda: telegram.chats["-5"][2:] and telegram.chats["-5"][2].buttons and telegram.chats["-5"]
    )
    token = message.buttons["Approve"]
    await until(lambda: settled(agent))
    assert (bool(first.buttons), copy.buttons, bool(message.buttons)) == (True, {}, True)
    telegram.tap(user=ANA, message=copy, data=token)  # of somebody whose screen still shows the buttons
    await until(lambda: "another message shows the request" in copy.text)
    assert (await status(agent, number), await status(agent, earlier), changed(agent)) == ("pending", "pending", 0)
    telegram.tap(user=ANA, message=message, button="Approve")
    await until(lambda: "Done: 7 rows" in message.text)
    assert changed(agent) == 7


async def test_agent_serve_takes_decisions_and_its_worker_lets_the_thread_go_on(
    notes: Runtime, telegram: TelegramServer
) -> None:
    script = scripted_client([call("execute_sql", sql=CHANGE), "The notes are changed."])
    runtime = replace(with_telegram(notes, telegram), model=script)
    await link(runtime, "telegram", 1, "olga")
    await link(runtime, "telegram", BO, "bo")
    async with served(runtime):
        telegram.say(chat=1, user=1, text="Change seven notes")
        await until(lambda: any("A person must decide first" in sent.text for sent in telegram.chats.get("1", [])))
        message = await posted(telegram)
        telegram.tap(user=BO, message=message, button="Approve")

        await until(lambda: "The notes are changed." in [sent.text for sent in telegram.chats["1"]])
        await until(lambda: "Done: 7 rows" in message.text)
    assert changed(runtime) == 7


async def test_two_processes_share_one_bot(notes: Runtime, telegram: TelegramServer) -> None:
    runtime = with_telegram(notes, telegram)
    await link(runtime, "telegram", ANA, "ana")
    async with messaging(runtime), messaging(runtime):
        numbers = [await ask(runtime, f"UPDATE notes SET text = text || '!' WHERE id = {n}") for n in range(1, 9)]
        await until(lambda: sum(bool(one.buttons) for one in telegram.chats.get("-5", [])) == len(numbers))
        for message in telegram.chats["-5"]:
            telegram.tap(user=ANA, message=message, button="Approve")
        await until(lambda: changed(runtime) == len(numbers))
        await until(lambda: all("Done: 1 row" in sent.text for sent in telegram.chats["-5"]))
    assert len(telegram.chats["-5"]) == len(numbers)
    assert telegram.polled_at_once == 1
