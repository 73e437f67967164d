"""What Slack opens and streams: the windows of Edit and Details, answers while they are written, and the other ways in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from tests.messaging.conftest import CHANGE, ask, changed, link, messaging, posted_in_slack, status, until, with_slack

from agent.approval.people import people
from agent.messaging import Courier
from agent.messaging.slack import Slack
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.testing.served import served
from agent.testing.slack_server import SlackFailure, SlackServer

SECRET = "the-signing-secret-of-a-test"


async def test_details_show_all_and_an_edit_runs_if_it_does_less_and_is_asked_again_if_it_does_more(
    notes: Runtime, slack: SlackServer
) -> None:
    agent = with_slack(notes, slack, messaging_personal=True)
    await people.add("ana", ["approver", "personal"], runtime=notes)
    for account, person in (("U7", "ana"), ("U8", "bo")):
        await link(agent, "slack", account, person)
    async with messaging(agent):
        await edit_twice(agent, slack)


async def edit_twice(agent: Runtime, slack: SlackServer) -> None:
    number = await ask(agent)
    message = await posted_in_slack(slack)
    await slack.tap(user="U13", message=message, button="details")
    await until(lambda: slack.views and "agent people link" in str(slack.views[-1]))
    await slack.tap(user="U7", message=message, button="details")
    await until(lambda: all(f"id: {row}, text: n → n!" in str(slack.views[-1]) for row in range(1, 8)))
    await slack.tap(user="U7", message=message, button="edit")
    await until(lambda: slack.views[-1]["callback_id"] == "edit")
    field = slack.views[-1]["blocks"][0]["element"]
    assert field["initial_value"] == CHANGE
    await slack.submit(user="U7", values={"reason": {"text": CHANGE}})
    await until(lambda: any("Nothing was changed" in text for text in slack.whispers))
    await slack.submit(user="U13", values={"reason": {"text": "DELETE FROM notes"}})
    await slack.submit(user="U7", values={"reason": {"text": CHANGE.replace("7", "3")}})
    await until(lambda: "Edited by ana, via slack" in message.text)
    await until(lambda: changed(agent) == 3)
    assert (await status(agent, number), slack.live_buttons()) == ("edited", [])

    await ask(agent, "UPDATE notes SET text = text || '!' WHERE id = 20")
    second = await until(lambda: next(iter(slack.live_buttons()), None))
    await slack.say(user="U8", channel="C1", text="edit DELETE FROM notes WHERE id > 20", thread=second.ts)
    third = await until(lambda: next((one for one in slack.live_buttons() if one is not second), None))
    assert "DELETE FROM notes" in third.text
    assert changed(agent) == 3
    await slack.tap(user="U8", message=third, button="edit")  # bo may not see personal values
    await until(lambda: "•••" in str(slack.views[-1]))
    await slack.submit(user="U8", values={"reason": {"text": "DELETE FROM notes WHERE id > •••  AND true"}})
    await until(lambda: any("may not see" in text for text in slack.whispers))


async def test_a_message_whose_answer_was_lost_is_found_and_not_posted_again(
    notes: Runtime, slack: SlackServer
) -> None:
    runtime = with_slack(notes, slack, slack_channels="C1,U7")
    slack.failures["chat.postMessage"] = [SlackFailure(lost=True), SlackFailure(lost=True)]
    await link(runtime, "slack", "U7", "ana")
    async with messaging(runtime):
        await ask(runtime)
        both = await until(lambda: len(slack.live_buttons()) == 2 and slack.live_buttons())
        await until(lambda: "conversations.history" in slack.calls)
        await slack.tap(user="U7", message=both[0], button="approve")
        await until(lambda: all("Done: 7 rows" in one.text for one in both))
    assert {channel: len(messages) for channel, messages in slack.channels.items()} == {"C1": 1, "D7": 1}
    assert changed(runtime) == 7


@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_is_written_in_its_thread_while_it_is_made_with_nothing_live_in_it(
    notes: Runtime, slack: SlackServer, streams: bool
) -> None:
    words = "See <!channel> and [Approve](https://evil.example/?q=1) and ![x](https://evil.example/p.png): " + "w " * 12
    slack.streams = streams
    runtime = replace(with_slack(notes, slack), model=scripted_client([words], delay=0.08))
    await link(runtime, "slack", "U1", "olga")
    async with messaging(runtime):
        event = await slack.say(user="U1", channel="D1", text="How many notes?")
        answer = await until(lambda: next(iter(slack.channels.get("D1", [])), None))
        early = answer.text
        await until(lambda: answer.text.count("w ") >= 11 and not answer.streaming)
    assert 0 < len(early) < len(answer.text)
    assert answer.thread == event["event"]["ts"]
    assert len(slack.channels["D1"]) == 1
    assert "<" not in answer.text
    assert not any(live in answer.text for live in ("](", "://"))
    assert ("chat.appendStream" in slack.calls) == streams


async def test_the_answer_comes_to_the_thread_when_somebody_has_decided(notes: Runtime, slack: SlackServer) -> None:
    script = scripted_client([call("execute_sql", sql=CHANGE), "The notes are changed."])
    runtime = replace(with_slack(notes, slack), model=script)
    for account, person in (("U1", "olga"), ("U8", "bo")):
        await link(runtime, "slack", account, person)
    slack.failures["chat.postMessage"] = []
    async with served(runtime):
        event = await slack.say(user="U1", channel="D1", text="Change seven notes")
        message = await posted_in_slack(slack)
        slack.failures["chat.postMessage"] = [SlackFailure(lost=True)]  # the answer's own message
        await slack.tap(user="U8", message=message, button="approve")
        await until(lambda: "The notes are changed." in [one.text for one in slack.channels["D1"]])
        await until(lambda: sent(runtime))
    answers = [one for one in slack.channels["D1"] if one.text == "The notes are changed."]
    assert [one.thread for one in answers] == [event["event"]["ts"]]
    assert changed(runtime) == 7


async def sent(runtime: Runtime) -> bool:
    return not await runtime.all(
        "select 1 from agents.messaging_texts where tenant_id = %(tenant_id)s and sent_at is null"
    )


def signed(payload: dict[str, Any], *, secret: str = SECRET, age: float = 0) -> dict[str, Any]:
    """Return what Slack sends for a button: a form, signed."""
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = str(int(time.time() - age))
    signature = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={signature}",
    }  # fmt: skip
    return {"content": body, "headers": headers}


async def test_slack_may_call_us_if_it_signs_and_only_once_and_not_late(notes: Runtime, slack: SlackServer) -> None:
    runtime = with_slack(notes, slack, slack_app_token=None, slack_signing_secret=SECRET)
    await link(runtime, "slack", "U7", "ana")
    async with served(runtime) as client:
        await ask(runtime)
        message = await posted_in_slack(slack)

        def pressed(user: str, **how: Any) -> dict[str, Any]:
            return signed(slack.pressed(user=user, message=message, button="approve"), **how)

        async def statuses(*calls: dict[str, Any]) -> list[int]:
            return [(await client.post("/messaging/slack", **one)).status_code for one in calls]

        wrong = pressed("U7", secret="another")
        assert await statuses(wrong, pressed("U7", age=400), pressed("U7", age=-400)) == [401, 401, 401]
        assert (await client.post("/messaging/slack", content=b"x")).status_code == 401
        forged = pressed("U7")
        forged["content"] += b"&x=1"
        assert await statuses(forged) == [401]
        assert changed(runtime) == 0
        good = pressed("U7")
        assert await statuses(good, good) == [200, 401]
        await until(lambda: "Done: 7 rows" in message.text)
        assert (await client.get("/messaging/telegram")).status_code == 404
        hello = {"type": "url_verification", "challenge": "c", "token": "t"}
        body = json.dumps(hello).encode()
        call_ = signed({}) | {"content": body}
        stamp = call_["headers"]["X-Slack-Request-Timestamp"]
        digest = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        call_["headers"] |= {"X-Slack-Signature": f"v0={digest}", "Content-Type": "application/json"}
        answer: httpx.Response = await client.post("/messaging/slack", **call_)
        assert "c" in answer.text
    assert changed(runtime) == 7
    assert slack.connections == 0


async def test_a_connection_that_hears_nothing_is_made_anew_and_counted(notes: Runtime, slack: SlackServer) -> None:
    service = Slack(slack.bot_token, slack.app_token, places=("C1",), url=slack.url, silent_seconds=0.3)
    runtime = with_slack(notes, slack)
    await link(runtime, "slack", "U7", "ana")
    courier = Courier(runtime, (service,))
    courier.start()
    await until(lambda: slack.connections >= 3)
    await ask(runtime)
    message = await posted_in_slack(slack)
    await slack.tap(user="U7", message=message, button="approve")
    await until(lambda: "Done: 7 rows" in message.text)
    await courier.stop()
    assert service.reconnects >= 2
    async with served(with_slack(notes, slack)) as client:
        text = (await client.get("/metrics", headers={"Accept": "text/plain"})).text
    assert 'agent_messaging_reconnects_total{service="slack"} 0.0' in text


async def test_two_workers_on_one_token_do_each_thing_once(notes: Runtime, slack: SlackServer) -> None:
    runtime = with_slack(notes, slack)
    await link(runtime, "slack", "U7", "ana")
    async with messaging(runtime), messaging(runtime):
        numbers = [await ask(runtime, f"UPDATE notes SET text = text || '!' WHERE id = {n}") for n in range(1, 7)]
        await until(lambda: len(slack.live_buttons()) == len(numbers))
        await asyncio.gather(*(slack.tap(user="U7", message=one, button="approve") for one in slack.live_buttons()))
        await until(lambda: all("Done: 1 row" in one.text for one in slack.channels["C1"]))
    assert changed(runtime) == len(slack.channels["C1"]) == len(numbers)
