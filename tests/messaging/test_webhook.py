"""Alerts to a plain address: the two forms that the requirements show, once for each request, and what `messaging test` says."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.messaging.conftest import ANA, ask, link, until, with_settings

from agent.messaging import Courier
from agent.messaging.overview import overview, try_out
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.receiver import Receiver, receiving
from agent.testing.telegram_server import TelegramServer

KEY = bytes(range(32))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_each_request_is_one_alert_in_the_documented_form_also_after_an_outage(
    notes: Runtime, receiver: Receiver
) -> None:
    runtime = with_settings(
        notes,
        alert_slack_url=f"{receiver.url}/services/S",
        alert_telegram_url=f"{receiver.url}/botT/sendMessage?chat_id=-5",
    )
    receiver.answers = [503, 429]
    courier = Courier(runtime)
    courier.start()
    number = await ask(runtime)
    await until(lambda: len(receiver.got) == 2)
    await courier.stop()
    by_path = {one.path: one.json for one in receiver.got}
    slack, telegram = by_path["/services/S"], by_path["/botT/sendMessage?chat_id=-5"]
    assert slack["text"].startswith(f"🚨 Approval {number} · ")
    assert slack["severity"] in {"LOW", "MEDIUM", "HIGH", "CRITICAL"}
    assert telegram["text"].startswith(f"🚨 Approval {number} · ")
    seen = await overview(10, runtime=runtime)
    assert {(one.service, one.error) for one in seen.messages} == {("slack-webhook", None), ("telegram-webhook", None)}


async def test_a_test_message_says_what_is_wrong(notes: Runtime, receiver: Receiver, telegram: TelegramServer) -> None:
    telegram.blocked.add(str(ANA))
    receiver.answers = [404]
    settings = {
        "telegram_token": telegram.token,
        "telegram_url": telegram.url,
        "alert_slack_url": f"{receiver.url}/secret",
    }
    runtime = with_settings(notes, **settings)
    await link(runtime, "telegram", ANA, "ana")
    said = {one.service: one.message for one in await try_out(runtime=runtime) if not one.works}
    assert "blocked" in said["telegram"]
    assert "AGENT_ALERT_SLACK_URL" in said["slack-webhook"]
    assert "secret" not in said["slack-webhook"]
    wrong = with_settings(notes, **(settings | {"telegram_token": "1:wrong"}))
    assert any("AGENT_TELEGRAM_TOKEN" in one.message for one in await try_out(runtime=wrong))


async def test_the_signed_webhook_tells_of_each_request_and_its_end_under_ids_of_their_own(
    notes: Runtime, receiver: Receiver
) -> None:
    runtime = with_settings(
        notes, webhook_url=f"{receiver.url}/hook", webhook_secret=f"whsec_{b64encode(KEY).decode()}"
    )
    receiver.answers = [500]
    courier = Courier(runtime)
    courier.start()
    number = await ask(runtime)
    await until(lambda: len(receiver.got) == 1)
    await approvals.decide_and_run(
        number, HumanDecision(decision="approve"), via="cli", runtime=replace(runtime, user="ana")
    )
    await until(lambda: len(receiver.got) == 2)
    await courier.stop()
    for one in receiver.got:
        headers = one.headers
        signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), one.body))
        assert headers["webhook-signature"] == f"v1,{b64encode(hmac.digest(KEY, signed, 'sha256')).decode()}"
    asked, ended = (one.json for one in receiver.got)
    assert (asked["type"], asked["data"]["approval_id"], asked["data"]["status"]) == (
        "approval.requested",
        number,
        "pending",
    )
    assert (ended["type"], ended["data"]["status"]) == ("approval.ended", "approved")
    assert "Done: 7 rows" in ended["data"]["outcome"]
    assert len({one.headers["webhook-id"] for one in receiver.got}) == 2
