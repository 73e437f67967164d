"""A request in Slack: what is asked, pressed and written there has its effect in the database, once, and by who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
from tests.messaging.conftest import ask, changed, link, messaging, status, until, with_slack
from tests.messaging.conftest import posted_in_slack as posted

from agent.errors import AgentError
from agent.messaging.slack import Slack
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.scripted_model import scripted_client
from agent.testing.slack_server import SlackFailure, SlackServer
from agent.testing.telegram_server import TelegramServer


@pytest.fixture
async def agent(notes: Runtime, slack: SlackServer) -> AsyncIterator[Runtime]:
    """The agent with Slack: requests go to a channel; ana and bo are linked."""
    runtime = with_slack(notes, slack)
    for account, person in (("U7", "ana"), ("U8", "bo")):
        await link(runtime, "slack", account, person)
    async with messaging(runtime):
        yield runtime


async def test_a_button_changes_the_rows_once_and_the_message_becomes_the_outcome(
    agent: Runtime, slack: SlackServer
) -> None:
    await ask(agent)
    message = await posted(slack)
    assert "id: 1, text: n → n!" in message.text
    assert "and 2 more rows" in message.text
    await slack.tap(user="U7", message=message, button="approve", times=2)
    await until(lambda: "Done: 7 rows" in message.text)
    assert changed(agent) == 7
    assert slack.live_buttons() == []
    assert len(slack.channels["C1"]) == 1


async def test_reject_asks_for_the_reason_and_who_may_not_decide_changes_nothing(
    agent: Runtime, slack: SlackServer
) -> None:
    number = await ask(replace(agent, user="ana"))
    message = await posted(slack)
    await slack.tap(user="U13", message=message, button="approve")
    await until(lambda: any("agent people link" in text for text in slack.whispers))
    await slack.tap(user="U7", message=message, button="approve")
    await until(lambda: any("another person must decide" in text for text in slack.whispers))
    await slack.tap(user="U8", message=message, button="approve", value="f" * 32)
    await until(lambda: any("out of date" in text for text in slack.whispers))
    await slack.tap(user="U13", message=message, button="reject")
    await until(lambda: slack.views)
    await slack.submit(user="U13", values={"reason": {"text": "I am nobody"}})
    assert await status(agent, number) == "pending"
    await slack.submit(user="U8", values={"reason": {"text": "only note <!channel> 3"}})
    await until(lambda: "Rejected by bo, via slack: only note <!channel> 3" in message.text)
    assert "<!channel>" not in message.fallback
    assert (await status(agent, number), changed(agent)) == ("rejected", 0)


async def test_thread_replies_decide_and_a_mention_is_answered_in_its_thread(
    agent: Runtime, slack: SlackServer
) -> None:
    number = await ask(agent)
    message = await posted(slack)
    await slack.say(user="U7", channel="C1", text="what a nice day")  # not to the agent
    await slack.say(user="U7", channel="C1", text="approve", thread=message.ts)
    await until(lambda: "Done: 7 rows" in message.text)
    assert (await status(agent, number), changed(agent)) == ("approved", 7)
    event = await slack.say(user="U8", channel="C1", text="pending", mention=True)
    await until(lambda: any(one.thread == event["event"]["ts"] for one in slack.channels["C1"]))
    said = len(slack.channels["C1"])
    await slack.deliver("events_api", event)
    await asyncio.sleep(0.5)
    assert len(slack.channels["C1"]) == said


async def test_a_question_in_private_gets_the_answer(notes: Runtime, slack: SlackServer) -> None:
    runtime = replace(with_slack(notes, slack), model=scripted_client(["There are 30 notes, says <!channel>."]))
    await link(runtime, "slack", "U1", "olga")
    async with messaging(runtime):
        event = await slack.say(user="U1", channel="D1", text="How many notes?")
        answer = await until(lambda: next(iter(slack.channels.get("D1", [])), None))
    assert answer.text == "There are 30 notes, says &lt;!channel&gt;."
    assert answer.thread == event["event"]["ts"]


async def test_connections_that_drop_and_errors_of_the_service_lose_and_double_nothing(
    agent: Runtime, slack: SlackServer
) -> None:
    slack.failures["chat.postMessage"] = [SlackFailure(), SlackFailure(error="ratelimited", status=429, retry_after=1)]
    await ask(agent)
    message = await posted(slack)
    await slack.drop_connections()
    await until(lambda: slack.connections >= 2, seconds=30)
    slack.failures["chat.update"] = [SlackFailure(), SlackFailure()]
    await slack.tap(user="U7", message=message, button="approve")
    await until(lambda: "Done: 7 rows" in message.text)
    assert (changed(agent), len(slack.channels["C1"])) == (7, 1)


async def test_one_request_in_slack_and_telegram_is_decided_once_and_both_messages_say_so(
    notes: Runtime, slack: SlackServer, telegram: TelegramServer
) -> None:
    runtime = with_slack(
        notes, slack, telegram_token=telegram.token, telegram_url=telegram.url, telegram_chats="-5", slack_channels="C1"
    )
    for service, account, person in (("slack", "U7", "ana"), ("telegram", 7, "ana"), ("telegram", 8, "bo")):
        await link(runtime, service, account, person)
    async with messaging(runtime):
        number = await ask(runtime)
        here = await posted(slack)
        there = await until(lambda: next((one for one in telegram.chats.get("-5", []) if one.buttons), None))
        telegram.tap(user=8, message=there, button="Reject")
        await slack.tap(user="U7", message=here, button="approve")
        await until(lambda: not here.buttons and not there.buttons)
        await until(lambda: all("Done: 7 rows" in one.text or "Rejected by bo" in one.text for one in (here, there)))
    assert (await status(runtime, number), changed(runtime)) in {("approved", 7), ("rejected", 0)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bot": "xoxb-wrong"}, "AGENT_SLACK_BOT_TOKEN"),
        ({"app": "xapp-wrong"}, "AGENT_SLACK_APP_TOKEN"),
        ({"place": "C2"}, "/invite"),
    ],
)
async def test_what_is_wrong_is_said_in_one_sentence(slack: SlackServer, change: dict[str, str], said: str) -> None:
    service = Slack(
        change.get("bot", slack.bot_token), change.get("app", slack.app_token), places=(), url=slack.url
    )  # fmt: skip

    async def tried() -> None:
        await service.check()
        await service.send(change.get("place", "C1"), "A test.")

    with pytest.raises(AgentError, match=said):
        await tried()
    await service.close()


async def test_a_decision_elsewhere_updates_the_message(agent: Runtime, slack: SlackServer) -> None:
    number = await ask(agent)
    message = await posted(slack)
    decider = replace(agent, user="bo")
    await approvals.decide_and_run(number, HumanDecision(decision="approve"), via="cli", runtime=decider)
    await until(lambda: "Approved by bo, via cli" in message.text and "Done" in message.text)
    assert slack.live_buttons() == []


async def test_hostile_values_and_wide_rows_are_inert_and_fit_in_both_services(
    notes: Runtime, slack: SlackServer, telegram: TelegramServer
) -> None:
    columns = [f"c{n}" for n in range(200)]
    with psycopg.connect(notes.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(f"create table public.wide (id int primary key, {', '.join(f'{one} text' for one in columns)})")
        evil = "<!channel> @everyone <@U7> \u202eEVIL\u2066 \x1b[31m *b* [a](https://evil.example) </pre>"
        conn.execute(f"insert into public.wide values (1, {', '.join(['%s'] * 200)})", [evil] * 200)
    runtime = with_slack(notes, slack, telegram_token=telegram.token, telegram_url=telegram.url, telegram_chats="-5")
    async with messaging(runtime):
        await ask(runtime, f"UPDATE wide SET {', '.join(f'{one} = {one} || $$!$$' for one in columns)}")
        here = await posted(slack)
        there = await until(lambda: next((one for one in telegram.chats.get("-5", []) if one.buttons), None))
    assert "c0: <!channel>" in here.text
    assert "@everyone" in here.text
    assert "<!channel>" not in here.fallback
    plain = [block for block in str(here.blocks).split("'type': ") if block.startswith("'mrkdwn'")]
    assert plain == []
    for text in (here.text, there.text):
        assert not {"\u202e", "\u2066", "\x1b"} & set(text)
