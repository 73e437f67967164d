"""send_email through the executor: shown as it will be read, sent once, never on a guess, asked where it must be."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import ConfigurationError
from agent.execution import effects
from agent.execution.safe_executor import safe_executor
from agent.execution.tools import send_email
from agent.runtime import Runtime, use_runtime
from agent.testing.cases import each
from agent.testing.smtp_server import SmtpServer

WORKER = Path(__file__).parents[1] / "cases" / "mail_worker.py"
MAIL = {
    "to": ["anna@firm.example"],
    "subject": "Overdue",
    "body": "Three invoices are overdue.\nhttps://firm.example/i",
}


def with_settings(runtime: Runtime, **values: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=values), cached={})


@pytest.fixture
async def outbox(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Runtime]:
    with use_runtime(with_settings(runtime, email_outbox=tmp_path / "outbox")) as changed:
        yield changed


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer().running() as server:
        yield server


@pytest.fixture
async def online(runtime: Runtime, server: SmtpServer) -> AsyncIterator[Runtime]:
    values = {"smtp_host": "localhost", "smtp_port": server.port, "smtp_tls": "none", "smtp_from": "agent@firm.example"}
    with use_runtime(with_settings(runtime, **values)) as changed:
        yield changed


async def asked(**more: Any) -> Any:
    result = await safe_executor.execute("send_email", {**MAIL, **more}, wait=False)
    assert result["status"] == "waiting", result
    return await human_approval_queue.get(result["approval_id"])


async def approved(**more: Any) -> Any:
    return await human_approval_queue.decide((await asked(**more)).id, "approve")


def files(runtime: Runtime) -> list[Path]:
    folder = runtime.settings.email_outbox
    return sorted(folder.iterdir()) if folder and folder.exists() else []


async def test_without_mail_set_up_it_says_so_and_offers_the_outbox(runtime: Runtime) -> None:
    with pytest.raises(ConfigurationError, match=r"AGENT_SMTP_HOST.*AGENT_EMAIL_OUTBOX"):
        await safe_executor.execute("send_email", MAIL, wait=False)


async def test_a_mail_is_shown_as_its_recipient_will_read_it_and_sent_so(online: Runtime, server: SmtpServer) -> None:
    approval = await asked(cc=["ben@firm.example"])
    assert approval.preview_json["text"] == (
        "From: agent@firm.example\nTo: anna@firm.example\nCc: ben@firm.example\nSubject: Overdue\n\n"
        "Three invoices are overdue.\nhttps://firm.example/i"
    )
    assert approval.preview_json["links"] == ["https://firm.example/i"]
    assert approval.risk_level == "HIGH"
    assert "domain:firm.example" in approval.reasons
    assert server.texts == []
    await human_approval_queue.decide(approval.id, "approve")
    result = await safe_executor.run_approved(approval.id)
    assert result["success"], result
    (arrived,) = server.messages
    assert (arrived["To"], arrived["Cc"], arrived["Subject"]) == ("anna@firm.example", "ben@firm.example", "Overdue")
    assert server.recipients == [["anna@firm.example", "ben@firm.example"]]
    assert arrived["Message-ID"] == result["data"]["message_id"]


async def test_a_rejected_mail_is_not_sent(online: Runtime, server: SmtpServer) -> None:
    approval = await asked()
    await human_approval_queue.decide(approval.id, "reject")
    assert (await safe_executor.run_approved(approval.id))["status"] == "rejected"
    assert server.texts == []


async def test_sixteen_racers_send_one_mail(online: Runtime, server: SmtpServer) -> None:
    approval = await approved()
    results = await asyncio.gather(*(safe_executor.run_approved(approval.id) for _ in range(16)))
    assert {result["status"] for result in results} == {"succeeded"}
    assert len(server.texts) == 1


async def test_a_refused_recipient_is_a_failure_and_nobody_gets_it(online: Runtime, server: SmtpServer) -> None:
    server.refused = "anna@firm.example"
    result = await safe_executor.run_approved((await approved(cc=["ben@firm.example"])).id)
    assert result["status"] == "failed"
    assert "550" in result["error"]
    assert server.texts == []


async def test_a_connection_lost_after_the_text_asks_a_human_and_is_never_repeated(
    online: Runtime, server: SmtpServer
) -> None:
    server.drop_after_data = True
    approval = await approved()
    result = await safe_executor.run_approved(approval.id)
    assert result["status"] == "unknown"
    server.drop_after_data = False
    assert (await safe_executor.run_approved(approval.id))["status"] == "unknown"
    assert len(server.texts) == 1


def claims_run_out(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
        )


async def die(approval: Any, runtime: Runtime, *, after: bool) -> None:
    """Carry the mail out until just before or just after it is handed over, and die."""

    async def carry_out(approval: Any, *, key: str, runtime: Runtime) -> Any:
        if after:
            await send_email.carry_out(approval, key=key, runtime=runtime)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await effects.carry_out(approval, replace(send_email.OUTSIDE, carry_out=carry_out), runtime=runtime)
    claims_run_out(runtime)


@pytest.mark.parametrize("after", [False, True])
async def test_after_a_crash_the_outbox_proves_whether_it_was_written(outbox: Runtime, after: bool) -> None:
    approval = await approved()
    await die(approval, outbox, after=after)
    written = [file.stat().st_ino for file in files(outbox)]
    assert len(written) == after
    result = await safe_executor.run_approved(approval.id)
    assert result["status"] == "succeeded"
    (file,) = files(outbox)
    assert not after or [file.stat().st_ino] == written
    assert message_from_bytes(file.read_bytes(), policy=SMTP)["Subject"] == "Overdue"


async def test_after_a_crash_over_smtp_a_human_is_asked_and_nothing_is_repeated(
    online: Runtime, server: SmtpServer
) -> None:
    approval = await approved()
    await die(approval, online, after=True)
    result = await safe_executor.run_approved(approval.id)
    assert result["status"] == "unknown"
    assert len(server.texts) == 1


async def test_a_process_killed_while_the_server_has_the_text_leaves_it_to_a_human(
    online: Runtime, server: SmtpServer
) -> None:
    server.hold = 60.0
    approval = await approved()
    settings = online.settings
    given = {
        "database_url": settings.database_url.get_secret_value(), "secret": settings.secret.get_secret_value(),
        "home": str(settings.home), "user": "tester", "smtp_host": "localhost", "smtp_port": server.port, "smtp_tls": "none",
        "smtp_from": settings.smtp_from, "smtp_timeout": 60,
    }  # fmt: skip
    worker = await asyncio.create_subprocess_exec(sys.executable, str(WORKER), json.dumps(given), str(approval.id))
    while not server.texts:
        assert worker.returncode is None
        await asyncio.sleep(0.05)
    worker.kill()
    await worker.wait()
    server.hold = 0.0
    claims_run_out(online)
    results = await asyncio.gather(*(safe_executor.run_approved(approval.id) for _ in range(8)))
    assert {result["status"] for result in results} == {"unknown"}
    assert len(server.texts) == 1


async def test_a_mail_is_not_sent_another_way_than_was_approved(outbox: Runtime, server: SmtpServer) -> None:
    approval = await approved()
    other = with_settings(
        outbox, smtp_host="localhost", smtp_port=server.port, smtp_tls="none", smtp_from="a@b.example"
    )
    result = await safe_executor.run_approved(approval.id, runtime=other)
    assert result["status"] == "failed"
    assert "settings for mail have changed" in result["error"]
    assert server.texts == []
    assert files(outbox) == []


async def test_settings_that_became_stricter_stop_an_approved_mail(outbox: Runtime) -> None:
    approval = await approved()
    strict = with_settings(outbox, email_domains="partner.example", email_refuse_others=True)
    result = await safe_executor.run_approved(approval.id, runtime=strict)
    assert result["status"] == "failed", result
    assert "AGENT_EMAIL_DOMAINS does not name firm.example" in result["error"]
    assert files(outbox) == []


async def test_an_encoded_word_goes_back_to_the_model(outbox: Runtime) -> None:
    listed = with_settings(outbox, email_domains="firm.example")
    hidden = "=?utf-8?q?x=0d=0aBcc=3a_e=40evil=2ecom?="
    for more in ({"subject": hidden}, {"to": ["=?utf-8?q?x=2C_e=40evil=2Ecom=2C?=@firm.example"]}):
        result = await safe_executor.execute("send_email", {**MAIL, **more}, wait=False, runtime=listed)
        assert result["status"] == "refused", result
    assert files(outbox) == []


async def test_domains_outside_the_list_can_be_refused(outbox: Runtime) -> None:
    strict = with_settings(outbox, email_domains="firm.example", email_refuse_others=True)
    for more in ({"to": ["eve@evil.example"]}, {"body": "see https://evil.example/x"}, {"subject": "evil.example"}):
        result = await safe_executor.execute("send_email", {**MAIL, **more}, wait=False, runtime=strict)
        assert result["status"] == "refused", result
        assert "evil.example" in result["error"]


@each(
    "arguments",
    [
        {"to": ["anna@firm.example\nBcc: eve@evil.example"]}, {"to": "anna@firm.example"}, {"to": []},
        {"to": ["Anna <anna@firm.example>"]}, {"subject": "a\r\nBcc: eve@evil.example"}, {"body": "a\x00b"},
        {"body": ""}, {"subject": ""}, {"bcc": ["eve@evil.example"]}, {"cc": ["x"]}, {"body": "a\u202eb"},
        {"to": [f"a{n}@firm.example" for n in range(21)]}, {"headers": {"X": "y"}}, {"body": 5}, {"to": [None]},
    ],
)  # fmt: skip
async def test_hostile_arguments_go_back_to_the_model(outbox: Runtime, arguments: dict[str, Any]) -> None:
    result = await safe_executor.execute("send_email", {**MAIL, **arguments}, wait=False)
    assert result["status"] == "refused", result
    assert await human_approval_queue.get_pending_approvals() == []
