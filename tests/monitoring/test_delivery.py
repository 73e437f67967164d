"""Alerts reach people once: in the documented forms, after outages, not in quiet hours, and not what is muted or taken."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.messaging.alert_courier import AlertCourier, try_out
from agent.messaging.alert_news import news_of, quiet_until
from agent.monitoring import alerts
from agent.monitoring.continuous_monitor import ContinuousMonitor
from agent.monitoring.records import Alert, Check, Finding
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.receiver import Receiver, receiving

KEY = bytes(range(32))
ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def with_settings(runtime: Runtime, **settings: Any) -> Runtime:
    return replace(runtime, settings=Settings(**(runtime.settings.model_dump() | settings)), cached={})


class Found:
    """A monitor whose only check finds what the test says."""

    def __init__(self) -> None:
        self.now: list[Finding] = []
        self.monitor = ContinuousMonitor(checks=[Check(name="found", about="found", look=self._look)])

    async def _look(self, _: object) -> list[Finding]:
        return self.now

    async def run(self, runtime: Runtime, *severities: Any) -> None:
        message = "Rows of <!channel> @everyone /approve 7 are gone"
        self.now = [Finding(subject="one", severity=one, message=message, action="Look.") for one in severities]
        await self.monitor.run_once(runtime=runtime)


async def test_each_episode_is_told_once_in_the_documented_forms_to_everybody(
    runtime: Runtime, receiver: Receiver, tmp_path: Path
) -> None:
    runtime = with_settings(
        runtime, alert_slack_url=f"{receiver.url}/services/S", alert_telegram_url=f"{receiver.url}/bot1:T/sendMessage?chat_id=-5",
        alert_webhook_url=f"{receiver.url}/hook", alert_webhook_secret=f"whsec_{b64encode(KEY).decode()}", alert_emails="ana@firm.example", email_outbox=tmp_path,
    )  # fmt: skip
    courier, found = AlertCourier(runtime), Found()
    await found.run(runtime, "MEDIUM")
    await found.run(runtime, "MEDIUM")
    assert await courier.deliver() == 4
    assert await courier.deliver() == 0
    [slack], [telegram], [hook] = (receiver.bodies(one) for one in ("/services", "/bot1", "/hook"))
    assert slack["severity"] == "MEDIUM"
    assert slack["text"].startswith("🚨 Rows of &lt;!channel&gt;")
    assert telegram["text"].startswith("🚨 Rows of <!channel> @\u2060everyone")
    assert (hook["message"][:7], hook["severity"], hook["episode"]) == ("Rows of", "MEDIUM", 1)
    hooked = next(one for one in receiver.got if one.path == "/hook")
    headers, body = hooked.headers, hooked.body
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == f"v1,{b64encode(hmac.digest(KEY, signed, 'sha256')).decode()}"
    assert len(list(tmp_path.glob("*.eml"))) == 1
    await found.run(runtime, "HIGH")  # worse
    assert await courier.deliver() == 4
    await found.run(runtime, "LOW")  # better is no news
    assert await courier.deliver() == 0
    for _ in range(2):
        await found.run(runtime)
    assert await courier.deliver() == 4
    assert receiver.bodies("/services")[-1]["text"].startswith("✅ Over")
    await found.run(runtime, "MEDIUM")
    await courier.deliver()
    assert "for the 2. time" in receiver.bodies("/hook")[-1]["text"]


async def test_a_receiver_that_answers_500_or_redirects_hears_of_the_end_and_blocks_no_other(
    runtime: Runtime, receiver: Receiver
) -> None:
    runtime = with_settings(runtime, alert_slack_url=f"{receiver.url}/away", alert_webhook_url=f"{receiver.url}/hook")
    courier, found = AlertCourier(runtime), Found()
    await found.run(runtime, "HIGH")
    receiver.answers = [500, 200]
    await courier.deliver()
    assert len(receiver.got) == 1
    await found.run(runtime, "CRITICAL")
    receiver.answers = [302, 302]  # no answer but 2xx is a delivery, and nobody is followed
    await courier.deliver()
    failed = await runtime.all("SELECT service, error, ready_at FROM agents.alert_deliveries WHERE error IS NOT NULL")
    assert {one["service"] for one in failed} >= {"alert-webhook"}
    assert all(receiver.url not in one["error"] for one in failed)
    assert not receiver.bodies("/elsewhere")
    for _ in range(2):
        await found.run(runtime)
    await courier.deliver()
    assert "✅ Over" in receiver.bodies("/hook")[-1]["text"] or "✅ Over" in receiver.bodies("/away")[-1]["text"]


async def test_a_receiver_that_hangs_stops_neither_the_monitor_nor_the_end_of_the_process(
    runtime: Runtime, receiver: Receiver
) -> None:
    runtime = with_settings(runtime, alert_slack_url=f"{receiver.url}/hangs")
    courier, found = AlertCourier(runtime), Found()
    receiver.answers = [0] * 10
    await found.run(runtime, "HIGH")
    courier.start()
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await found.run(runtime, "HIGH")
    await courier.stop()
    assert time.monotonic() - began < 10


async def test_what_is_taken_or_muted_is_not_told_again(runtime: Runtime, receiver: Receiver) -> None:
    runtime = with_settings(runtime, alert_slack_url=f"{receiver.url}/s")
    courier, found = AlertCourier(runtime), Found()
    await found.run(runtime, "MEDIUM")
    await courier.deliver()
    [alert] = await alerts.list_alerts(runtime=runtime)
    await alerts.acknowledge(alert.id, runtime=runtime)
    await found.run(runtime, "HIGH")
    assert await courier.deliver() == 0
    await alerts.mute(alert.id, hours=1, runtime=runtime)
    for severities in ((), (), ("HIGH",)):
        await found.run(runtime, *severities)
    assert await courier.deliver() == 0
    await alerts.mute(alert.id, hours=0, runtime=runtime)
    assert await courier.deliver() == 1
    assert "test of your agent" in (await _tried(runtime, receiver))


async def _tried(runtime: Runtime, receiver: Receiver) -> str:
    assert [one.works for one in await try_out(runtime=runtime)] == [True]
    return receiver.bodies("/s")[-1]["text"]


def alert(**other: Any) -> Alert:
    values = {
        "id": 1, "key": "k", "check_name": "c", "status": "open", "severity": "MEDIUM", "message": "m", "action": "a", "evidence": {}, "episode": 1, "seen": 1,
        "opened_at": NOW, "seen_at": NOW, "resolved_at": None, "acknowledged_by": None, "acknowledged_at": None, "muted_until": None,
    }  # fmt: skip
    return Alert(**(values | other))


def test_quiet_hours_hold_back_what_is_not_critical_until_they_end() -> None:
    quiet = "11:00-13:30"
    news = news_of(alert(), "", least="LOW", quiet=quiet, now=NOW)
    assert (news.text, news.later) == ("", NOW + timedelta(minutes=90))
    assert news_of(alert(severity="CRITICAL"), "", least="LOW", quiet=quiet, now=NOW).text
    assert news_of(alert(), "", least="HIGH", quiet="", now=NOW).text == ""
    assert news_of(alert(status="resolved"), "", least="LOW", quiet="", now=NOW).text == ""


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("22:00-07:00", "2026-03-02T23:00+00:00", "2026-03-03T07:00+00:00"),
        ("22:00-07:00", "2026-03-02T06:59+00:00", "2026-03-02T07:00+00:00"),
        ("22:00-07:00", "2026-03-02T07:00+00:00", None),
        (
            "22:00-07:00 Europe/Berlin",
            "2026-03-28T22:30+00:00",
            "2026-03-29T07:00+02:00",
        ),  # the clocks change in this night
        ("10:00-10:00", "2026-03-02T10:00+00:00", None),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(quiet: str, now: str, until: str | None) -> None:
    found = quiet_until(quiet, datetime.fromisoformat(now))
    assert found == (datetime.fromisoformat(until) if until else None)


@pytest.mark.parametrize("quiet", ["22-7", "25:00-07:00", "22:00-07:00 Nowhere/City", "always"])
def test_quiet_hours_that_are_none_are_refused(quiet: str) -> None:
    with pytest.raises(ValueError):
        Settings(_env_file=None, alert_quiet_hours=quiet)


async def test_the_documented_functions_take_the_alerts_of_a_script(runtime: Runtime, receiver: Receiver) -> None:
    """The two functions of docs/monitoring.md, as they stand there, with the addresses of settings."""
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    code = next(one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "send_slack_message" in one)
    runtime = with_settings(
        runtime, alert_slack_url=f"{receiver.url}/services/S", alert_telegram_url=f"{receiver.url}/bot1:T/sendMessage?chat_id=-5"
    )  # fmt: skip
    found = Found()
    namespace: dict[str, Any] = {"continuous_monitor": found.monitor, "runtime": runtime}
    exec(compile(code.replace("Settings.load()", "runtime.settings"), "monitoring.md", "exec"), namespace)
    await found.run(runtime, "HIGH")
    assert receiver.bodies("/services")[0]["severity"] == "HIGH"
    assert receiver.bodies("/bot1")[0]["text"].startswith("🚨 Rows of")
